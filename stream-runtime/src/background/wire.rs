//! What workers ask each other, as bytes: MessagePack with field names, so that a later version may say more.

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::table::{Chunk, Scan};
use crate::topology::TableDescriptor;
use crate::worker::{Answer, Ask};

/// The path of questions.
pub(crate) const PATH: &str = "/_stream/read";
/// What all paths between workers begin with.
pub(crate) const PREFIX: &str = "/_stream/";

/// A question to the owner of a partition.
#[derive(Serialize, Deserialize)]
pub(crate) struct Question {
    /// The app's name on the wire.
    pub(crate) app: String,
    /// Whom it is for, by its name among the workers.
    pub(crate) worker: String,
    pub(crate) table: String,
    pub(crate) partition: i32,
    /// Partitions that the table has for the one who asks.
    pub(crate) partitions: i32,
    /// What the one who asks takes the table for.
    pub(crate) shape: String,
    /// The layout key of one row.
    #[serde(default)]
    row: Option<Blob>,
    /// Where to begin with several.
    #[serde(default)]
    from: Option<Blob>,
    /// The one key that is wanted, where a window stands before it.
    #[serde(default)]
    key: Option<Blob>,
    #[serde(default)]
    rows: usize,
    #[serde(default)]
    bytes: usize,
}

/// The answer.
#[derive(Default, Serialize, Deserialize)]
struct Reply {
    #[serde(default)]
    row: Option<Blob>,
    #[serde(default)]
    rows: Vec<(Blob, Blob)>,
    #[serde(default)]
    next: Option<Blob>,
}

/// Bytes, written as such and not as a list of numbers.
#[derive(Default)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// What a table is taken for: its key, and where its windows lie. Rows of another shape would be looked for elsewhere.
pub(crate) fn shape(table: &TableDescriptor) -> String {
    format!("{} {:?}", table.key, table.window)
}

impl Question {
    pub(crate) fn new(
        app: &str,
        worker: &str,
        table: &TableDescriptor,
        partition: i32,
        partitions: i32,
        ask: &Ask,
    ) -> Self {
        let mut question = Question {
            app: app.to_owned(),
            worker: worker.to_owned(),
            table: table.name.to_owned(),
            partition,
            partitions,
            shape: shape(table),
            row: None,
            from: None,
            key: None,
            rows: 0,
            bytes: 0,
        };
        match ask {
            Ask::Row(key) => question.row = Some(Blob(key.clone())),
            Ask::Rows(scan) => {
                question.from = Some(Blob(scan.from.clone()));
                question.key = scan.key.clone().map(Blob);
                (question.rows, question.bytes) = (scan.rows, scan.bytes);
            }
        }
        question
    }

    /// What is asked for; `None` when that is something of a later version.
    pub(crate) fn ask(&self) -> Option<Ask> {
        match (&self.row, &self.from) {
            (Some(row), None) => Some(Ask::Row(row.0.clone())),
            (None, Some(from)) => Some(Ask::Rows(Scan {
                from: from.0.clone(),
                key: self.key.as_ref().map(|key| key.0.clone()),
                rows: self.rows,
                bytes: self.bytes,
            })),
            _ => None,
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        rmp_serde::to_vec_named(self).map_err(|error| error.to_string())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
    }
}

/// An answer as bytes.
pub(crate) fn answer_to_bytes(answer: Answer) -> Result<Vec<u8>, String> {
    let reply = match answer {
        Answer::Row(row) => Reply {
            row: row.map(Blob),
            ..Reply::default()
        },
        Answer::Rows(Chunk { rows, next }) => Reply {
            row: None,
            rows: rows
                .into_iter()
                .map(|(key, row)| (Blob(key), Blob(row)))
                .collect(),
            next: next.map(Blob),
        },
    };
    rmp_serde::to_vec_named(&reply).map_err(|error| error.to_string())
}

/// The answer to a question, from its bytes.
pub(crate) fn answer_from_bytes(ask: &Ask, bytes: &[u8]) -> Result<Answer, String> {
    let reply: Reply = rmp_serde::from_slice(bytes)
        .map_err(|error| rmp_serde::decode::Error::custom(error).to_string())?;
    Ok(match ask {
        Ask::Row(_) => Answer::Row(reply.row.map(|row| row.0)),
        Ask::Rows(_) => Answer::Rows(Chunk {
            rows: reply.rows.into_iter().map(|(k, v)| (k.0, v.0)).collect(),
            next: reply.next.map(|next| next.0),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_read_back() {
        static TABLE: TableDescriptor = TableDescriptor {
            name: "sold",
            ..TableDescriptor::DEFAULT
        };
        let scan = Scan {
            from: vec![1, 0],
            key: Some(vec![255]),
            rows: 7,
            bytes: 9,
        };
        for ask in [Ask::Row(vec![]), Ask::Rows(scan)] {
            let question = Question::new("app", "w", &TABLE, 3, 4, &ask);
            let read = Question::from_bytes(&question.to_bytes().unwrap()).unwrap();
            assert_eq!(read.ask(), Some(ask));
            assert_eq!(
                (&*read.table, read.partition, read.partitions),
                ("sold", 3, 4)
            );
        }
        let chunk = Chunk {
            rows: vec![(vec![1], vec![200, 2])],
            next: Some(vec![]),
        };
        for (ask, answer) in [
            (Ask::Row(vec![]), Answer::Row(None)),
            (Ask::Row(vec![]), Answer::Row(Some(vec![]))),
            (
                Ask::Rows(Scan {
                    from: vec![],
                    key: None,
                    rows: 1,
                    bytes: 1,
                }),
                Answer::Rows(chunk),
            ),
        ] {
            let bytes = answer_to_bytes(answer.clone()).unwrap();
            assert_eq!(answer_from_bytes(&ask, &bytes).unwrap(), answer);
        }
    }
}
