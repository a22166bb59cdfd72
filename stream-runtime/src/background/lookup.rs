//! Rows of a table by a key that a person has written, wherever they are.

use std::sync::Arc;

use serde_json::{Value, json};

use super::route::{Of, Reads};
use crate::error::{Error, meant};
use crate::key::partition_of;
use crate::record::date;
use crate::table::{AnyReplica, Scan, ShownRow, shown_rows};
use crate::topology::{GlobalPlan, Plan, RowsFrom, TableDescriptor};
use crate::window::Window;
use crate::worker::{Answer, Ask};

/// Rows that are looked at in one turn of a stream thread, and bytes that are taken.
const ROWS: usize = 1_000;
const BYTES: usize = 256 << 10;

/// The tables of an app, for those who name one.
#[derive(Clone, Debug)]
pub(crate) struct Tables(Vec<(&'static TableDescriptor, Rows)>);

/// Places of the rows of a table.
#[derive(Clone, Debug)]
enum Rows {
    /// In partitions, with the workers that run them.
    InPartitions,
    /// The records of a topic: with every worker, if something of the app asks for them.
    OfTopic { global: GlobalPlan, kept: bool },
    /// Nobody writes them.
    Nowhere,
}

/// A table whose rows can be looked up, and where.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    /// In the partitions of the workers.
    Partitions(&'static TableDescriptor),
    /// The records of a topic; `kept`: each worker has them all.
    Topic { global: GlobalPlan, kept: bool },
}

impl Home {
    pub(crate) fn table(&self) -> &'static TableDescriptor {
        match self {
            Home::Partitions(table) => table,
            Home::Topic { global, .. } => global.table,
        }
    }
}

/// Reason why nothing is looked up, and the next step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) text: String,
    pub(crate) next: String,
}

impl Tables {
    /// Those of a plan, and those of all that no agent of it keeps.
    pub(crate) fn of(plan: &Plan, all: Vec<&'static TableDescriptor>) -> Self {
        let planned = plan.topologies.iter().flat_map(|task| &task.tables);
        let planned: Vec<_> = planned.map(|table| table.descriptor).collect();
        let others = all.into_iter().filter(|table| !planned.contains(table));
        let read: Vec<_> = plan.globals().iter().map(|global| global.table).collect();
        let others = others.map(|table| {
            let global = plan.global(table);
            let global = global.filter(|global| global.global.source.is_some());
            let kept = read.contains(&table);
            let of_topic = |global| Rows::OfTopic { global, kept };
            (table, global.map_or(Rows::Nowhere, of_topic))
        });
        // What a join keeps is not a table of the user's.
        let rows = planned
            .iter()
            .filter(|table| table.rows_from != RowsFrom::Join);
        let rows = rows.map(|table| (*table, Rows::InPartitions));
        let mut tables: Vec<_> = rows.chain(others).collect();
        tables.sort_by_key(|(table, _)| table.name);
        Tables(tables)
    }

    /// Those whose rows a worker can look up, by name.
    pub(crate) fn with_rows(&self) -> impl Iterator<Item = &'static TableDescriptor> {
        let found = self.0.iter().filter(|(_, rows)| match rows {
            Rows::InPartitions => true,
            Rows::OfTopic { kept, .. } => *kept,
            Rows::Nowhere => false,
        });
        found.map(|(table, _)| *table)
    }

    /// Returns the table of a name, if rows of it can be looked up.
    pub(crate) fn find(&self, name: &str) -> Result<Home, Refusal> {
        let Some((table, rows)) = self.0.iter().find(|(table, _)| table.name == name) else {
            let names: Vec<&str> = self.0.iter().map(|(table, _)| table.name).collect();
            let listed = match names.is_empty() {
                true => "the app has none".to_owned(),
                false => format!("the app has {}", names.join(", ")),
            };
            return Err(Refusal {
                text: format!("there is no table `{name}`"),
                next: match meant(name, names) {
                    Some(other) => format!("did you mean `{other}`? {listed}"),
                    None => listed,
                },
            });
        };
        match rows {
            Rows::InPartitions => Ok(Home::Partitions(table)),
            Rows::OfTopic { global, kept } => Ok(Home::Topic {
                global: global.clone(),
                kept: *kept,
            }),
            Rows::Nowhere => Err(Refusal {
                text: format!("table `{name}` has no rows: no agent of the app writes it"),
                next: format!("`describe {name}` tells about it"),
            }),
        }
    }
}

/// A key of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// As on the wire, by which its partition is found.
    wire: Vec<u8>,
    /// As tables order it.
    ordered: Vec<u8>,
    /// As a person wrote it.
    written: String,
}

impl Key {
    /// Reads a key as `tail` shows it and `send` takes it; `null` is the `None` of an `Option`, unless it is text.
    ///
    /// # Errors
    /// It is not a key of the table: the text names the type and how it is written.
    pub(crate) fn read(table: &TableDescriptor, written: &str) -> Result<Self, String> {
        let read = |value: Value| Ok((table.keys.read(&value)?, table.keys.read_ordered(&value)?));
        let (wire, ordered) = match read(Value::from(written)) {
            // Of text it is a key like any other.
            Err(_) if table.keys.optional && written == "null" => read(Value::Null),
            read => read,
        }
        .map_err(|why: crate::key::KeyError| {
            format!("table `{}` is kept by {}: {why}", table.name, table.key)
        })?;
        Ok(Key {
            wire: wire.unwrap_or_default(),
            ordered,
            written: written.to_owned(),
        })
    }

    fn to_json(&self, table: &TableDescriptor) -> Value {
        let shown = table.keys.show_ordered(&self.ordered);
        shown.unwrap_or_else(|_| Value::from(self.written.as_str()))
    }
}

/// Rows found under a key.
#[derive(Debug)]
pub(crate) struct LookedUp {
    /// The partition that the key belongs to.
    pub(crate) partition: i32,
    /// The address of the worker that has that partition.
    pub(crate) worker: String,
    /// None, one, or one a window in the order of their ends; of a `local` table those of every partition.
    pub(crate) rows: Vec<FoundRow>,
}

/// A row, and where it is.
#[derive(Debug)]
pub(crate) struct FoundRow {
    pub(crate) partition: i32,
    pub(crate) worker: String,
    pub(crate) row: ShownRow,
}

/// Looks up a key: in its partition, and if nothing is there in the others, where a producer with another partitioner
/// or an agent that goes by another key may have put it. Of a `local` table each partition has a row of its own.
///
/// # Errors
/// A partition cannot be read: the text names it.
pub(crate) async fn look_up(
    rows: Arc<dyn Reads>,
    table: &'static TableDescriptor,
    key: &Key,
) -> Result<LookedUp, Error> {
    let partitions = Arc::clone(&rows).partitions(table).await?;
    let own = partition_of(&key.wire, partitions);
    let (mut found, worker) = in_partition(&rows, table, key, own).await?;
    for partition in (0..partitions).filter(|partition| *partition != own) {
        if table.local || found.is_empty() {
            found.extend(in_partition(&rows, table, key, partition).await?.0);
        }
    }
    found.sort_by_key(|row| row.partition);
    Ok(LookedUp {
        partition: own,
        worker,
        rows: found,
    })
}

/// Rows of a partition, and the worker that has it.
async fn in_partition(
    rows: &Arc<dyn Reads>,
    table: &'static TableDescriptor,
    key: &Key,
    partition: i32,
) -> Result<(Vec<FoundRow>, String), Error> {
    // Only windows at the same times for all keys stand before the key.
    let aligned = matches!(
        table.window,
        Some(Window::Tumbling { .. } | Window::Hopping { .. })
    );
    let mut found = Vec::new();
    let mut from = Vec::new();
    loop {
        let ask = match aligned {
            false => Ask::Row(key.ordered.clone()),
            true => Ask::Rows(Scan {
                from,
                key: Some(key.ordered.clone()),
                rows: ROWS,
                bytes: BYTES,
            }),
        };
        let asked = Arc::clone(rows).ask(table, Of::Partition(partition), ask, false);
        let answered = asked.await?;
        let mut add = |layout_key: &[u8], bytes: &[u8]| {
            let shown = shown_rows(table, layout_key, bytes)?;
            found.extend(shown.into_iter().map(|row| FoundRow {
                partition,
                worker: answered.owner.clone(),
                row,
            }));
            Ok::<_, Error>(())
        };
        let next = match &answered.answer {
            Answer::Row(row) => {
                row.iter().try_for_each(|row| add(&key.ordered, row))?;
                None
            }
            Answer::Rows(chunk) => {
                chunk.rows.iter().try_for_each(|(key, row)| add(key, row))?;
                chunk.next.clone()
            }
        };
        match next {
            Some(next) => from = next,
            None => return Ok((found, answered.owner)),
        }
    }
}

/// A row of a global table that a topic makes.
#[derive(Debug)]
pub(crate) struct OfTopic<'a> {
    global: &'a GlobalPlan,
    pub(crate) row: Option<Value>,
}

impl<'a> OfTopic<'a> {
    /// Looks up a key in the rows of a table.
    ///
    /// # Errors
    /// The row cannot be shown.
    pub(crate) fn look_up(
        global: &'a GlobalPlan,
        rows: &dyn AnyReplica,
        key: &Key,
    ) -> Result<Self, Error> {
        let row = rows.shown(&key.ordered)?;
        Ok(OfTopic { global, row })
    }

    /// Says that there is nothing under the key; `None` when there is.
    pub(crate) fn nothing(&self, key: &Key) -> Option<String> {
        self.row.is_none().then(|| {
            format!(
                "table `{}` has nothing under {:?}: topic `{}` has no record of this key that was read, or a tombstone came last",
                self.global.table.name, key.written, self.global.topic
            )
        })
    }

    /// The same for programs.
    pub(crate) fn to_json(&self, key: &Key) -> Value {
        let rows = self.row.iter().map(|row| json!({ "value": row }));
        json!({
            "table": self.global.table.name,
            "key": key.to_json(self.global.table),
            "topic": self.global.topic,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

impl LookedUp {
    /// Says that there is nothing under the key; `None` when there is.
    pub(crate) fn nothing(&self, table: &TableDescriptor, key: &Key) -> Option<String> {
        self.rows.is_empty().then(|| {
            format!(
                "table `{}` has nothing under {:?} (partition {}, with the worker at {}); nor have its other partitions",
                table.name, key.written, self.partition, self.worker
            )
        })
    }

    /// The same for programs.
    pub(crate) fn to_json(&self, table: &TableDescriptor, key: &Key) -> Value {
        let rows = self.rows.iter().map(|found| {
            let mut row = json!({
                "partition": found.partition,
                "worker": found.worker,
                "value": found.row.value,
            });
            if let Some((start, end)) = found.row.window {
                row["start"] = json!(date(start));
                row["end"] = json!(date(end));
            }
            row
        });
        json!({
            "table": table.name,
            "key": key.to_json(table),
            "partition": self.partition,
            "worker": self.worker,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyForm;

    fn table(name: &'static str, keys: KeyForm) -> TableDescriptor {
        TableDescriptor {
            name,
            key: keys.name,
            keys,
            ..TableDescriptor::DEFAULT
        }
    }

    #[test]
    fn a_key_that_cannot_be_read_names_the_type_and_the_form() {
        let read = |keys, written| Key::read(&table("sold", keys), written).unwrap_err();
        let text = read(KeyForm::of::<u64>(), "seven");
        assert!(
            text.starts_with("table `sold` is kept by u64: `seven` is not a u64"),
            "{text}"
        );
        let text = read(KeyForm::of::<(String, u32)>(), "ann");
        assert!(text.contains("[\"ann\",7]"), "{text}");
        let text = read(KeyForm::of::<uuid::Uuid>(), "7");
        assert!(text.contains("Uuid"), "{text}");
    }

    #[test]
    fn keys_of_every_type_are_read_as_they_are_shown() {
        let read = |keys, written| Key::read(&table("t", keys), written).unwrap();
        let key = read(KeyForm::of::<i64>(), "-7");
        assert_eq!(key.wire, (-7_i64).to_be_bytes());
        assert_ne!(key.wire, key.ordered, "tables order numbers by their value");
        assert_eq!(read(KeyForm::of::<String>(), "").wire, b"");
        assert_eq!(read(KeyForm::of::<bytes::Bytes>(), "0x00ff").wire, [0, 255]);
        assert_eq!(read(KeyForm::of::<bool>(), "true").wire, [1]);
        let pair = read(KeyForm::of::<(String, u8)>(), r#"["ann",7]"#);
        assert_eq!(pair.wire, pair.ordered);
    }

    #[test]
    fn none_is_written_as_null_where_that_is_no_text() {
        let ordered = |keys, written| Key::read(&table("t", keys), written).unwrap().ordered;
        assert_eq!(ordered(KeyForm::of::<Option<i64>>(), "null"), [0]);
        assert_eq!(ordered(KeyForm::of::<Option<i64>>(), "7")[0], 1);
        assert_eq!(ordered(KeyForm::of::<Option<(u8, u8)>>(), "null"), [0]);
        assert_eq!(
            ordered(KeyForm::of::<Option<String>>(), "null"),
            b"\x01null"
        );
        let text = Key::read(&table("t", KeyForm::of::<i64>()), "null").unwrap_err();
        assert!(text.contains("`null` is not an i64"), "{text}");
    }

    #[test]
    fn a_table_that_is_not_there_may_be_another_that_was_meant() {
        static SOLD: TableDescriptor = TableDescriptor {
            name: "sold",
            ..TableDescriptor::DEFAULT
        };
        static UNUSED: TableDescriptor = TableDescriptor {
            name: "unused",
            ..TableDescriptor::DEFAULT
        };
        let tables = Tables(vec![(&SOLD, Rows::InPartitions), (&UNUSED, Rows::Nowhere)]);
        assert_eq!(tables.find("sold").unwrap().table().name, "sold");
        let refusal = tables.find("slod").unwrap_err();
        assert_eq!(refusal.text, "there is no table `slod`");
        assert_eq!(
            refusal.next,
            "did you mean `sold`? the app has sold, unused"
        );
        let refusal = tables.find("unused").unwrap_err();
        assert!(
            refusal.text.contains("no agent of the app writes it"),
            "{refusal:?}"
        );
    }
}
