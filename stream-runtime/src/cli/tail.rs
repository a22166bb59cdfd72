//! `tail`: what a topic holds, and what comes.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use super::args::{Output, TailArgs};
use super::context::Context;
use super::error::{CliResult, output_error};
use super::known::{Known, Topic};
use super::print::{json_or_text, readable, time};
use super::style::Style;
use super::topic_reader::{Follow, Step, watermark};
use crate::error::meant;
use crate::kafka::{Admin, Isolation, RecordView};
use crate::task::watermark::{SourceState, Word};

pub(crate) fn run(cx: &Context<'_>, args: &TailArgs) -> CliResult {
    let properties = cx.client()?;
    let admin = cx.admin(&properties)?;
    let follow = Follow {
        topic: args.topic.clone(),
        partitions: args.partition.clone(),
        from_beginning: args.from_beginning,
        until_end: args.until_end,
        isolation: if args.read_uncommitted {
            Isolation::Uncommitted
        } else {
            Isolation::Committed
        },
        watermarks: args.watermarks,
        group: cx.id().to_owned(),
    };
    // A plan with problems is the worker's to report.
    let known = match args.raw {
        true => None,
        false => Known::of(cx, &args.topic).ok(),
    };
    let topic = known.as_ref().and_then(|known| known.topic(&args.topic));
    let mut printer = Printer::new(cx, args, topic.cloned().unwrap_or_default());
    let mut left = args.max_records.unwrap_or(u64::MAX);
    let mut waiting = false;
    let mut said = None;
    follow.run(&properties, &admin, &mut |step| {
        match step {
            Step::NoTopic if !waiting => {
                let meant = meant_else(&admin, known.as_ref(), &args.topic);
                cx.note(format_args!(
                    "There is no topic {} yet; waiting for it.{meant}",
                    args.topic
                ));
                waiting = true;
            }
            Step::NoTopic => {}
            Step::Record(partition, record) if left > 0 => {
                printer.print(partition, record)?;
                left -= 1;
            }
            Step::Record(..) => {}
            Step::Quiet(trouble) => {
                printer.flush()?;
                if let Some(trouble) = &trouble
                    && said.as_ref() != Some(trouble)
                {
                    cx.note(format_args!("{trouble}"));
                }
                said = trouble;
            }
        }
        Ok(if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    printer.flush()
}

/// Another topic that may be meant, where the app has none of that name.
fn meant_else(admin: &Admin, known: Option<&Known>, topic: &str) -> String {
    if known.is_some_and(|known| known.topic(topic).is_some()) {
        return String::new();
    }
    let others = admin.topics().unwrap_or_default();
    let own = known.into_iter().flat_map(Known::all_names);
    match meant(topic, own.chain(others.keys().map(String::as_str))) {
        Some(other) => format!(" Did you mean {other}?"),
        None => String::new(),
    }
}

struct Printer {
    out: BufWriter<std::io::Stdout>,
    output: Output,
    style: Style,
    topic: String,
    known: Topic,
    headers: bool,
}

impl Printer {
    fn new(cx: &Context<'_>, args: &TailArgs, known: Topic) -> Self {
        let topic = serde_json::Value::from(args.topic.as_str()).to_string();
        Printer {
            out: BufWriter::new(std::io::stdout()),
            output: cx.output(),
            style: cx.style(),
            topic,
            known,
            headers: args.headers,
        }
    }

    fn print(&mut self, partition: i32, record: &RecordView<'_>) -> CliResult {
        match self.output {
            Output::Json => self.json(partition, record),
            Output::Text => self.text(partition, record),
        }
        .map_err(output_error)
    }

    fn json(&mut self, partition: i32, record: &RecordView<'_>) -> std::io::Result<()> {
        write!(
            self.out,
            r#"{{"topic":{},"partition":{partition},"offset":{},"timestamp":{},"headers":["#,
            self.topic, record.offset, record.timestamp
        )?;
        for (at, (name, value)) in record.headers.iter().enumerate() {
            let value = value.map(readable);
            let header = serde_json::json!({ "name": name, "value": value });
            write!(self.out, "{}{header}", if at > 0 { "," } else { "" })?;
        }
        self.out.write_all(b"],")?;
        let shown = record.key.map(|key| self.known.shown(key));
        if let Some(end) = shown.as_ref().and_then(|shown| shown.window_end) {
            write!(self.out, r#""window_end":{end},"#)?;
        }
        let key = shown.map_or(serde_json::Value::Null, |shown| shown.key);
        write!(self.out, r#""key":{key},"value":"#)?;
        let row = record.value.and_then(|value| self.known.shown_value(value));
        match (record.value, row) {
            (None, _) => self.out.write_all(b"null")?,
            (Some(_), Some(row)) => write!(self.out, "{row}")?,
            // As it was sent: reading and writing it would change numbers.
            (Some(value), None) if is_one_line_of_json(value) => self.out.write_all(value)?,
            (Some(value), None) => write!(self.out, "{}", json_or_text(value))?,
        }
        self.out.write_all(b"}\n")
    }

    fn text(&mut self, partition: i32, record: &RecordView<'_>) -> std::io::Result<()> {
        let time = time(record.timestamp);
        let key = record
            .key
            .map_or_else(|| "-".to_owned(), |key| self.known.shown(key).text());
        let value = record.value.map_or_else(
            || watermark(record).map_or_else(|| "(tombstone)".to_owned(), |words| said(&words)),
            |value| match self.known.shown_value(value) {
                Some(row) => row.to_string(),
                None => readable(value),
            },
        );
        let style = self.style;
        let place = format!("{partition}:{}", record.offset);
        writeln!(
            self.out,
            "{}  {}  {}  {value}",
            style.dim(place),
            style.dim(time),
            style.cyan(key)
        )?;
        if self.headers {
            for (name, value) in record.headers.iter() {
                let value = value.map_or_else(|| "(null)".to_owned(), readable);
                writeln!(self.out, "    {}: {value}", style.dim(name))?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> CliResult {
        self.out.flush().map_err(output_error)
    }
}

/// A watermark for people.
fn said(words: &[Word]) -> String {
    let each = |word: &Word| {
        let at = word.stamp().map_or_else(|| "no time".to_owned(), time);
        let state = match word.state {
            SourceState::Counts => "",
            SourceState::Idle => ", idle",
            SourceState::Stopped => ", stopped",
            SourceState::LeftOut => ", left out",
        };
        format!("partition {} at {at}{state}", word.source)
    };
    let all: Vec<String> = words.iter().map(each).collect();
    format!("(watermark: {})", all.join("; "))
}

fn is_one_line_of_json(value: &[u8]) -> bool {
    !value.contains(&b'\n') && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_says_how_far_its_sources_are() {
        let word = |source, time, state| Word {
            source,
            time,
            state,
            generation: 3,
        };
        let words = [
            word(0, 1_700_000_000_000, SourceState::Counts),
            word(7, i64::MIN, SourceState::Idle),
        ];
        let expect = format!(
            "(watermark: partition 0 at {}; partition 7 at no time, idle)",
            time(1_700_000_000_000)
        );
        assert_eq!(said(&words), expect);
    }

    #[test]
    fn values_that_are_no_json_become_text() {
        assert!(is_one_line_of_json(br#"{"voltage":234.840}"#));
        assert!(!is_one_line_of_json(b"{\n}"));
        assert_eq!(json_or_text(b"{\n}"), serde_json::json!({}));
        assert_eq!(json_or_text(b"not json"), serde_json::json!("not json"));
    }
}
