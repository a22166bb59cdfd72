//! Settings on which the app's results depend: what its own topics must have, and whether those that exist do.

use std::collections::BTreeMap;
use std::fmt;

use crate::topology::{OutputKind, Plan};

/// Part of a topic that the app keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Changelog,
    Repartition,
    Internal,
    Again,
    DeadLetters,
    Unreadable,
}

/// A topic whose settings decide whether the app's results are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Must {
    pub(crate) topic: String,
    part: Part,
    /// The table of a changelog.
    table: Option<&'static str>,
    /// Indexes of the sub-topologies that write it.
    pub(in crate::worker) writers: Vec<usize>,
}

/// Settings that a topic has and must not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::worker) struct Wrong {
    /// What it has, as `name=value`.
    has: Vec<String>,
    /// What it must have.
    must: Vec<String>,
    why: &'static str,
}

/// The topics of a plan whose settings matter, by name.
pub(crate) fn musts(plan: &Plan) -> Vec<Must> {
    let mut musts: BTreeMap<String, Must> = BTreeMap::new();
    let mut add = |topic: &str, part, table, writer: Option<usize>| {
        let must = musts.entry(topic.to_owned()).or_insert_with(|| Must {
            topic: topic.to_owned(),
            part,
            table,
            writers: Vec::new(),
        });
        if let Some(writer) = writer.filter(|writer| !must.writers.contains(writer)) {
            must.writers.push(writer);
        }
    };
    let internal = plan.topologies.iter().flat_map(|topology| &topology.inputs);
    let internal: Vec<&str> = internal
        .filter(|input| input.is_internal())
        .map(|input| input.topic.as_str())
        .collect();
    for (at, topology) in plan.topologies.iter().enumerate() {
        for table in &topology.tables {
            if let Some(changelog) = &table.changelog {
                let name = table.descriptor.name;
                add(changelog, Part::Changelog, Some(name), Some(at));
            }
        }
        for output in &topology.outputs {
            let part = match output.kind {
                OutputKind::Sink if internal.contains(&output.topic.as_str()) => Part::Internal,
                OutputKind::Sink => continue,
                OutputKind::DeadLetters => Part::DeadLetters,
                OutputKind::Unreadable => Part::Unreadable,
                OutputKind::Repartition => Part::Repartition,
            };
            add(&output.topic, part, None, Some(at));
        }
        for input in topology.inputs.iter().filter(|input| input.again) {
            // Written by a command.
            add(&input.topic, Part::Again, None, None);
        }
    }
    musts.into_values().collect()
}

impl Must {
    /// Names and values of the settings that it must have.
    pub(crate) fn settings(&self) -> &'static [(&'static str, &'static str)] {
        match self.part {
            Part::Changelog => &[("cleanup.policy", "compact")],
            Part::Repartition => &[
                ("cleanup.policy", "delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
                ("message.timestamp.type", "CreateTime"),
            ],
            Part::Again => &[
                ("cleanup.policy", "delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
            ],
            Part::Internal | Part::DeadLetters | Part::Unreadable => {
                &[("cleanup.policy", "delete")]
            }
        }
    }

    /// Settings that make its results wrong; those that are not known are passed over.
    pub(in crate::worker) fn wrong(&self, config: &BTreeMap<String, String>) -> Vec<Wrong> {
        if self.part == Part::Changelog {
            return changelog(config).into_iter().collect();
        }
        let differs = |(name, value): &(&str, &str)| {
            let has = config.get(*name)?.trim();
            // Of the policies only compaction takes what somebody has still to read; nothing is deleted without a
            // bound.
            let fits = match *name {
                "cleanup.policy" => !policies(has).any(|policy| policy == "compact"),
                _ => has == *value,
            };
            let wrong = || Wrong {
                has: vec![format!("{name}={has}")],
                must: vec![format!("{name}={value}")],
                why: self.why(name),
            };
            (!fits).then(wrong)
        };
        self.settings().iter().filter_map(differs).collect()
    }

    fn why(&self, setting: &str) -> &'static str {
        match (setting, self.part) {
            ("message.timestamp.type", _) => {
                "its records carry the times of their events, which the broker would overwrite"
            }
            ("cleanup.policy", Part::DeadLetters | Part::Unreadable) => {
                "of several with one key only the last would be kept, and those without a key refused"
            }
            ("cleanup.policy", _) => {
                "records that have not been read yet would be lost where a later one has their key"
            }
            _ => "records would be deleted before they are read",
        }
    }

    /// Why it takes more than it must, where results are right all the same.
    pub(in crate::worker) fn slow(&self, config: &BTreeMap<String, String>) -> Option<String> {
        let policy = config.get("cleanup.policy")?;
        let grows = self.part == Part::Changelog && !policies(policy).any(|one| one == "compact");
        grows.then(|| {
            format!(
                "{self} has `cleanup.policy={policy}` and no bound: it grows with every change, and so does the time of a recovery; `cleanup.policy=compact` keeps it short"
            )
        })
    }

    /// What is wrong, why, and the command that puts it right.
    pub(in crate::worker) fn text(&self, wrong: &[Wrong], broker: &str) -> String {
        let all = |part: fn(&Wrong) -> &Vec<String>| -> Vec<&str> {
            wrong.iter().flat_map(part).map(String::as_str).collect()
        };
        let (has, must) = (all(|one| &one.has), all(|one| &one.must));
        let mut why: Vec<&str> = wrong.iter().map(|one| one.why).collect();
        why.dedup();
        format!(
            "{self} has `{}` and must have `{}`: {}; `kafka-configs.sh --bootstrap-server {broker} --alter --entity-type topics --entity-name {} --add-config {}` puts it right",
            has.join("`, `"),
            must.join("`, `"),
            why.join(", and "),
            self.topic,
            must.join(",")
        )
    }
}

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic `{}`, ", self.topic)?;
        match (self.part, self.table) {
            (Part::Changelog, Some(table)) => write!(f, "the changelog of table `{table}`,"),
            (Part::Changelog, None) => f.write_str("a changelog,"),
            (Part::Repartition, _) => f.write_str("in which the app groups records by other keys,"),
            (Part::Internal, _) => f.write_str("by which agents go on from each other,"),
            (Part::Again, _) => f.write_str("in which closed windows are sent again,"),
            (Part::DeadLetters, _) => f.write_str("of dead letters,"),
            (Part::Unreadable, _) => f.write_str("of rows that were set aside,"),
        }
    }
}

fn policies(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Nothing of a changelog may be deleted by time or size: not of a windowed table either, because the mark of a quiet
/// partition would go as well, and without it the rows are not the state of any commit.
fn changelog(config: &BTreeMap<String, String>) -> Option<Wrong> {
    let policy = config.get("cleanup.policy")?;
    if !policies(policy).any(|one| one == "delete") {
        return None;
    }
    let bounds = ["retention.ms", "retention.bytes"].into_iter();
    let bounds = bounds.filter_map(|name| Some((name, config.get(name)?)));
    let bounds: Vec<String> = bounds
        .filter(|(_, value)| value.trim() != "-1")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if bounds.is_empty() {
        return None;
    }
    Some(Wrong {
        has: [vec![format!("cleanup.policy={policy}")], bounds].concat(),
        must: vec!["cleanup.policy=compact".to_owned()],
        why: "rows that nobody changes for so long would be deleted, and missed by the next worker that recovers from it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must(part: Part) -> Must {
        Must {
            topic: "topic".to_owned(),
            part,
            table: None,
            writers: Vec::new(),
        }
    }

    /// What Kafka gives a topic of which nobody says anything, with these settings.
    fn config(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut config = BTreeMap::new();
        let defaults = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "-1"),
            ("message.timestamp.type", "CreateTime"),
        ];
        for (name, value) in defaults.iter().chain(settings) {
            config.insert((*name).to_owned(), (*value).to_owned());
        }
        config
    }

    #[track_caller]
    fn refused(part: Part, settings: &[(&str, &str)], texts: &[&str]) {
        let must = must(part);
        let wrong = must.wrong(&config(settings));
        assert!(!wrong.is_empty(), "{part:?} with {settings:?} is taken");
        let text = must.text(&wrong, "host:1");
        for part in texts {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[track_caller]
    fn taken(part: Part, settings: &[(&str, &str)]) {
        assert_eq!(must(part).wrong(&config(settings)), [], "{settings:?}");
    }

    #[test]
    fn a_changelog_from_which_something_is_deleted_is_refused() {
        let texts = [
            "`cleanup.policy=delete`",
            "`retention.ms=604800000`",
            "must have `cleanup.policy=compact`",
            "kafka-configs.sh --bootstrap-server host:1 --alter --entity-type topics --entity-name topic --add-config cleanup.policy=compact`",
        ];
        refused(Part::Changelog, &[], &texts);
        let both = [("cleanup.policy", "compact,delete")];
        refused(Part::Changelog, &both, &["`cleanup.policy=compact,delete`"]);
        let by_size = [("retention.ms", "-1"), ("retention.bytes", "1000")];
        refused(Part::Changelog, &by_size, &["`retention.bytes=1000`"]);
        taken(Part::Changelog, &[("cleanup.policy", "compact")]);
        let forever = [
            ("cleanup.policy", "delete, compact"),
            ("retention.ms", "-1"),
        ];
        taken(Part::Changelog, &forever);
    }

    #[test]
    fn a_changelog_that_only_grows_is_told_of() {
        let grows = [("retention.ms", "-1")];
        taken(Part::Changelog, &grows);
        let slow = must(Part::Changelog).slow(&config(&grows)).unwrap();
        assert!(slow.contains("cleanup.policy=compact"), "{slow}");
        let compact = config(&[("cleanup.policy", "compact")]);
        assert_eq!(must(Part::Changelog).slow(&compact), None);
    }

    #[test]
    fn a_repartition_topic_keeps_all_that_is_not_read_and_the_times_of_its_events() {
        let fits = [("retention.ms", "-1")];
        taken(Part::Repartition, &fits);
        refused(
            Part::Repartition,
            &[],
            &["`retention.ms=604800000`", "`retention.ms=-1`"],
        );
        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("retention.bytes", "1000"),
            ("message.timestamp.type", "LogAppendTime"),
        ] {
            let text = format!("`{name}={value}`");
            refused(Part::Repartition, &[fits[0], (name, value)], &[&text]);
        }
    }

    #[test]
    fn dead_letters_are_not_compacted_and_may_be_deleted_in_time() {
        taken(Part::DeadLetters, &[]);
        refused(
            Part::DeadLetters,
            &[("cleanup.policy", "compact")],
            &["only the last"],
        );
    }

    #[test]
    fn what_is_not_known_is_not_wrong() {
        for part in [Part::Changelog, Part::Repartition, Part::DeadLetters] {
            assert_eq!(must(part).wrong(&BTreeMap::new()), []);
            assert_eq!(must(part).slow(&BTreeMap::new()), None);
        }
    }
}
