//! Windows that are sent again: dead letters of agents `on_close`, each of which comes back to its agent as a record.

use super::bad::Bad;
use super::dead_letter as header;
use super::headers::decode_headers;
use super::inbox::RawRecord;
use super::state::AgentCx;
use super::state::TaskState;
use crate::codec::rows;
use crate::key::StreamKey;
use crate::table::{HeadRow, TableSpec};

impl TaskState {
    /// The input with a window that is to be dispatched again, if there is one: it goes before records.
    pub(crate) fn waiting_again(&self) -> Option<usize> {
        let mut inputs = self.inputs.timely..self.inputs.inboxes.len();
        inputs.find(|&input| self.inputs.inboxes[input].borrow().waiting() > 0)
    }

    /// Returns whether an input brings windows again.
    pub(crate) fn is_again(&self, input: usize) -> bool {
        input >= self.inputs.timely
    }
}

impl AgentCx {
    /// Reads the current window that was sent again. Its time is that of the window's outputs; it moves no stream time,
    /// and is judged by it: what the agent writes to other windows may be late.
    ///
    /// # Errors
    /// It is of another table, or its row does not read.
    pub(crate) fn read_again<S: TableSpec>(&self, input: usize) -> Result<HeadRow<S>, Bad> {
        let inbox = self.shared.inputs.inboxes[input].borrow();
        let Some(record) = inbox.front() else {
            return Err("the window is gone".to_owned().into());
        };
        let head = window::<S>(&record)?;
        self.shared.clock.event_time.set(head.end.saturating_sub(1));
        Ok(head)
    }
}

/// The window in a record.
fn window<S: TableSpec>(record: &RawRecord<'_>) -> Result<HeadRow<S>, String> {
    let name = S::DESCRIPTOR.name;
    let of = text(record, header::TABLE);
    if of != Some(name) {
        let what = of.map_or("not a window".to_owned(), |of| {
            format!("a window of table `{of}`")
        });
        return Err(format!(
            "it is {what}, and this agent takes those of `{name}`: only `dead-letters resend` is to send here"
        ));
    }
    let (Some(start), Some(end)) = (time(record, header::START), time(record, header::END)) else {
        return Err(format!(
            "it does not say from when to when the window of table `{name}` was"
        ));
    };
    let key = S::Key::decode(record.key).map_err(|error| {
        format!("the key of its window of table `{name}` does not read: {error}")
    })?;
    let odd = |field: Option<String>, why: String, cure: &str| {
        let field = field.map_or_else(String::new, |field| format!("field {field}: "));
        format!(
            "its window's row does not read as a row of table `{name}` is now: {field}{why}; {cure}, then send it again"
        )
    };
    let value = match find(record, header::ROW) {
        Some(row) => rows::decode(row).map_err(|problem| {
            let unreadable = rows::explain::<S::Value>(row, problem);
            odd(unreadable.field, unreadable.why, unreadable.cure)
        })?,
        None => rows::decode_json(record.value.unwrap_or_default()).map_err(|problem| {
            odd(
                None,
                problem.to_string(),
                "a field that was added needs `#[serde(default)]`",
            )
        })?,
    };
    Ok(HeadRow {
        key,
        start,
        end,
        value,
    })
}

/// The first header of this name: ours stand before all others.
fn find<'a>(record: &RawRecord<'a>, name: &str) -> Option<&'a [u8]> {
    let mut headers = decode_headers(record.headers);
    headers.find(|(found, _)| *found == name)?.1
}

fn text<'a>(record: &RawRecord<'a>, name: &str) -> Option<&'a str> {
    std::str::from_utf8(find(record, name)?).ok()
}

/// A time as [`people_time`](super::state::people_time) writes it.
fn time(record: &RawRecord<'_>, name: &str) -> Option<i64> {
    let text = text(record, name)?;
    match text.strip_suffix(" ms") {
        Some(ms) => ms.parse().ok(),
        None => Some(
            chrono::DateTime::parse_from_rfc3339(text)
                .ok()?
                .timestamp_millis(),
        ),
    }
}
