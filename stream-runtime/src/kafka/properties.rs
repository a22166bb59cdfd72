//! Client settings as users have them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::{config_names, jaas};

/// Session timeout of a member where nothing asks for a longer one: the least Apache Kafka allows by default.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// Time for which the broker lets a transaction be open.
pub(crate) const TRANSACTION: Duration = Duration::from_secs(15);

/// Settings of the Kafka client: librdkafka's names, with Java's accepted where they are known.
///
/// `Debug` and errors never show a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    values: BTreeMap<String, String>,
    /// Where the user said what is in `values`, and under which name.
    said: BTreeMap<String, Said>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    /// The user's name for it: an alias, or Java's.
    name: String,
    /// As `client.properties:3` or `--kafka`; empty when it is not known.
    place: String,
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
        self.set_at(name, value, "")
    }

    /// The same, said at `place`, which messages name.
    pub(crate) fn set_at(
        &mut self,
        name: &str,
        value: &str,
        place: &str,
    ) -> Result<Option<Notice>, String> {
        let name = name.trim();
        if name.is_empty() {
            return Err("a setting has no name".to_owned());
        }
        if config_names::OWNED.contains(&name) {
            return Ok(Some(Notice::Owned {
                name: name.to_owned(),
            }));
        }
        if config_names::is_java_only(name) {
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
        let said = Said {
            name: name.to_owned(),
            place: place.to_owned(),
        };
        self.said
            .insert(config_names::translate(name).to_owned(), said);
        Ok(None)
    }

    /// Takes the value under librdkafka's own name, so that of two aliases the last word wins.
    fn put(&mut self, name: &str, value: &str) {
        self.values
            .insert(config_names::translate(name).to_owned(), value.to_owned());
    }

    /// Adds the settings of a `client.properties` file, as Confluent Cloud gives it.
    pub(crate) fn load(&mut self, path: &Path) -> Result<Vec<Notice>, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("could not read {}: {error}", path.display()))?;
        self.read(&text, &path.display().to_string())
    }

    /// Adds settings in the form of a Java properties file; an error begins with the file's name and the line's number.
    pub(crate) fn read(&mut self, text: &str, file: &str) -> Result<Vec<Notice>, String> {
        let mut notices = Vec::new();
        for (line, name, value) in entries(text).map_err(|error| format!("{file}:{error}"))? {
            let place = format!("{file}:{line}");
            let at = |error: String| format!("{place}: {error}");
            notices.extend(self.set_at(&name, &value, &place).map_err(at)?);
            let own = config_names::translate(&name);
            if let Some(value) = self.values.get(own) {
                is_known(own, value).map_err(at)?;
                self.is_safe(own).map_err(at)?;
            }
        }
        // Two settings can be compared when both are read.
        self.is_sound()?;
        Ok(notices)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Refuses names and values that librdkafka does not know or the guarantees do not allow, before any client is
    /// made.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.values.iter().try_for_each(|(name, value)| {
            is_known(name, value)?;
            self.is_safe(name)
        })?;
        self.is_sound()
    }

    /// The worker's instance id, where it is said by the client's name for it: each stream thread's is made from it.
    pub(crate) fn instance_id(&self) -> Option<&str> {
        self.get("group.instance.id")
    }

    /// A number of milliseconds, or what else counts; `None` where it is not set.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// Refuses a value with which records are lost, doubled or put out of order.
    fn is_safe(&self, name: &str) -> Result<(), String> {
        let why = match name {
            "request.required.acks" if !matches!(self.get(name), Some("all" | "-1")) => {
                "must be `all`: with less, records that were reported as written are lost with a broker"
            }
            "message.send.max.retries" if self.number(name) == Some(0) => {
                "must not be 0: a record that a broker does not answer for in time would be given up"
            }
            "max.in.flight.requests.per.connection" if self.number(name) > Some(5) => {
                "must be at most 5: with more, brokers cannot tell what they have already written"
            }
            _ => return Ok(()),
        };
        Err(format!("{} {why}", self.told(name)))
    }

    /// Refuses settings that do not fit together.
    fn is_sound(&self) -> Result<(), String> {
        let (turn, session) = ("max.poll.interval.ms", "session.timeout.ms");
        let least = self.number(session);
        let least = least.unwrap_or(SESSION.as_millis() as i64);
        if self.number(turn) < Some(least) && self.number(turn).is_some() {
            return Err(format!(
                "{} must be at least {}",
                self.told(turn),
                match self.get(session) {
                    Some(_) => self.told(session),
                    None => format!("the session of {least} ms; `{session}` makes that shorter"),
                }
            ));
        }
        let (linger, open) = ("queue.buffering.max.ms", "transaction.timeout.ms");
        let most = self.number(open);
        let most = most.unwrap_or(TRANSACTION.as_millis() as i64);
        if self.number(linger) >= Some(most) {
            return Err(format!(
                "{} must be less than the {most} ms in which a commit has to end (`{open}`); a commit sends at once, so it is not needed",
                self.told(linger)
            ));
        }
        Ok(())
    }

    /// A setting as the user gave it, with its place: `` `acks` = 1 (client.properties:3) ``.
    pub(crate) fn told(&self, name: &str) -> String {
        let said = self.said.get(name);
        let value = match self.get(name) {
            Some(_) if config_names::is_secret(name) => " = ***".to_owned(),
            Some(value) => format!(" = {value}"),
            None => String::new(),
        };
        let place = said.filter(|said| !said.place.is_empty());
        let place = place.map_or_else(String::new, |said| format!(" ({})", said.place));
        format!("`{}`{value}{place}", said.map_or(name, |said| &said.name))
    }

    /// Returns whether the user has set this, under any of its names.
    pub(super) fn has_said(&self, name: &str) -> bool {
        self.said.contains_key(name)
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
                if config_names::is_secret(name) {
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
                if config_names::is_secret(name) {
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
        let notices = properties.read(CONFLUENT, "cloud.properties").unwrap();
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
        let error = |text: &str| Properties::default().read(text, "f").unwrap_err();
        assert_eq!(error("\n\nnonsense"), "f:3: expected `name=value`");
        assert!(
            error("no.such.setting=1").starts_with("f:1: ")
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

    #[test]
    fn what_the_guarantees_do_not_allow_is_refused_with_the_user_s_own_name_and_line() {
        let error = |text: &str| Properties::default().read(text, "c").unwrap_err();
        for (text, begins) in [
            ("acks=1", "c:1: `acks` = 1 (c:1) must be `all`"),
            ("\nacks=0", "c:2: `acks` = 0 (c:2) must be `all`"),
            ("retries=0", "c:1: `retries` = 0 (c:1) must not be 0"),
            (
                "max.in.flight.requests.per.connection=10",
                "c:1: `max.in.flight.requests.per.connection` = 10 (c:1) must be at most 5",
            ),
            (
                "linger.ms=20000",
                "`linger.ms` = 20000 (c:1) must be less than the 15000 ms",
            ),
            (
                "max.poll.interval.ms=5000",
                "`max.poll.interval.ms` = 5000 (c:1) must be at least the session of 6000 ms",
            ),
            (
                "session.timeout.ms=9000\nmax.poll.interval.ms=8000",
                "`max.poll.interval.ms` = 8000 (c:2) must be at least `session.timeout.ms` = 9000 (c:1)",
            ),
        ] {
            let said = error(text);
            assert!(said.starts_with(begins), "{text}: {said}");
        }
        for text in [
            "acks=all",
            "acks=-1",
            "retries=2147483647",
            "max.in.flight.requests.per.connection=5",
            "max.poll.interval.ms=5000\nsession.timeout.ms=4000",
            "linger.ms=20000\ntransaction.timeout.ms=60000",
        ] {
            let mut properties = Properties::default();
            properties.read(text, "c").unwrap();
            properties.check().unwrap();
        }
    }
}
