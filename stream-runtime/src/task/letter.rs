//! A dead letter, taken apart: what failed, where the record came from, the record itself.

use super::dead_letter as header;
use super::letter_place::LetterPlace;
use super::{EVENT_TIME, SOURCE_AT};
use crate::topology::again_topic;

/// A header of the record's own.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    pub(crate) place: LetterPlace,
    /// When it failed: epoch ms.
    pub(crate) timestamp: i64,
    pub(crate) error: String,
    pub(crate) agent: String,
    pub(crate) attempts: u32,
    pub(crate) origin: Origin,
    /// The record's own headers.
    pub(crate) headers: Vec<Header>,
    /// How long the value was, when it did not fit.
    pub(crate) cut_from: Option<usize>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What it is the failure of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    /// A record of an input.
    Record {
        topic: String,
        partition: i32,
        offset: i64,
        timestamp: i64,
        /// Where it was read before it got another key (`group_by`), and came to this topic.
        before: Option<(String, i32, i64)>,
    },
    /// A window that closed.
    Window {
        table: String,
        partition: i32,
        start: String,
        end: String,
        /// The row as tables keep rows, where the JSON that is the value does not come back.
        row: Option<Vec<u8>>,
    },
    /// Not said.
    Unknown,
}

impl Letter {
    /// `None`: not a dead letter of this framework.
    pub(crate) fn of(
        place: LetterPlace,
        timestamp: i64,
        mut headers: Vec<Header>,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Option<Self> {
        let text = |(_, value): Header| {
            String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
        };
        // The framework's stand first, and their order is fixed: the record's own may have the same names.
        let mut cut_from = None;
        if headers
            .last()
            .is_some_and(|(name, _)| name == header::CUT_FROM)
        {
            cut_from = headers.pop().and_then(|last| text(last).parse().ok());
        }
        // Behind a hop: where the record was read before. Only all three of them are ours.
        let before = |rest: &mut Vec<Header>| {
            let names = [
                header::ORIGIN_TOPIC,
                header::ORIGIN_PARTITION,
                header::ORIGIN_OFFSET,
            ];
            let [topic, partition, offset] = rest.get(..3)? else {
                return None;
            };
            let all = [topic, partition, offset];
            if all.iter().zip(names).any(|((name, _), ours)| name != ours) {
                return None;
            }
            let [topic, partition, offset] = all.map(|header| text(header.clone()));
            let found = (topic, partition.parse().ok()?, offset.parse().ok()?);
            rest.drain(..3);
            Some(found)
        };
        let mut rest = headers;
        let next = |rest: &mut Vec<Header>, name: &str| {
            let first = rest.first().is_some_and(|(found, _)| found == name);
            first.then(|| text(rest.remove(0)))
        };
        let rest = &mut rest;
        let (error, agent) = (next(rest, header::ERROR)?, next(rest, header::AGENT)?);
        let attempts = next(rest, header::ATTEMPTS)?.parse().ok()?;
        let origin = if let Some(topic) = next(rest, header::SOURCE_TOPIC) {
            let partition = next(rest, header::SOURCE_PARTITION)?.parse().ok()?;
            let offset = next(rest, header::SOURCE_OFFSET)?.parse().ok()?;
            let timestamp = next(rest, header::SOURCE_TIMESTAMP)?.parse().ok()?;
            Origin::Record {
                topic,
                partition,
                offset,
                timestamp,
                before: before(rest),
            }
        } else if let Some(table) = next(rest, header::TABLE) {
            Origin::Window {
                table,
                partition: next(rest, header::PARTITION)?.parse().ok()?,
                start: next(rest, header::START)?,
                end: next(rest, header::END)?,
                row: match rest.first() {
                    Some((name, _)) if name == header::ROW => rest.remove(0).1,
                    _ => None,
                },
            }
        } else {
            Origin::Unknown
        };
        Some(Letter {
            place,
            timestamp,
            error,
            agent,
            attempts,
            origin,
            headers: std::mem::take(rest),
            cut_from,
            key,
            value,
        })
    }

    /// The headers of the framework's that a record behind a hop is sent again with: its time, and where it was read.
    fn hop_headers(&self) -> Vec<Header> {
        match &self.origin {
            Origin::Record {
                timestamp,
                before: Some((topic, partition, offset)),
                ..
            } => {
                let at = format!("{topic}[{partition}]@{offset}");
                vec![
                    (EVENT_TIME.to_owned(), Some(timestamp.to_string().into())),
                    (SOURCE_AT.to_owned(), Some(at.into())),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// The headers of the framework's that a window is sent again with; the agent's next letter of it has them too.
    fn window_headers(&self) -> Vec<Header> {
        let Origin::Window {
            table,
            partition,
            start,
            end,
            row,
        } = &self.origin
        else {
            return Vec::new();
        };
        let text = |name: &str, text: &str| (name.to_owned(), Some(text.as_bytes().to_vec()));
        let mut headers = vec![
            text(header::TABLE, table),
            text(header::PARTITION, &partition.to_string()),
            text(header::START, start),
            text(header::END, end),
        ];
        headers.extend(row.clone().map(|row| (header::ROW.to_owned(), Some(row))));
        headers
    }

    /// The headers that it is sent again with: the framework's, then its own.
    pub(crate) fn headers_again(&self) -> Vec<Header> {
        let mut headers = self.hop_headers();
        headers.extend(self.window_headers());
        headers.extend_from_slice(&self.headers);
        headers
    }

    /// The stamp that it is sent again with; `None`: that of now.
    pub(crate) fn stamp_again(&self) -> Option<i64> {
        match &self.origin {
            // A message that had no time gets that of now; a time that Kafka's stamp cannot hold goes in the header.
            Origin::Record {
                timestamp, before, ..
            } => (*timestamp != -1).then(|| match before {
                None => *timestamp,
                Some(_) => (*timestamp).max(1),
            }),
            // Its times are in its headers.
            Origin::Window { .. } | Origin::Unknown => None,
        }
    }

    /// Where it is sent again: topic and partition; `None` when it has no source. `id` is the app's name on the wire.
    pub(crate) fn way_back(&self, id: &str) -> Option<(String, i32)> {
        match &self.origin {
            Origin::Record {
                topic, partition, ..
            } => Some((topic.clone(), *partition)),
            Origin::Window { partition, .. } => Some((again_topic(id, &self.agent), *partition)),
            Origin::Unknown => None,
        }
    }

    /// Why it cannot be sent again; `None`: it can. `closes` is the table whose windows its agent takes.
    pub(crate) fn refusal(&self, closes: Option<&str>) -> Option<String> {
        match (&self.origin, self.cut_from) {
            (Origin::Window { table, .. }, _) if closes.is_none() => Some(format!(
                "it is what table `{table}` closed, which no window of agent `{}` is: a join's records go without a partner once",
                self.agent
            )),
            (Origin::Window { table, .. }, _) if closes != Some(table) => Some(format!(
                "it is a window of table `{table}`, and agent `{}` takes those of `{}` now",
                self.agent,
                closes.unwrap_or_default()
            )),
            (Origin::Window { row: Some(_), .. }, _) | (Origin::Window { .. }, None) => None,
            (Origin::Window { table, start, .. }, Some(length)) => Some(format!(
                "its row of {length} bytes was cut; it was of the window of table `{table}` that began at {start}"
            )),
            (Origin::Unknown, _) => Some("it has no source record".to_owned()),
            (
                Origin::Record {
                    topic,
                    partition,
                    offset,
                    ..
                },
                Some(length),
            ) => Some(format!(
                "its value of {length} bytes was cut; the whole record is {topic}[{partition}]@{offset}, if it is still there"
            )),
            (Origin::Record { .. }, None) => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Record {
                topic,
                partition,
                offset,
                before,
                ..
            } => match before {
                Some((source, of, at)) => {
                    write!(f, "{source}[{of}]@{at} by {topic}[{partition}]@{offset}")
                }
                None => write!(f, "{topic}[{partition}]@{offset}"),
            },
            Origin::Window {
                table,
                partition,
                start,
                ..
            } => write!(f, "table {table}[{partition}] {start}"),
            Origin::Unknown => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&str, &str)]) -> Option<Letter> {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
        let place = LetterPlace {
            partition: 0,
            offset: 4,
        };
        Letter::of(place, 5, headers.collect(), None, Some(b"v".to_vec()))
    }

    const RECORD: [(&str, &str); 7] = [
        ("error", "no"),
        ("agent", "total"),
        ("attempts", "3"),
        ("source.topic", "orders"),
        ("source.partition", "1"),
        ("source.offset", "17"),
        ("source.timestamp", "99"),
    ];

    #[test]
    fn a_record_s_own_headers_stay_its_own_even_when_they_are_named_alike() {
        let own = [
            ("error", "mine"),
            ("trace", "7"),
            ("source.topic", "mine too"),
        ];
        let found = letter(&[&RECORD[..], &own].concat()).unwrap();
        assert_eq!(found.error, "no");
        assert_eq!(found.origin.to_string(), "orders[1]@17");
        let kept: Vec<_> = found
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(kept, ["error", "trace", "source.topic"]);
        assert_eq!(found.refusal(None), None);
    }

    #[test]
    fn a_letter_behind_a_hop_names_where_its_record_was_read() {
        let hop = [
            ("origin.topic", "views"),
            ("origin.partition", "2"),
            ("origin.offset", "40"),
        ];
        let own = [("origin.topic", "its own")];
        let found = letter(&[&RECORD[..], &hop, &own].concat()).unwrap();
        assert_eq!(found.origin.to_string(), "views[2]@40 by orders[1]@17");
        assert_eq!(
            found.headers,
            [("origin.topic".to_owned(), Some(b"its own".to_vec()))]
        );
        let text = |at: usize| {
            let (name, value) = found.hop_headers().swap_remove(at);
            (name, String::from_utf8(value.unwrap()).unwrap())
        };
        assert_eq!(text(0), ("event-time".to_owned(), "99".to_owned()));
        assert_eq!(text(1), ("source-at".to_owned(), "views[2]@40".to_owned()));
        // A record's own header that is named like ours is not a place.
        let found = letter(&[&RECORD[..], &own].concat()).unwrap();
        assert_eq!(found.origin.to_string(), "orders[1]@17");
        assert_eq!(found.headers.len(), 1);
        assert!(found.hop_headers().is_empty());
    }

    #[test]
    fn what_has_no_whole_source_record_is_refused() {
        let cut = letter(&[&RECORD[..], &[("value.cut.from", "2000000")]].concat()).unwrap();
        assert!(cut.refusal(None).unwrap().contains("2000000 bytes was cut"));
        assert!(cut.headers.is_empty());
        let window = [
            ("table", "hours"),
            ("partition", "0"),
            ("start", "2026-01-01T00:00:00Z"),
            ("end", "2026-01-01T01:00:00Z"),
        ];
        let whole = [&RECORD[..3], &window].concat();
        let refusal = |headers: &[(&str, &str)], closes| letter(headers).unwrap().refusal(closes);
        assert_eq!(refusal(&whole, Some("hours")), None);
        for closes in [None, Some("days")] {
            assert!(refusal(&whole, closes).unwrap().contains("table `hours`"));
        }
        let cut = [("value.cut.from", "2000000")];
        let why = refusal(&[&whole[..], &cut].concat(), Some("hours")).unwrap();
        assert!(why.contains("2000000 bytes was cut"), "{why}");
        let row = [("row", "bytes"), cut[0]];
        assert_eq!(refusal(&[&whole[..], &row].concat(), Some("hours")), None);
        assert!(letter(&RECORD[..3]).unwrap().refusal(None).is_some());
    }

    #[test]
    fn a_window_is_sent_again_with_all_that_says_which_it_is() {
        let window = [
            ("table", "hours"),
            ("partition", "3"),
            ("start", "2026-01-01T00:00:00Z"),
            ("end", "2026-01-01T01:00:00Z"),
            ("row", "bytes"),
        ];
        let found = letter(&[&RECORD[..3], &window].concat()).unwrap();
        let again = found.headers_again();
        let again: Vec<(&str, &[u8])> = again
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref().unwrap()))
            .collect();
        assert_eq!(again, window.map(|(name, value)| (name, value.as_bytes())));
        assert_eq!(
            found.way_back("shop-v2"),
            Some(("shop-v2-total-again".to_owned(), 3))
        );
    }

    #[test]
    fn other_records_are_no_dead_letters() {
        assert_eq!(letter(&[]), None);
        assert_eq!(letter(&[("trace", "1")]), None);
        assert_eq!(letter(&RECORD[1..]), None);
    }
}
