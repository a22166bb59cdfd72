//! How the app makes its topics.

use crate::kafka::TopicSettings;
use crate::topology::TopicDescriptor;

/// What new topics get that say nothing themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NewTopics {
    /// Partitions; `None`: the broker's default.
    pub(crate) partitions: Option<i32>,
    /// Replicas; `None`: the broker's default.
    pub(crate) replication_factor: Option<i32>,
}

impl NewTopics {
    /// Returns the settings of a topic: what its `#[topic]` says comes before `partitions` and `config`, these before
    /// the app's. Records are kept for ever where nobody says otherwise.
    pub(crate) fn topic(
        self,
        name: &str,
        declared: Option<&TopicDescriptor>,
        partitions: Option<i32>,
        config: &[(&str, String)],
    ) -> TopicSettings {
        let mut settings: Vec<(String, String)> = Vec::with_capacity(config.len() + 1);
        let mut set = |name: &str, value: String| match settings.iter_mut().find(|s| s.0 == name) {
            Some(there) => there.1 = value,
            None => settings.push((name.to_owned(), value)),
        };
        set("retention.ms", "-1".to_owned());
        for (name, value) in config {
            set(name, value.clone());
        }
        if let Some(retention) = declared.and_then(|topic| topic.retention_ms) {
            set("retention.ms", retention.to_string());
        }
        if declared.is_some_and(|topic| topic.compact) {
            set("cleanup.policy", "compact".to_owned());
        }
        TopicSettings {
            name: name.to_owned(),
            partitions: declared
                .and_then(|topic| topic.partitions)
                .or(partitions)
                .or(self.partitions),
            replication: declared
                .and_then(|topic| topic.replication_factor)
                .or(self.replication_factor),
            config: settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::TopicSpec;
    use crate::prelude::*;

    #[topic("new-topics-short", value = String, key = String, partitions = 3, retention = "1h")]
    struct Short;

    #[topic("new-topics-compact", value = String, key = String, compact)]
    struct Compact;

    fn config(topic: &TopicSettings, name: &str) -> Option<String> {
        let mut all = topic.config.iter().filter(|(there, _)| there == name);
        let value = all.next().map(|(_, value)| value.clone());
        assert!(all.next().is_none(), "`{name}` stands twice");
        value
    }

    #[test]
    fn what_a_topic_says_comes_before_its_use_and_that_before_the_app() {
        let app = NewTopics {
            partitions: Some(8),
            replication_factor: Some(2),
        };
        let delete = [("cleanup.policy", "delete".to_owned())];
        let short = app.topic("short", Some(Short::DESCRIPTOR), Some(5), &delete);
        assert_eq!((short.partitions, short.replication), (Some(3), Some(2)));
        assert_eq!(config(&short, "retention.ms").as_deref(), Some("3600000"));
        assert_eq!(config(&short, "cleanup.policy").as_deref(), Some("delete"));
        let compact = app.topic("compact", Some(Compact::DESCRIPTOR), Some(5), &delete);
        assert_eq!(compact.partitions, Some(5));
        assert_eq!(
            config(&compact, "cleanup.policy").as_deref(),
            Some("compact")
        );
        assert_eq!(config(&compact, "retention.ms").as_deref(), Some("-1"));
        let plain = app.topic("plain", None, None, &[]);
        assert_eq!(plain.partitions, Some(8));
        assert_eq!(config(&plain, "retention.ms").as_deref(), Some("-1"));
        assert_eq!(config(&plain, "cleanup.policy"), None);
    }
}
