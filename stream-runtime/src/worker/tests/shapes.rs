//! State that is not what the program has: real workers, on the disk that wrote it and on an empty one.

use super::*;
use crate::store::{Checkpoint, SledOptions, SledStore, Store, TreeWrite};
use crate::table::{Description, MARK_KEY, Mark};

const PLACE: &str = module_path!();

/// One app; what its table is stands in the arguments.
macro_rules! app {
    ($module:ident, $($table:tt)*) => {
        mod $module {
            use super::Reading;
            use crate::prelude::*;

            #[table(name = "shaped", $($table)*)]
            #[derive(Clone, Default)]
            struct Shaped {
                n: i64,
            }

            impl Merge for Shaped {
                fn merge(&mut self, later: Self) {
                    self.n += later.n;
                }
            }

            #[agent(topic = "worker_test_in")]
            async fn fold(reading: Event<Reading>, mut rows: Table<Shaped>) {
                rows.update(reading.key(), |row| row.n += 1);
            }
        }
    };
}

app!(plain, ttl = "1d");
app!(hour, tumbling = "1h");
app!(
    patient_hour,
    tumbling = "1h",
    grace = "5m",
    retention = "1h",
    idle = "1s"
);
app!(ten_minutes, tumbling = "10m");
app!(hopping, hopping = "1h", step = "10m");
app!(other_step, hopping = "1h", step = "20m");
app!(session, session = "10s");
app!(other_gap, session = "20s");
app!(sliding, sliding = "10s");

/// By other keys.
mod by_number {
    use super::Reading;
    use crate::prelude::*;

    #[table(name = "shaped", key = u64, local)]
    #[derive(Clone, Default)]
    struct Shaped {
        n: i64,
    }

    #[agent(topic = "worker_test_in")]
    async fn fold(reading: Event<Reading>, mut rows: Table<Shaped>) {
        rows.update(&reading.amount.unsigned_abs(), |row| row.n += 1);
    }
}

/// Every worker has all of it, in memory.
macro_rules! everywhere {
    ($module:ident, $key:ty, $of:expr) => {
        mod $module {
            use super::Reading;
            use crate::prelude::*;

            #[table(name = "shaped", key = $key, global)]
            #[derive(Clone, Default)]
            struct Shaped {
                n: i64,
            }

            #[agent(topic = "worker_test_in")]
            async fn fold(reading: Event<Reading>, mut rows: Table<Shaped>) {
                let of: fn(&Event<Reading>) -> $key = $of;
                rows.update(&of(&reading), |row| row.n += 1);
            }

            #[agent(topic = "worker_test_in")]
            async fn look(reading: Event<Reading>, rows: GlobalTable<Shaped>) {
                let of: fn(&Event<Reading>) -> $key = $of;
                let _ = rows.get(&of(&reading));
            }
        }
    };
}

everywhere!(everywhere_by_name, String, |reading| reading.key().clone());
everywhere!(everywhere_by_number, u64, |reading| reading
    .amount
    .unsigned_abs());

/// The records of the topic themselves.
mod source {
    use crate::prelude::*;

    #[record]
    #[derive(Clone, Default)]
    struct Row {
        amount: i64,
    }

    #[topic("worker_test_in", value = Row)]
    struct In;

    #[table(name = "shaped", source = In)]
    struct Shaped;
}

/// A field that was renamed: with an alias, and with a default alone.
mod aliased {
    use super::Reading;
    use crate::prelude::*;

    #[table(name = "shaped", ttl = "1d")]
    #[derive(Clone, Default)]
    struct Shaped {
        #[serde(alias = "n")]
        total: i64,
    }

    #[agent(topic = "worker_test_in")]
    async fn fold(reading: Event<Reading>, mut rows: Table<Shaped>) {
        rows.update(reading.key(), |row| row.total += 1);
    }
}

mod defaulted {
    use super::Reading;
    use crate::prelude::*;

    #[table(name = "shaped", ttl = "1d")]
    #[derive(Clone, Default)]
    struct Shaped {
        #[serde(default)]
        total: i64,
    }

    #[agent(topic = "worker_test_in")]
    async fn fold(reading: Event<Reading>, mut rows: Table<Shaped>) {
        rows.update(reading.key(), |row| row.total += 1);
    }
}

/// A row with a record within, whose fields stand in the arguments.
macro_rules! within {
    ($module:ident, $($fields:tt)*) => {
        mod $module {
            use super::Reading;
            use crate::prelude::*;

            #[record]
            #[derive(Clone, Default)]
            struct Item {
                $($fields)*
            }

            #[table(name = "shaped", ttl = "1d")]
            #[derive(Clone, Default)]
            struct Shaped {
                items: Vec<Option<Item>>,
            }

            #[agent(topic = "worker_test_in")]
            async fn fold(reading: Event<Reading>, mut rows: Table<Shaped>) {
                rows.update(reading.key(), |row| row.items.push(Some(Item::default())));
            }
        }
    };
}

within!(within_number, count: i64);
within!(within_text, count: String);
within!(within_more, count: i64, #[serde(default)] more: u8);

/// A join of whose sides one goes alone.
mod sides {
    use crate::prelude::*;

    #[topic("sides-left", value = String)]
    struct Left;

    #[topic("sides-right", value = String)]
    struct Right;

    #[join(left = Left, right = Right, within = "1m")]
    async fn sides_met(_: String, _: Option<String>) {}
}

fn module(name: &str) -> String {
    format!("{PLACE}::{name}")
}

struct Bed {
    _server: Server,
    properties: Properties,
    app: String,
    dir: tempfile::TempDir,
    sent: i64,
}

impl Bed {
    fn new() -> Self {
        let server = Server::start();
        let (properties, app) = (server.properties(), unique("shape"));
        make_input(&properties, &app, 1);
        Bed {
            _server: server,
            properties,
            app,
            dir: tempfile::tempdir().unwrap(),
            sent: 0,
        }
    }

    /// Works off some more input as this program; returns what failed.
    fn work_in(&mut self, dir: &tempfile::TempDir, as_module: &str) -> Vec<(String, String)> {
        send(&self.properties, &self.app, self.sent..self.sent + 20);
        self.sent += 20;
        let settings = settings(&self.properties, dir, 1);
        work_of(&self.app, &module(as_module), settings)
            .unwrap()
            .failed
    }

    fn work(&mut self, as_module: &str) -> Vec<(String, String)> {
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        let failed = self.work_in(&dir, as_module);
        self.dir = dir;
        failed
    }

    /// On the disk that has the state, and on an empty one.
    #[track_caller]
    fn refuses(&mut self, as_module: &str, texts: &[&str]) {
        let empty = tempfile::tempdir().unwrap();
        let failed = [self.work(as_module), self.work_in(&empty, as_module)];
        for failed in failed {
            assert_eq!(failed.len(), 1, "{as_module}: {failed:?}");
            for text in texts {
                assert!(failed[0].1.contains(text), "no {text} in {}", failed[0].1);
            }
        }
    }

    fn changelog(&self) -> Arc<str> {
        format!("{}-shaped-changelog", self.app).into()
    }

    /// The last mark of the changelog.
    fn mark(&self) -> Mark {
        let admin = Admin::new(&self.properties, BROKER_TIMEOUT).unwrap();
        let place = (self.changelog(), 0);
        let end = admin.ends(std::slice::from_ref(&place)).unwrap()[0];
        let reader = Reader::new(
            &self.properties,
            "marks",
            Isolation::Committed,
            &Wake::new(),
        )
        .unwrap();
        let queues = reader
            .add(&[TopicPartitionOffset::new(place.0, 0, 0)])
            .unwrap();
        let (mut batch, mut at, mut mark) = (Batch::new(256), 0, None);
        let start = Instant::now();
        while at < end {
            assert!(start.elapsed() < Duration::from_secs(30), "{at} of {end}");
            reader.serve().unwrap();
            queues[0].read(&mut batch, |fetched| match fetched {
                Fetched::Record(record) => {
                    if record.key == Some(MARK_KEY) {
                        mark = Some(Mark::decode(record.value.unwrap()).unwrap());
                    }
                    at = at.max(record.offset + 1);
                }
                Fetched::End { offset } => at = at.max(offset),
                Fetched::Error { code, text } => panic!("{code}: {text}"),
            });
        }
        mark.expect("a mark")
    }

    /// The state as a worker built before would have left it: its marks do not say what the table is.
    fn forget_descriptions(&self) {
        let mut mark = self.mark();
        assert!(mark.table.take().is_some(), "it was described");
        let mut bytes = Vec::new();
        mark.encode(&mut bytes).unwrap();
        let topic = self.changelog();
        let sender = Sender::new(&self.properties).unwrap();
        sender
            .send(Outgoing {
                topic: &topic,
                partition: Some(0),
                key: Some(MARK_KEY),
                value: Some(&bytes),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
        assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
        let store = self.dir.path().join(&self.app).join("worker-0/store");
        let store = SledStore::open(&store, SledOptions::default()).unwrap();
        let tree = store.tree("shaped", 0).unwrap();
        let checkpoint = tree.checkpoint().unwrap().expect("a checkpoint");
        let checkpoint = Checkpoint {
            mark: bytes,
            ..checkpoint
        };
        let write = TreeWrite {
            tree,
            rows: Vec::new(),
            checkpoint,
        };
        store.round(&mut [write]).unwrap();
    }
}

#[test]
fn a_plain_table_that_gets_windows_is_refused_and_does_not_spin() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("plain"), []);
    let shapes = [
        "table `shaped`",
        "a table without windows",
        "tumbling windows of 1h",
    ];
    bed.refuses("hour", &shapes);
    let changelog = bed.changelog().to_string();
    bed.refuses(
        "hour",
        &[
            &changelog,
            "shapes.rs:",
            "another `name`",
            "`App::version`",
            "`reset`",
        ],
    );
    bed.refuses(
        "session",
        &["a table without windows", "sessions with a gap of 10s"],
    );
    bed.refuses("by_number", &["keys of type String", "keys of type u64"]);
    bed.refuses(
        "source",
        &["a table without windows", "the records of a topic"],
    );
    assert_eq!(bed.work("plain"), [], "nothing of it was touched");
}

#[test]
fn windows_of_another_size_are_refused_and_another_grace_is_not() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("hour"), []);
    bed.refuses(
        "ten_minutes",
        &["tumbling windows of 1h", "tumbling windows of 10m"],
    );
    bed.refuses(
        "hopping",
        &["tumbling windows of 1h", "hopping windows of 1h every 10m"],
    );
    bed.refuses(
        "plain",
        &["tumbling windows of 1h", "a table without windows"],
    );
    assert_eq!(bed.work("patient_hour"), []);
    assert_eq!(bed.work("hour"), []);
}

#[test]
fn another_step_or_gap_is_refused() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("hopping"), []);
    bed.refuses("other_step", &["every 10m", "every 20m"]);
    let mut bed = Bed::new();
    assert_eq!(bed.work("session"), []);
    bed.refuses("other_gap", &["a gap of 10s", "a gap of 20s"]);
    bed.refuses("sliding", &["sessions", "sliding windows of 10s"]);
}

#[test]
fn state_of_workers_built_before_is_taken_once_and_then_described() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("hour"), []);
    bed.forget_descriptions();
    assert_eq!(bed.mark().table, None);
    assert_eq!(bed.work("hour"), []);
    let described = Description::decode(&bed.mark().table.expect("described")).unwrap();
    assert_eq!(
        (described.kind.as_str(), described.size),
        ("tumbling", Some(3_600_000))
    );
    bed.refuses("ten_minutes", &["tumbling windows of 1h"]);
}

#[test]
fn rows_that_are_not_understood_are_an_error_where_nothing_says_what_they_are() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("plain"), []);
    bed.forget_descriptions();
    // It once stood here for ever, ready.
    bed.refuses(
        "hour",
        &[
            "table `shaped`",
            "a key of 7 bytes",
            "tumbling windows of 1h",
            "`reset`",
        ],
    );
    bed.refuses("hopping", &["a key of 7 bytes"]);
    bed.refuses("session", &["table `shaped`"]);
    let mut bed = Bed::new();
    assert_eq!(bed.work("ten_minutes"), []);
    bed.forget_descriptions();
    bed.refuses(
        "hour",
        &["would be of a window that ends at 1970-01-01T00:20:00"],
    );
}

#[test]
fn a_field_that_may_have_been_renamed_is_refused_until_it_is_confirmed() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("plain"), []);
    bed.refuses(
        "defaulted",
        &[
            "if `total` is what was `n`: `#[serde(alias = \"n\")]`",
            "`plan --write` confirms it",
        ],
    );
    let confirmed = WorkerSettings {
        rows_confirmed: true,
        ..settings(&bed.properties, &bed.dir, 1)
    };
    let ended = work_of(&bed.app, &module("defaulted"), confirmed).unwrap();
    assert_eq!(ended.failed, []);

    let mut bed = Bed::new();
    assert_eq!(bed.work("plain"), []);
    assert_eq!(bed.work("aliased"), [], "it reads the old rows");
}

#[test]
fn a_row_with_a_changed_record_within_is_refused_as_one_with_a_changed_field() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("within_number"), []);
    bed.refuses(
        "within_text",
        &["in `Item`: field `count` was `i64` and is `String`"],
    );
    assert_eq!(bed.work("within_more"), []);
}

#[test]
fn a_plan_says_which_side_of_a_join_goes_alone() {
    let app = App::new("sides").scope(module("sides"));
    let plan = app.plan().unwrap_or_else(|problems| panic!("{problems:?}"));
    let topology = &plan.topologies[0];
    let sides = topology.tables.iter().map(|table| {
        let alone = topology.goes_alone(table.descriptor);
        (table.descriptor.name.ends_with("left"), alone)
    });
    let sides: Vec<_> = sides.collect();
    assert_eq!(sides, [(true, Some(true)), (false, Some(false))]);
}

#[test]
fn a_global_table_of_another_shape_is_refused_where_it_is_read_whole() {
    let mut bed = Bed::new();
    assert_eq!(bed.work("everywhere_by_name"), []);
    let changelog = bed.changelog().to_string();
    let empty = tempfile::tempdir().unwrap();
    for dir in [bed.dir.path(), empty.path()] {
        let settings = WorkerSettings {
            data_dir: dir.to_owned(),
            ..settings(&bed.properties, &bed.dir, 1)
        };
        // Before any stream begins: no agent sees rows that are not its table's.
        let refused = work_of(&bed.app, &module("everywhere_by_number"), settings);
        let text = refused.unwrap_err().to_string();
        for part in [
            "table `shaped`",
            "keys of type String",
            "keys of type u64",
            &format!("{changelog}[0] at offset"),
            "another `name`",
            "`reset`",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
    assert_eq!(
        bed.work("everywhere_by_name"),
        [],
        "nothing of it was touched"
    );
}
