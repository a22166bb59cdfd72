//! `send`: records from the command line, a file or standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::time::Duration;

use serde_json::Value;

use super::args::SendArgs;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::progress::Progress;
use crate::kafka::{Deliveries, OutHeaders, Outgoing, Sender};

/// The longest line that is read; Kafka takes 1 MiB by default.
const LONGEST_LINE: u64 = 64 << 20;
/// How long the last records may take to be delivered.
const DELIVERY: Duration = Duration::from_secs(120);

pub(crate) fn run(cx: &Context<'_>, args: &SendArgs) -> CliResult {
    let properties = cx.client()?;
    cx.make_topic(&properties, &args.topic)?;
    let sender = Sender::new(&properties)?;
    let mut sending = Sending {
        sender: &sender,
        args,
        sent: 0,
    };
    if args.tombstone {
        sending.send(None, None, "the tombstone")?;
        return sending.finish(cx);
    }
    if let Some(value) = &args.value {
        sending.send(Some(value.as_bytes()), None, "the value")?;
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

struct Sending<'a> {
    sender: &'a Sender,
    args: &'a SendArgs,
    sent: u64,
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
            self.send(Some(value), Some(&place), "the value")?;
            if number.is_multiple_of(1_000) {
                self.check()?;
            }
        }
        progress.finish();
        Ok(())
    }

    fn send(
        &mut self,
        value: Option<&[u8]>,
        place: Option<&dyn Fn() -> String>,
        what: &str,
    ) -> CliResult {
        let from_field = match (&self.args.key_field, value) {
            (Some(field), Some(value)) => Some(key_of(value, field).map_err(|error| {
                let place = place.map_or_else(|| what.to_owned(), |place| place());
                let sent = if self.sent == 1 {
                    "1 record was".to_owned()
                } else {
                    format!("{} records were", self.sent)
                };
                CliError::failure(format_args!("{place}: {error}"))
                    .next(format_args!("{sent} sent before it"))
            })?),
            _ => None,
        };
        let key = from_field.as_deref().or(self.args.key.as_deref());
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
            key: key.map(str::as_bytes),
            value,
            timestamp: None,
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
        let records = if self.sent == 1 {
            "1 record".to_owned()
        } else {
            format!("{} records", self.sent)
        };
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

/// The key in the field at `path` of a JSON value: text as it is, numbers and booleans as they are written.
fn key_of(value: &[u8], path: &str) -> Result<String, String> {
    let document: Value =
        serde_json::from_slice(value).map_err(|error| format!("not JSON: {error}"))?;
    let mut found = &document;
    for name in path.split('.') {
        found = found
            .get(name)
            .ok_or_else(|| format!("there is no field `{path}`"))?;
    }
    match found {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Err(format!("the field `{path}` is null")),
        _ => Err(format!("the field `{path}` is neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_out_of_the_value() {
        let key = |value: &str, path| key_of(value.as_bytes(), path);
        assert_eq!(key(r#"{"user":"ann","n":7}"#, "user"), Ok("ann".to_owned()));
        assert_eq!(
            key(r#"{"user":{"id":12345678901234567890}}"#, "user.id"),
            Ok("12345678901234567890".to_owned())
        );
        assert_eq!(key(r#"{"ok":true}"#, "ok"), Ok("true".to_owned()));
        assert!(key("nonsense", "user").unwrap_err().contains("not JSON"));
        assert!(key(r#"{"a":1}"#, "b").unwrap_err().contains("no field `b`"));
        assert!(key(r#"{"a":null}"#, "a").unwrap_err().contains("null"));
        assert!(key(r#"{"a":[1]}"#, "a").unwrap_err().contains("neither"));
    }
}
