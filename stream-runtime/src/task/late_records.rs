//! Records that came too late, sent to their table's `late` topic.

use super::dead_letter as header;
use super::dispatch::Current;
use super::headers::encode_headers;
use super::inbox::RawRecord;
use super::record_buffer::RecordBuffer;
use super::state::{TaskState, people_time};

impl TaskState {
    /// The current event, unchanged, with the windows of a table that it has missed in a header; once, however many
    /// they are. A closed window that is fed too late is sent as key and row in JSON.
    pub(crate) fn send_late(&self, table: usize, output: usize, batch: &mut RecordBuffer) {
        let missed = self.tables[table].missed();
        if missed.is_empty() {
            return;
        }
        let name = self.tables[table].descriptor().name;
        let window =
            |(start, end): &(i64, i64)| format!("{}/{}", people_time(*start), people_time(*end));
        let rows = self.tables[table].missed_rows();
        let headers = |missed: &[(i64, i64)]| {
            let windows: Vec<String> = missed.iter().map(window).collect();
            let mut headers = vec![
                ("late.table", name.to_owned()),
                ("late.windows", windows.join(",")),
            ];
            if !rows.is_empty() {
                headers.push(("late.rows", rows.join(",")));
            }
            headers
        };
        let put = |headers: &[(&str, String)], out: &mut Vec<u8>| {
            let headers = headers.iter();
            encode_headers(headers.map(|(n, v)| (*n, Some(v.as_bytes()))), out);
        };
        let copy = |bytes: Option<&[u8]>, out: &mut Vec<u8>| {
            out.extend_from_slice(bytes.unwrap_or_default());
            Ok::<_, std::convert::Infallible>(bytes.is_some())
        };
        let push = |batch: &mut RecordBuffer,
                    missed: &[(i64, i64)],
                    input: usize,
                    place: Option<u64>,
                    record: &RawRecord<'_>| {
            let mut headers = headers(missed);
            headers.push((header::SOURCE_TOPIC, self.inputs.names[input].to_string()));
            headers.push((header::SOURCE_PARTITION, self.partition.to_string()));
            headers.push((header::SOURCE_OFFSET, record.offset.to_string()));
            if let Some((topic, partition, offset)) = self.read_at_place(input, place) {
                headers.push((header::ORIGIN_TOPIC, topic));
                headers.push((header::ORIGIN_PARTITION, partition.to_string()));
                headers.push((header::ORIGIN_OFFSET, offset.to_string()));
            }
            let _ = batch.push(
                output,
                self.stamp_of(record),
                |out| {
                    out.extend_from_slice(record.headers);
                    put(&headers, out);
                },
                |out| copy(record.key, out),
                |out| copy(record.value, out),
            );
        };
        match self.dispatch.current.get() {
            Current::Input(input) => {
                let inbox = self.inputs.inboxes[input].borrow();
                if let Some(record) = inbox.front() {
                    push(batch, &missed, input, None, &record);
                }
            }
            // A window that is late for one of them is late for all of its time.
            Current::InFlight(_) => {
                for held in self.dispatch.held.borrow().iter() {
                    let own = missed.iter().copied();
                    let own: Vec<_> = own
                        .filter(|(start, end)| (*start..*end).contains(&held.time))
                        .collect();
                    let inbox = self.inputs.inboxes[held.input].borrow();
                    if let (false, Some(record)) = (own.is_empty(), inbox.at(held.place)) {
                        push(batch, &own, held.input, Some(held.place), &record);
                    }
                }
            }
            Current::Closed(feeder) => {
                let feeder = &self.tables[feeder];
                let (start, end) = feeder.head_window().unwrap_or_default();
                let mut headers = headers(&missed);
                headers.push((header::TABLE, feeder.descriptor().name.to_owned()));
                headers.push((header::START, people_time(start)));
                headers.push((header::END, people_time(end)));
                let (_, row) = feeder.describe_head().unwrap_or_default();
                let _ = batch.push(
                    output,
                    (end - 1).max(1),
                    |out| put(&headers, out),
                    |out| copy(Some(&self.dispatch.closed_key.borrow()), out),
                    |out| copy(Some(row.as_bytes()), out),
                );
            }
            Current::Tick(_) | Current::None => {}
        }
    }
}
