//! `send`: records from the command line, a file or standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::time::Duration;

use serde_json::Value;

use super::args::SendArgs;
use super::context::Context;
use super::error::{CliError, CliResult, no_topic};
use super::known::{Known, Topic};
use super::progress::Progress;
use crate::error::counted;
use crate::kafka::{Deliveries, OutHeaders, Outgoing, Properties, Sender};

/// The longest line that is read; Kafka takes 1 MiB by default.
const LONGEST_LINE: u64 = 64 << 20;
/// How long the last records may take to be delivered.
const DELIVERY: Duration = Duration::from_secs(120);

pub(crate) fn run(cx: &Context<'_>, args: &SendArgs) -> CliResult {
    let properties = cx.client()?;
    let topic = find(cx, &properties, args)?;
    // Before the topic is made: what is not sent leaves nothing behind.
    let single = match (args.tombstone, &args.value) {
        (true, _) => Some(None),
        (false, Some(value)) => Some(Some(value.as_bytes())),
        (false, None) => None,
    };
    let prepared = single
        .map(|value| prepare(topic.as_ref(), args, value).map_err(|why| bad_record(args, &why)))
        .transpose()?;
    cx.make_topic(&properties, &args.topic)?;
    let sender = Sender::single(&properties)?;
    let mut sending = Sending {
        sender: &sender,
        args,
        topic,
        sent: 0,
    };
    if let (Some(value), Some(key)) = (single, prepared) {
        sending.send(key.as_deref(), value)?;
        return sending.finish(cx);
    }
    let read = sending.read(cx);
    if read.is_err() {
        // What came before the mistake was sent, and is said to be.
        let _ = sender.flush(DELIVERY);
    }
    read?;
    sending.finish(cx)
}

/// What is known of the topic; nothing with `--raw`. A topic that there is not, neither on the broker nor in the app,
/// is most often a slip.
fn find(cx: &Context<'_>, properties: &Properties, args: &SendArgs) -> CliResult<Option<Topic>> {
    if args.raw {
        return Ok(None);
    }
    let name = args.topic.as_str();
    let known = Known::of(cx, name).map_err(|error| {
        let around = "mend it, or send with --raw, which asks nothing of the app";
        error.next(around)
    })?;
    let admin = cx.admin(properties)?;
    let exists = admin.topic(name)?.is_some();
    let mut topic = match known.topic(name) {
        Some(topic) => topic.clone(),
        None if exists || args.create => Topic::default(),
        None => {
            let others = admin.topics()?;
            let all = known.names().chain(others.keys().map(String::as_str));
            let next = "--create makes it, `topics --all` lists those there are";
            return Err(no_topic(name, all, next));
        }
    };
    if let Some(what) = topic.inner {
        return Err(CliError::failure(format_args!(
            "{name} is a {what} of the app, which nobody else writes"
        ))
        .next("--raw sends there all the same"));
    }
    if topic.external && !exists {
        return Err(CliError::failure(format_args!(
            "topic {name} does not exist, and as an `external` one it is not made here"
        )));
    }
    if exists && !topic.compact {
        // Who may send may not always ask.
        let config = admin.config(name).unwrap_or_default();
        let policy = config.get("cleanup.policy");
        topic.compact = policy.is_some_and(|policy| policy.contains("compact"));
    }
    Ok(Some(topic))
}

/// The key of a record that may be sent; why it may not be.
fn prepare(
    topic: Option<&Topic>,
    args: &SendArgs,
    value: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, String> {
    let unknown = Topic::default();
    let own = match (topic, value) {
        (Some(topic), Some(value)) => topic.check(value)?,
        _ => None,
    };
    let written = match (&args.key, &args.key_field, value) {
        (Some(key), ..) => Some(Value::from(key.as_str())),
        (None, Some(field), Some(value)) => match field_of(value, field)? {
            Value::Null
                if !topic
                    .and_then(Topic::keys)
                    .is_some_and(|keys| keys.optional) =>
            {
                return Err(format!("the field `{field}` is null"));
            }
            found => Some(found),
        },
        _ => None,
    };
    let key = match written {
        Some(written) => topic.unwrap_or(&unknown).key(&written)?,
        None => own,
    };
    match (topic, &key) {
        (Some(topic), None) => topic.without_key().map(|()| None),
        _ => Ok(key),
    }
}

/// A record that was not sent, and the ways out.
fn bad_record(args: &SendArgs, why: &str) -> CliError {
    CliError::failure(format_args!("topic {}: {why}", args.topic)).next(way_out(args, why))
}

fn way_out(args: &SendArgs, why: &str) -> &'static str {
    match () {
        () if args.raw => "",
        () if why.starts_with("the record has no key") => {
            "give one with --key or --key-field; --raw sends it as it is"
        }
        () => "--raw sends it unchecked, the key as text",
    }
}

struct Sending<'a> {
    sender: &'a Sender,
    args: &'a SendArgs,
    /// `None`: nothing is checked.
    topic: Option<Topic>,
    sent: usize,
}

impl Sending<'_> {
    /// Sends the lines of the file, or of standard input.
    fn read(&mut self, cx: &Context<'_>) -> CliResult {
        match self
            .args
            .file
            .as_deref()
            .filter(|file| file.as_os_str() != "-")
        {
            Some(path) => {
                let failed = |error| {
                    CliError::failure(format_args!("cannot read {}: {error}", path.display()))
                };
                let file = File::open(path).map_err(failed)?;
                let size = file.metadata().map_err(failed)?.len();
                let name = path.display().to_string();
                self.lines(
                    BufReader::with_capacity(1 << 16, file),
                    &name,
                    Progress::bytes(cx.progress(), size),
                )?;
            }
            None => {
                let input = std::io::stdin();
                if input.is_terminal() {
                    eprintln!("One record a line; Ctrl-D ends.");
                }
                let progress = Progress::counter(cx.progress() && !input.is_terminal());
                self.lines(input.lock(), "standard input", progress)?;
            }
        }
        Ok(())
    }

    fn lines(&mut self, mut input: impl BufRead, name: &str, progress: Progress) -> CliResult {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            let place = || format!("{name}:{number}");
            let read = input
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .map_err(|error| {
                    CliError::failure(format_args!("cannot read {}: {error}", place()))
                })?;
            if read == 0 {
                break;
            }
            if read as u64 == LONGEST_LINE {
                return Err(CliError::failure(format_args!(
                    "{}: the line is longer than 64 MiB",
                    place()
                )));
            }
            progress.advance(read as u64);
            let value = line.trim_ascii();
            if value.is_empty() {
                continue;
            }
            let key = prepare(self.topic.as_ref(), self.args, Some(value))
                .map_err(|why| self.bad_line(&place(), &why))?;
            self.send(key.as_deref(), Some(value))?;
            if number.is_multiple_of(1_000) {
                self.check()?;
            }
        }
        progress.finish();
        Ok(())
    }

    fn bad_line(&self, place: &str, why: &str) -> CliError {
        let were = if self.sent == 1 { "was" } else { "were" };
        let sent = format!("{} {were}", counted(self.sent, "record"));
        let around = match way_out(self.args, why) {
            "" => String::new(),
            way => format!("; {way}"),
        };
        CliError::failure(format_args!("{place}: {why}"))
            .next(format_args!("{sent} sent before it{around}"))
    }

    fn send(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> CliResult {
        let headers = (!self.args.header.is_empty()).then(|| {
            OutHeaders::new(
                self.args
                    .header
                    .iter()
                    .map(|(name, value)| (name.as_str(), Some(value.as_bytes()))),
            )
        });
        let record = Outgoing {
            topic: &self.args.topic,
            partition: None,
            key,
            value,
            timestamp: self.args.timestamp,
            headers,
            slot: 0,
        };
        self.sender.send(record)?;
        self.sender.serve();
        self.sent += 1;
        Ok(())
    }

    /// Stops at the first record the broker refused, not at the end of a large file.
    fn check(&self) -> CliResult {
        refused(&self.sender.deliveries())
    }

    fn finish(self, cx: &Context<'_>) -> CliResult {
        let deliveries = self.sender.flush(DELIVERY)?;
        refused(&deliveries)?;
        let records = counted(self.sent, "record");
        cx.note(format_args!("Sent {records} to {}.", self.args.topic));
        Ok(())
    }
}

fn refused(deliveries: &Deliveries) -> CliResult {
    match deliveries.failures.first() {
        None => Ok(()),
        Some(failure) => {
            let more = match deliveries.failed {
                0 | 1 => String::new(),
                failed => format!(" (and {} more)", failed - 1),
            };
            Err(CliError::failure(format_args!("{failure}{more}")))
        }
    }
}

/// The field at `path` of a JSON value.
fn field_of(value: &[u8], path: &str) -> Result<Value, String> {
    let document: Value =
        serde_json::from_slice(value).map_err(|error| format!("not JSON: {error}"))?;
    let mut found = &document;
    for name in path.split('.') {
        found = found
            .get(name)
            .ok_or_else(|| format!("there is no field `{path}`"))?;
    }
    Ok(found.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::known::text_of;

    #[test]
    fn a_key_comes_out_of_the_value() {
        let key =
            |value: &str, path| field_of(value.as_bytes(), path).and_then(|field| text_of(&field));
        assert_eq!(key(r#"{"user":"ann","n":7}"#, "user"), Ok("ann".to_owned()));
        assert_eq!(
            key(r#"{"user":{"id":12345678901234567890}}"#, "user.id"),
            Ok("12345678901234567890".to_owned())
        );
        assert_eq!(key(r#"{"ok":true}"#, "ok"), Ok("true".to_owned()));
        assert!(key("nonsense", "user").unwrap_err().contains("not JSON"));
        assert!(key(r#"{"a":1}"#, "b").unwrap_err().contains("no field `b`"));
        assert!(key(r#"{"a":[1]}"#, "a").unwrap_err().contains("neither"));
    }
}
