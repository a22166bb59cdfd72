//! A topic's configuration: Apache Kafka's names, defaults and ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Refusal;
use crate::log::LogConfig;
use crate::wire::Code;

/// The type of a setting, with the number DescribeConfigs gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Type {
    Boolean,
    Text(&'static [&'static str]),
    Int(i64, i64),
    Long(i64),
    Double,
    List(&'static [&'static str]),
}

impl Type {
    pub(crate) fn number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Text(_) => 2,
            Self::Int(..) => 3,
            Self::Long(_) => 5,
            Self::Double => 6,
            Self::List(_) => 7,
        }
    }

    fn check(self, value: &str) -> Result<(), String> {
        let in_range = |least: i64, most: i64| match value.trim().parse::<i64>() {
            Ok(number) if number < least => Err(format!("value must be at least {least}")),
            Ok(number) if number > most => Err(format!("value must be at most {most}")),
            Ok(_) => Ok(()),
            Err(_) => Err("not a whole number".into()),
        };
        match self {
            Self::Boolean if matches!(value, "true" | "false") => Ok(()),
            Self::Boolean => Err("expected true or false".into()),
            Self::Int(least, most) => in_range(least, most),
            Self::Long(least) => in_range(least, i64::MAX),
            Self::Double => match value.trim().parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => Err("expected a number between 0 and 1".into()),
            },
            Self::Text([]) => Ok(()),
            Self::Text(allowed) if allowed.contains(&value) => Ok(()),
            // Neither compacted nor ever deleted from.
            Self::List(_) if value.is_empty() => Ok(()),
            Self::List(allowed) if value.split(',').all(|part| allowed.contains(&part.trim())) => {
                Ok(())
            }
            Self::Text(allowed) | Self::List(allowed) => {
                Err(format!("expected one of {}", allowed.join(", ")))
            }
        }
    }
}

/// A setting of a topic.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Type,
}

const fn setting(name: &'static str, default: &'static str, kind: Type) -> Setting {
    Setting {
        name,
        default,
        kind,
    }
}

const INT: i64 = i32::MAX as i64;
const FOREVER: &str = "9223372036854775807";

/// Every setting a topic can have, by name. Those about replicas, flushing and tiers are accepted and do nothing here:
/// there is one node, and it does not flush.
const SETTINGS: &[Setting] = &[
    setting(
        "cleanup.policy",
        "delete",
        Type::List(&["compact", "delete"]),
    ),
    setting(
        "compression.type",
        "producer",
        Type::Text(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    ),
    setting("delete.retention.ms", "86400000", Type::Long(0)),
    setting("file.delete.delay.ms", "60000", Type::Long(0)),
    setting("flush.messages", FOREVER, Type::Long(1)),
    setting("flush.ms", FOREVER, Type::Long(0)),
    setting("index.interval.bytes", "4096", Type::Int(0, INT)),
    setting("max.compaction.lag.ms", FOREVER, Type::Long(1)),
    setting("max.message.bytes", "1048588", Type::Int(0, INT)),
    setting("message.timestamp.after.max.ms", "3600000", Type::Long(0)),
    setting("message.timestamp.before.max.ms", FOREVER, Type::Long(0)),
    setting(
        "message.timestamp.type",
        "CreateTime",
        Type::Text(&["CreateTime", "LogAppendTime"]),
    ),
    setting("min.cleanable.dirty.ratio", "0.5", Type::Double),
    setting("min.compaction.lag.ms", "0", Type::Long(0)),
    setting("min.insync.replicas", "1", Type::Int(1, INT)),
    setting("preallocate", "false", Type::Boolean),
    setting("retention.bytes", "-1", Type::Long(-1)),
    setting("retention.ms", "604800000", Type::Long(-1)),
    setting("segment.bytes", "1073741824", Type::Int(1024 * 1024, INT)),
    setting("segment.index.bytes", "10485760", Type::Int(4, INT)),
    setting("segment.jitter.ms", "0", Type::Long(0)),
    setting("segment.ms", "604800000", Type::Long(1)),
    setting("unclean.leader.election.enable", "false", Type::Boolean),
];

/// Every setting a topic can have.
pub(crate) fn settings() -> &'static [Setting] {
    SETTINGS
}

/// What a topic was given; everything else has its default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TopicConfig {
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) log: Arc<LogConfig>,
}

impl TopicConfig {
    /// Checks what a client gives a topic.
    pub(crate) fn new(given: BTreeMap<String, String>) -> Result<Self, Refusal> {
        for (name, value) in &given {
            let refuse = |what: String| Err(Refusal::new(Code::InvalidConfig, what));
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                return refuse(format!("Unknown topic config name: {name}"));
            };
            if let Err(why) = setting.kind.check(value) {
                return refuse(format!(
                    "Invalid value {value} for configuration {name}: {why}"
                ));
            }
        }
        let log = Arc::new(log_config(&given));
        if log.min_compaction_lag_ms > log.max_compaction_lag_ms {
            let message = "conflict: min.compaction.lag.ms is larger than max.compaction.lag.ms";
            return Err(Refusal::new(Code::InvalidConfig, message));
        }
        Ok(Self { given, log })
    }

    /// The value of a setting, given or default.
    pub(crate) fn value<'a>(&'a self, setting: &'a Setting) -> &'a str {
        self.given
            .get(setting.name)
            .map_or(setting.default, String::as_str)
    }
}

fn log_config(given: &BTreeMap<String, String>) -> LogConfig {
    let text = |name: &str| {
        let default = SETTINGS
            .iter()
            .find(|setting| setting.name == name)
            .map_or("", |setting| setting.default);
        given.get(name).map_or(default, String::as_str).trim()
    };
    let long = |name: &str| text(name).parse::<i64>().unwrap_or(i64::MAX);
    let policy = |wanted: &str| {
        text("cleanup.policy")
            .split(',')
            .any(|part| part.trim() == wanted)
    };
    LogConfig {
        compact: policy("compact"),
        delete: policy("delete"),
        retention_ms: long("retention.ms"),
        retention_bytes: long("retention.bytes"),
        segment_bytes: long("segment.bytes") as u64,
        segment_ms: long("segment.ms"),
        delete_retention_ms: long("delete.retention.ms"),
        min_compaction_lag_ms: long("min.compaction.lag.ms"),
        max_compaction_lag_ms: long("max.compaction.lag.ms"),
        min_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
        max_message_bytes: long("max.message.bytes") as usize,
        append_time: text("message.timestamp.type") == "LogAppendTime",
        timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
        timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str) -> Result<TopicConfig, Refusal> {
        TopicConfig::new(BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_default_is_valid() {
        for setting in SETTINGS {
            assert!(
                given(setting.name, setting.default).is_ok(),
                "{}",
                setting.name
            );
        }
        let log = TopicConfig::new(BTreeMap::new()).unwrap().log;
        assert!(log.delete && !log.compact && !log.append_time);
        assert_eq!(
            (
                log.max_message_bytes,
                log.retention_ms,
                log.max_compaction_lag_ms
            ),
            (1_048_588, 604_800_000, i64::MAX)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |name, value| given(name, value).unwrap_err().message;
        assert_eq!(
            message("retention", "1"),
            "Unknown topic config name: retention"
        );
        assert_eq!(
            message("cleanup.policy", "shrink"),
            "Invalid value shrink for configuration cleanup.policy: expected one of compact, delete"
        );
        assert_eq!(
            message("retention.ms", "-2"),
            "Invalid value -2 for configuration retention.ms: value must be at least -1"
        );
        assert_eq!(
            message("segment.bytes", "10"),
            "Invalid value 10 for configuration segment.bytes: value must be at least 1048576"
        );
        assert_eq!(
            message("segment.ms", "1d"),
            "Invalid value 1d for configuration segment.ms: not a whole number"
        );
    }

    #[test]
    fn both_policies_may_be_given() {
        let log = given("cleanup.policy", "compact, delete").unwrap().log;
        assert!(log.compact && log.delete);
    }
}
