//! Rows that could not be read, sent to their table's `{app}-{table}-unreadable`.

use super::dead_letter as header;
use super::headers::encode_headers;
use super::state::{TaskState, people_time};

impl TaskState {
    /// What the tables have set aside since the last commit, as it is, with why and where in headers.
    pub(crate) fn send_unreadable(&self) {
        for (table, output) in self.tables.iter().zip(&self.outputs.unreadable) {
            let Some(output) = *output else {
                continue;
            };
            for aside in table.take_aside() {
                let name = table.descriptor().name;
                tracing::error!(
                    table = name,
                    partition = self.partition,
                    to = &*self.outputs.topics[output],
                    "a row is set aside, and its key starts again: {}",
                    aside.why
                );
                let why: String = aside.why.chars().take(1000).collect();
                let mut headers = vec![
                    (header::ERROR, why),
                    (header::TABLE, name.to_owned()),
                    (header::PARTITION, self.partition.to_string()),
                ];
                if let Some(window) = table.descriptor().window.filter(|_| aside.end != 0) {
                    headers.push((header::START, people_time(aside.end - window.size())));
                    headers.push((header::END, people_time(aside.end)));
                }
                let put = |bytes: &[u8], out: &mut Vec<u8>| {
                    out.extend_from_slice(bytes);
                    Ok::<_, std::convert::Infallible>(true)
                };
                let _ = self.effects.batch.borrow_mut().push(
                    output,
                    self.times.wall.get(),
                    |out| {
                        let headers = headers.iter();
                        encode_headers(headers.map(|(n, v)| (*n, Some(v.as_bytes()))), out);
                    },
                    |out| put(&aside.key, out),
                    |out| put(&aside.row, out),
                );
            }
        }
    }
}
