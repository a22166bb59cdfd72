//! A worker of the simplest kind: one partition, one broker in memory, commits when the test says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::specs::{Agg, In, Out, key_bytes};
use crate::codec::rows::decode;
use crate::record::Record;
use crate::store::{Checkpoint, MemoryStore, Store, TreeWrite};
use crate::table::{Spans, TableSpec};
use crate::task::{
    Committed, Now, Pulse, RawRecord, StartAt, Task, TaskParts, TaskSettings, decode_headers,
};
use crate::topology::SubTopology;
use crate::window::Window;

/// A record as it lies in the input topic.
#[derive(Clone, Debug)]
pub struct Input {
    pub key: Option<String>,
    pub stamp: i64,
    pub value: Option<Vec<u8>>,
}

impl Input {
    pub fn reading(key: &str, time: i64, value: i64) -> Self {
        let mut bytes = Vec::new();
        In { time, value }.encode(&mut bytes).unwrap();
        Input {
            key: Some(key.to_owned()),
            stamp: time.max(1),
            value: Some(bytes),
        }
    }
}

/// A record that was sent: topic, key, value, timestamp, headers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub stamp: i64,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Key and value in a changelog.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// What the cluster holds: it survives crashes.
#[derive(Default)]
pub struct Cluster {
    pub input: Vec<Input>,
    pub outputs: Vec<Sent>,
    /// Changelog per table.
    pub changelogs: Vec<Vec<Change>>,
    pub offset: Option<i64>,
    /// Further input topics, and their offsets.
    pub more: Vec<(Vec<Input>, Option<i64>)>,
    pub metadata: String,
}

impl Cluster {
    pub fn out(&self, topic: &str) -> Vec<Out> {
        let of_topic = self.outputs.iter().filter(|s| s.topic == topic);
        of_topic
            .map(|s| Out::decode(s.value.as_deref()).unwrap())
            .collect()
    }
}

pub struct Driver {
    pub topology: Arc<SubTopology>,
    pub cluster: Cluster,
    pub store: Arc<MemoryStore>,
    pub task: Task,
    pub now: Now,
    pub settings: TaskSettings,
    /// Changelog offset of the last commit, per table.
    changelog_ends: Vec<i64>,
}

pub fn settings() -> TaskSettings {
    TaskSettings {
        cache_bytes: 1 << 20,
        commit_events: 50_000,
        commit_rows: 50_000,
        watermarks_a_second: u64::MAX,
        read_back: true,
        ..TaskSettings::new("app".into(), Arc::default())
    }
}

impl Driver {
    pub fn new(topology: Arc<SubTopology>) -> Self {
        Self::with(topology, settings())
    }

    pub fn with(topology: Arc<SubTopology>, settings: TaskSettings) -> Self {
        let store = Arc::new(MemoryStore::new());
        let task = open(&topology, &store, &settings);
        let tables = topology.tables.len();
        let cluster = Cluster {
            changelogs: vec![Vec::new(); tables],
            more: vec![Default::default(); topology.inputs.len() - 1],
            ..Cluster::default()
        };
        let mut driver = Driver {
            topology,
            cluster,
            store,
            task,
            now: Now {
                wall: 1_900_000_000_000,
                mono: 0,
            },
            settings,
            changelog_ends: vec![0; tables],
        };
        driver.recover();
        driver
    }

    fn recover(&mut self) {
        for table in 0..self.topology.tables.len() {
            let tree = self
                .store
                .tree(self.topology.tables[table].descriptor.name, 0)
                .unwrap();
            let mut from = 0;
            if let Some(checkpoint) = tree.checkpoint().unwrap() {
                from = checkpoint.changelog_offset as usize;
                // Rows of a commit that died before its mark may be stored without one.
                if !checkpoint.mark.is_empty() {
                    self.task.set_mark(table, &checkpoint.mark).unwrap();
                }
            }
            let log = &self.cluster.changelogs[table];
            for (key, value) in &log[from..] {
                self.task.restore(table, key, value.as_deref()).unwrap();
            }
            self.changelog_ends[table] = log.len() as i64;
        }
        let committed = |offset: Option<i64>| Committed {
            offset,
            metadata: self.cluster.metadata.clone(),
        };
        let committed: Vec<Committed> = self.offsets().map(committed).collect();
        let starts = self.task.recovered(&committed).unwrap();
        let at = |start: &StartAt| match start {
            StartAt::Offset(at) => *at,
            StartAt::Default => 0,
        };
        let starts: Vec<i64> = starts.iter().map(at).collect();
        self.task.begin_at(&starts);
    }

    /// The process dies; another one takes over, with the store or without.
    pub fn crash(&mut self, empty_disk: bool) {
        if empty_disk {
            self.store = Arc::new(MemoryStore::new());
        }
        self.task = open(&self.topology, &self.store, &self.settings);
        self.recover();
    }

    pub fn send(&mut self, input: Input) {
        self.cluster.input.push(input);
    }

    /// Fetches up to `records` and runs the task until it has nothing left to do.
    pub fn run(&mut self, records: usize) {
        self.fetch(records);
        self.turn();
    }

    fn offsets(&self) -> impl Iterator<Item = Option<i64>> + '_ {
        let more = self.cluster.more.iter().map(|(_, offset)| *offset);
        std::iter::once(self.cluster.offset).chain(more)
    }

    /// Fetches up to `records` into the inbox.
    pub fn fetch(&mut self, records: usize) {
        self.fetch_from(0, records);
    }

    /// Fetches up to `records` of one input; says when that is all.
    pub fn fetch_from(&mut self, topic: usize, records: usize) {
        let log = match topic {
            0 => &self.cluster.input,
            more => &self.cluster.more[more - 1].0,
        };
        let at = self.task.inbox(topic).position() as usize;
        let upto = (at + records).min(log.len());
        for (offset, input) in log[..upto].iter().enumerate().skip(at) {
            let key = input.key.as_deref().map(key_bytes);
            let record = RawRecord {
                offset: offset as i64,
                timestamp: input.stamp,
                key: key.as_deref(),
                value: input.value.as_deref(),
                headers: &[],
            };
            self.task.inbox(topic).push(record);
        }
        if upto == log.len() {
            self.task.inbox(topic).reached_end();
        }
    }

    /// Runs the task until it has nothing left to do.
    pub fn turn(&mut self) {
        loop {
            let turn = self
                .task
                .run(self.now)
                .unwrap_or_else(|f| panic!("{}", f.error));
            if turn.commit_due {
                self.commit();
            } else if !turn.more {
                break;
            }
        }
    }

    pub fn run_all(&mut self) {
        self.run(usize::MAX / 2);
    }

    /// Runs and commits until nothing is left to do: rows that a commit lets go are gone, too.
    pub fn settle(&mut self) {
        loop {
            self.run_all();
            if !self.commit() {
                return;
            }
        }
    }

    /// A commit that succeeds; `false` when there is nothing to commit.
    pub fn commit(&mut self) -> bool {
        if !self.task.prepare().unwrap() {
            return false;
        }
        let cluster = &mut self.cluster;
        self.task
            .each_output(|topic, out| {
                cluster.outputs.push(Sent {
                    topic: topic.to_owned(),
                    key: out.key.map(<[u8]>::to_vec),
                    value: out.value.map(<[u8]>::to_vec),
                    stamp: out.timestamp,
                    headers: own_headers(out.headers),
                });
                Ok::<_, ()>(())
            })
            .unwrap();
        for table in 0..self.topology.tables.len() {
            let log = &mut cluster.changelogs[table];
            self.task.with_changes(table, &mut |rows, mark| {
                log.extend(rows.upserts().map(|(k, v)| (k.to_vec(), Some(v.to_vec()))));
                log.extend(mark.map(|(k, v)| (k.to_vec(), Some(v.to_vec()))));
                log.extend(rows.tombstones().map(|k| (k.to_vec(), None)));
            });
            self.changelog_ends[table] = log.len() as i64;
        }
        let mut offsets = self.task.offsets().map(|(_, o)| o);
        cluster.offset = offsets.next();
        for ((_, offset), next) in cluster.more.iter_mut().zip(offsets) {
            *offset = Some(next);
        }
        cluster.metadata = self.task.commit_metadata();
        self.task.committed();
        true
    }

    /// An at-least-once commit that the process dies in, after so many of its parts: the outputs; then, table by table,
    /// rows, mark, tombstones; the offsets are never reached.
    pub fn die_in_commit(&mut self, parts: usize, empty_disk: bool) {
        self.task.prepare().unwrap();
        let mut left = parts;
        let mut part = || {
            left = left.saturating_sub(1);
            left > 0
        };
        let cluster = &mut self.cluster;
        if part() {
            self.task
                .each_output(|topic, out| {
                    cluster.outputs.push(Sent {
                        topic: topic.to_owned(),
                        key: out.key.map(<[u8]>::to_vec),
                        value: out.value.map(<[u8]>::to_vec),
                        stamp: out.timestamp,
                        headers: own_headers(out.headers),
                    });
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        for table in 0..self.topology.tables.len() {
            let log = &mut cluster.changelogs[table];
            self.task.with_changes(table, &mut |rows, mark| {
                if part() {
                    log.extend(rows.upserts().map(|(k, v)| (k.to_vec(), Some(v.to_vec()))));
                }
                if part() {
                    log.extend(mark.map(|(k, v)| (k.to_vec(), Some(v.to_vec()))));
                }
                if part() {
                    log.extend(rows.tombstones().map(|k| (k.to_vec(), None)));
                }
            });
        }
        self.crash(empty_disk);
    }

    /// A transaction that is aborted: the task goes back to the last commit.
    pub fn abort(&mut self) {
        self.task.prepare().unwrap();
        let offsets = self.task.aborted().unwrap();
        let committed: Vec<i64> = self.offsets().map(Option::unwrap_or_default).collect();
        assert_eq!(offsets, committed);
    }

    /// A round of the store, of what is committed.
    pub fn store(&mut self) {
        for table in 0..self.topology.tables.len() {
            let Some((rows, commit, mark)) = self.task.take_round(table, false) else {
                continue;
            };
            let tree = self
                .store
                .tree(self.topology.tables[table].descriptor.name, 0)
                .unwrap();
            let mut bytes = Vec::new();
            let incarnation = mark.map_or([0; 16], |m| {
                m.encode(&mut bytes).unwrap();
                m.incarnation
            });
            let checkpoint = Checkpoint {
                changelog_offset: self.changelog_ends[table],
                mark: bytes,
                written_at: self.now.wall,
                incarnation,
            };
            self.store
                .round(&mut [TreeWrite {
                    tree,
                    rows,
                    checkpoint,
                }])
                .unwrap();
            self.task.round_done(table, commit, true);
        }
    }

    /// Rows of a table as its changelog says: fold of all records, the mark left out.
    pub fn folded(&self, table: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for (key, value) in &self.cluster.changelogs[table] {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows.retain(|key, _| key[0] != crate::table::MARK_TAG);
        rows
    }
}

/// Headers of a record as they lie in a topic.
fn own_headers(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    decode_headers(bytes)
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_vec()))
        .collect()
}

impl Driver {
    /// The windows in the changelog of the only table, in the order of their closing.
    pub fn rows<S: TableSpec<Key = String, Value = Agg>>(&self) -> Vec<Out> {
        let out = |key: String, start, end, agg: &Agg| Out {
            key,
            start,
            end,
            count: agg.count,
            sum: agg.sum,
        };
        let mut rows = Vec::new();
        for (key, value) in self.folded(0) {
            match S::DESCRIPTOR.window {
                Some(Window::Session { .. } | Window::Sliding { .. }) => {
                    let key = String::from_utf8(key[1..].to_vec()).unwrap();
                    let spans: Spans<Agg> = decode(&value).unwrap();
                    rows.extend(
                        spans
                            .told()
                            .map(|(start, end, agg)| out(key.clone(), start, end, agg)),
                    );
                }
                Some(window) => {
                    let end = u64::from_be_bytes(key[1..9].try_into().unwrap()) ^ (1 << 63);
                    let key = String::from_utf8(key[9..].to_vec()).unwrap();
                    let agg: Agg = decode(&value).unwrap();
                    rows.push(out(key, end as i64 - window.size(), end as i64, &agg));
                }
                None => panic!("no windows"),
            }
        }
        rows.sort_by(|a, b| (a.end, &a.key).cmp(&(b.end, &b.key)));
        rows
    }

    /// The windows named by the late records.
    pub fn missed(&self) -> Vec<(i64, i64)> {
        let late = self.cluster.outputs.iter().filter(|s| s.topic == "late");
        let windows = late.flat_map(|s| {
            let text = &s
                .headers
                .iter()
                .find(|(n, _)| n == "late.windows")
                .unwrap()
                .1;
            let text = String::from_utf8(text.clone()).unwrap();
            text.split(',').map(str::to_owned).collect::<Vec<_>>()
        });
        let ms = |text: &str| {
            chrono::DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis()
        };
        windows
            .map(|window| {
                let (start, end) = window.split_once('/').unwrap();
                (ms(start), ms(end))
            })
            .collect()
    }
}

pub fn open(
    topology: &Arc<SubTopology>,
    store: &Arc<MemoryStore>,
    settings: &TaskSettings,
) -> Task {
    let trees = topology
        .tables
        .iter()
        .map(|t| {
            t.descriptor
                .changelog
                .then(|| store.tree(t.descriptor.name, 0).unwrap())
        })
        .collect();
    Task::new(TaskParts {
        topology: topology.clone(),
        partition: 0,
        partitions: 1,
        sources: vec![],
        settings: settings.clone(),
        trees,
        states: Arc::default(),
        wake: Arc::new(|| {}),
        pulse: Arc::new(Pulse::default()),
    })
    .unwrap()
}
