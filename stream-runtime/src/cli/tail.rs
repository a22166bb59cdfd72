//! `tail`: what a topic holds, and what comes.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use super::args::{Output, TailArgs};
use super::context::Context;
use super::error::{CliResult, output_error};
use super::follow::{Follow, Step};
use super::print::{json_or_text, readable, time};
use super::style::Style;
use crate::kafka::{Isolation, RecordView};

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
        group: cx.id().to_owned(),
    };
    let mut printer = Printer::new(cx, args);
    let mut left = args.max_records.unwrap_or(u64::MAX);
    let mut waiting = false;
    let mut said = None;
    follow.run(&properties, &admin, &mut |step| {
        match step {
            Step::NoTopic if !waiting => {
                cx.note(format_args!(
                    "There is no topic {} yet; waiting for it.",
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

struct Printer {
    out: BufWriter<std::io::Stdout>,
    output: Output,
    style: Style,
    topic: String,
}

impl Printer {
    fn new(cx: &Context<'_>, args: &TailArgs) -> Self {
        let topic = serde_json::Value::from(args.topic.as_str()).to_string();
        Printer {
            out: BufWriter::new(std::io::stdout()),
            output: cx.output(),
            style: cx.style(),
            topic,
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
            r#"{{"topic":{},"partition":{partition},"offset":{},"timestamp":{},"key":"#,
            self.topic, record.offset, record.timestamp
        )?;
        match record.key {
            None => self.out.write_all(b"null")?,
            Some(key) => write!(self.out, "{}", serde_json::Value::from(readable(key)))?,
        }
        self.out.write_all(b",\"value\":")?;
        match record.value {
            None => self.out.write_all(b"null")?,
            // As it was sent: reading and writing it would change numbers.
            Some(value) if is_one_line_of_json(value) => self.out.write_all(value)?,
            Some(value) => write!(self.out, "{}", json_or_text(value))?,
        }
        self.out.write_all(b"}\n")
    }

    fn text(&mut self, partition: i32, record: &RecordView<'_>) -> std::io::Result<()> {
        let time = time(record.timestamp);
        let key = record.key.map_or_else(|| "-".to_owned(), readable);
        let value = record
            .value
            .map_or_else(|| "(tombstone)".to_owned(), readable);
        let style = self.style;
        let place = format!("{partition}:{}", record.offset);
        writeln!(
            self.out,
            "{}  {}  {}  {value}",
            style.dim(place),
            style.dim(time),
            style.cyan(key)
        )
    }

    fn flush(&mut self) -> CliResult {
        self.out.flush().map_err(output_error)
    }
}

fn is_one_line_of_json(value: &[u8]) -> bool {
    !value.contains(&b'\n') && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_json_become_text() {
        assert!(is_one_line_of_json(br#"{"voltage":234.840}"#));
        assert!(!is_one_line_of_json(b"{\n}"));
        assert_eq!(json_or_text(b"{\n}"), serde_json::json!({}));
        assert_eq!(json_or_text(b"not json"), serde_json::json!("not json"));
    }
}
