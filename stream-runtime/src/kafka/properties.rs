//! Client settings as users have them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rdkafka::config::ClientConfig;

use super::{jaas, names};

/// Settings of the Kafka client: librdkafka's names, with Java's accepted where they are known.
///
/// `Debug` and errors never show a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    values: BTreeMap<String, String>,
}

/// What became of a setting that was not simply taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Means nothing to this client (a serializer, a schema registry).
    Ignored { name: String },
    /// The worker sets it itself.
    Owned { name: String },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Ignored { name } => write!(f, "`{name}` means nothing here and is not used"),
            Notice::Owned { name } => write!(f, "`{name}` is set by the worker and is not taken"),
        }
    }
}

impl Properties {
    /// Settings that name only the broker, as `localhost:9092` or `kafka://a:9092,b:9092`.
    #[cfg(test)]
    pub(crate) fn broker(address: &str) -> Self {
        let mut properties = Self::default();
        properties.set_broker(address);
        properties
    }

    /// Sets the bootstrap servers; a `kafka://` in front of any of them is taken off.
    pub(crate) fn set_broker(&mut self, address: &str) {
        let hosts: Vec<&str> = address
            .split([',', ';'])
            .map(|host| {
                host.trim()
                    .trim_start_matches("kafka://")
                    .trim_end_matches('/')
            })
            .filter(|host| !host.is_empty())
            .collect();
        self.values
            .insert("bootstrap.servers".to_owned(), hosts.join(","));
    }

    /// The bootstrap servers, when known.
    pub(crate) fn bootstrap(&self) -> Option<&str> {
        self.get("bootstrap.servers")
            .filter(|hosts| !hosts.is_empty())
    }

    /// User and password over TLS (`SASL_SSL`, `PLAIN`).
    pub(crate) fn set_sasl_plain(&mut self, username: &str, password: &str) {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", username),
            ("sasl.password", password),
        ] {
            self.values.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets one setting by librdkafka's or Java's name. `Some` says that it was not taken as it is.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<Option<Notice>, String> {
        let name = name.trim();
        if name.is_empty() {
            return Err("a setting has no name".to_owned());
        }
        if names::OWNED.contains(&name) {
            return Ok(Some(Notice::Owned {
                name: name.to_owned(),
            }));
        }
        if names::is_java_only(name) {
            return Ok(Some(Notice::Ignored {
                name: name.to_owned(),
            }));
        }
        match name {
            "bootstrap.servers" | "metadata.broker.list" => self.set_broker(value),
            "sasl.jaas.config" => {
                let login = jaas::parse(value)?;
                self.values
                    .insert("sasl.username".to_owned(), login.username);
                self.values
                    .insert("sasl.password".to_owned(), login.password);
            }
            "ssl.truststore.location" if value.ends_with(".jks") => {
                return Err(format!(
                    "`ssl.truststore.location` = {value} is a Java keystore; export it as PEM and set `ssl.ca.location`"
                ));
            }
            "ssl.truststore.location" => self.put("ssl.ca.location", value),
            // Java's empty string means: do not check the name.
            "ssl.endpoint.identification.algorithm" if value.is_empty() => self.put(name, "none"),
            _ => self.put(name, value),
        }
        Ok(None)
    }

    /// Takes the value under librdkafka's own name, so that of two aliases the last word wins.
    fn put(&mut self, name: &str, value: &str) {
        self.values
            .insert(names::translate(name).to_owned(), value.to_owned());
    }

    /// Adds the settings of a `client.properties` file, as Confluent Cloud gives it.
    pub(crate) fn load(&mut self, path: &Path) -> Result<Vec<Notice>, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("could not read {}: {error}", path.display()))?;
        self.read(&text)
            .map_err(|error| format!("{}:{error}", path.display()))
    }

    /// Adds settings in the form of a Java properties file; an error begins with the line's number.
    pub(crate) fn read(&mut self, text: &str) -> Result<Vec<Notice>, String> {
        let mut notices = Vec::new();
        for (line, name, value) in entries(text)? {
            notices.extend(
                self.set(&name, &value)
                    .map_err(|error| format!("{line}: {error}"))?,
            );
            let own = names::translate(&name);
            if let Some(value) = self.values.get(own) {
                is_known(own, value).map_err(|error| format!("{line}: {error}"))?;
            }
        }
        Ok(notices)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Refuses names and values librdkafka does not know, before any client is made.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.values
            .iter()
            .try_for_each(|(name, value)| is_known(name, value))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&String, &String)| {
            (
                name.clone(),
                if names::is_secret(name) {
                    "***".to_owned()
                } else {
                    value.clone()
                },
            )
        };
        f.debug_map()
            .entries(self.values.iter().map(shown))
            .finish()
    }
}

fn is_known(name: &str, value: &str) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    config
        .create_native_config()
        .map(drop)
        .map_err(|error| match error {
            rdkafka::error::KafkaError::ClientConfig(_, description, ..) => {
                // librdkafka's text repeats the value.
                if names::is_secret(name) {
                    format!("the value of `{name}` is not valid")
                } else {
                    format!("{description} (`{name}`)")
                }
            }
            other => other.to_string(),
        })
}

/// The entries of a Java properties file, each with its line number.
fn entries(text: &str) -> Result<Vec<(usize, String, String)>, String> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while ends_with_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start()),
                None => break,
            }
        }
        let (name, value) =
            split(&logical).ok_or_else(|| format!("{}: expected `name=value`", index + 1))?;
        entries.push((index + 1, name, value));
    }
    Ok(entries)
}

fn ends_with_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Splits at the first unescaped `=`, `:` or blank; takes escapes off both parts.
fn split(line: &str) -> Option<(String, String)> {
    let mut name = String::new();
    let mut chars = line.char_indices();
    let mut rest = None;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            '=' | ':' => {
                rest = Some(&line[at + 1..]);
                break;
            }
            c if c.is_whitespace() => {
                let after = line[at..].trim_start();
                rest = Some(after.strip_prefix(['=', ':']).unwrap_or(after));
                break;
            }
            c => name.push(c),
        }
    }
    let mut value = String::new();
    let mut chars = rest?.trim().chars();
    while let Some(c) = chars.next() {
        value.push(if c == '\\' { chars.next()? } else { c });
    }
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFLUENT: &str = r#"
# Required connection configs for Kafka producer, consumer, and admin
bootstrap.servers=pkc-abc.eu-central-1.aws.confluent.cloud:9092
security.protocol=SASL_SSL
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username='KEY' password='S3CR3T';
sasl.mechanism=PLAIN
# Required for correctness in Apache Kafka clients prior to 2.6
client.dns.lookup=use_all_dns_ips
session.timeout.ms=45000
acks=all
client.id=ccloud-java-client
schema.registry.url=https://psrc-xyz.confluent.cloud
basic.auth.credentials.source=USER_INFO
basic.auth.user.info=a:b
"#;

    #[test]
    fn a_confluent_cloud_file_is_read() {
        let mut properties = Properties::default();
        let notices = properties.read(CONFLUENT).unwrap();
        assert_eq!(notices.len(), 3, "{notices:?}");
        assert_eq!(
            properties.bootstrap(),
            Some("pkc-abc.eu-central-1.aws.confluent.cloud:9092")
        );
        assert_eq!(properties.get("sasl.username"), Some("KEY"));
        assert_eq!(properties.get("sasl.password"), Some("S3CR3T"));
        assert_eq!(properties.get("sasl.mechanisms"), Some("PLAIN"));
        properties.check().unwrap();
        let shown = format!("{properties:?}");
        assert!(
            !shown.contains("S3CR3T") && shown.contains("***"),
            "{shown}"
        );
    }

    #[test]
    fn java_s_file_syntax() {
        let text = "a\\:b = c\\=d\n! comment\n  long=one\\\n   two\nspaced  value here\ncolon: x\nempty=\n";
        let got: Vec<_> = entries(text)
            .unwrap()
            .into_iter()
            .map(|(_, n, v)| (n, v))
            .collect();
        let expected = [
            ("a:b", "c=d"),
            ("long", "onetwo"),
            ("spaced", "value here"),
            ("colon", "x"),
            ("empty", ""),
        ];
        assert_eq!(got, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_mistake_names_its_line_and_hides_secrets() {
        let error = |text: &str| Properties::default().read(text).unwrap_err();
        assert_eq!(error("\n\nnonsense"), "3: expected `name=value`");
        assert!(
            error("no.such.setting=1").starts_with("1: ")
                && error("no.such.setting=1").contains("no.such.setting")
        );
        assert!(
            error("linger.ms=soon").contains("linger.ms")
                || error("linger.ms=soon").contains("queue.buffering.max.ms")
        );
        assert!(error("ssl.truststore.location=/x/trust.jks").contains("ssl.ca.location"));
    }

    #[test]
    fn the_worker_s_own_settings_are_not_taken() {
        let mut properties = Properties::default();
        let notice = properties.set("enable.auto.commit", "true").unwrap();
        assert_eq!(
            notice,
            Some(Notice::Owned {
                name: "enable.auto.commit".into()
            })
        );
        assert_eq!(properties.get("enable.auto.commit"), None);
    }

    #[test]
    fn broker_addresses_lose_their_scheme() {
        assert_eq!(
            Properties::broker("kafka://a:9092;kafka://b:9093/").bootstrap(),
            Some("a:9092,b:9093")
        );
        assert_eq!(Properties::default().bootstrap(), None);
    }

    #[test]
    fn an_alias_replaces_what_it_means() {
        let mut properties = Properties::default();
        properties.set("linger.ms", "5").unwrap();
        properties.set("queue.buffering.max.ms", "7").unwrap();
        assert_eq!(properties.get("queue.buffering.max.ms"), Some("7"));
        assert_eq!(properties.get("linger.ms"), None);
    }
}
