//! Columns and JSON on standard output.

use std::io::Write;

use comfy_table::{Cell, Table, presets};
use serde::Serialize;

use super::error::{CliResult, output_error};
use super::style::Style;
use crate::key::hex;

/// Rows under a heading, in columns.
pub(super) struct Columns {
    table: Table,
    style: Style,
}

impl Columns {
    pub(super) fn new(style: Style, heading: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(
            heading
                .iter()
                .map(|name| Cell::new(style.bold(name.to_uppercase()))),
        );
        Columns { table, style }
    }

    pub(super) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.table.add_row(cells.into_iter().map(|cell| {
            let text: String = cell.into();
            if text.is_empty() {
                Cell::new(self.style.dim("-"))
            } else {
                Cell::new(text)
            }
        }));
    }

    pub(super) fn print(self) -> CliResult {
        let mut out = std::io::stdout().lock();
        for line in self.table.lines() {
            writeln!(out, "{}", line.trim()).map_err(output_error)?;
        }
        Ok(())
    }
}

/// A line of `describe`; nothing for what there is not.
pub(super) fn field(name: &str, value: &str) -> CliResult {
    if value.is_empty() {
        return Ok(());
    }
    line(format_args!("  {:<18} {value}", format!("{name}:")))
}

/// One JSON document and a line's end.
pub(super) fn json(value: &impl Serialize) -> CliResult {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(|error| output_error(error.into()))?;
    writeln!(out).map_err(output_error)
}

/// A line of text.
pub(super) fn line(text: impl std::fmt::Display) -> CliResult {
    writeln!(std::io::stdout().lock(), "{text}").map_err(output_error)
}

/// Text as it is, other bytes in hexadecimal.
pub(super) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => text.to_owned(),
        _ => hex(bytes),
    }
}

/// A value for programs: JSON as it is, other bytes as text.
pub(super) fn json_or_text(value: &[u8]) -> serde_json::Value {
    serde_json::from_slice(value).unwrap_or_else(|_| serde_json::Value::from(readable(value)))
}

/// A stamp for people.
pub(super) fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || "-".to_owned(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable() {
        assert_eq!(readable("Zähler 1".as_bytes()), "Zähler 1");
        assert_eq!(readable(&[0, 0, 1, 255]), "0x000001ff");
        assert_eq!(readable(b""), "");
    }
}
