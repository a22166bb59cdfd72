//! A history: what happens to two workers, in an order that a seed decides.

use std::collections::BTreeMap;

use super::app::{self, Expected, Output, Rows};
use super::cluster::Cluster;
use super::worker::{After, Worker};
use crate::codec::rows as codec;
use crate::task::TaskSettings;
use crate::task::tests::driver;

/// What happens. Where it cannot, nothing does: any part of a history is a history.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Happens {
    /// A record comes; its time is so much later than that of the one before.
    Input { key: u8, later: i64, value: i64 },
    /// An offset of the input that holds no record: a marker, or a record compacted away.
    Gap,
    /// Handlers wait from now on, or go on.
    Gate { open: bool },
    /// The worker fetches so many records and processes what it has.
    Process { worker: usize, records: usize },
    /// A commit from its beginning to its end. `known`: the client tells the offsets of the rows.
    Commit { worker: usize, known: bool },
    /// A commit begins: its records are sent.
    Send { worker: usize },
    /// The next step of a commit: its offsets, then its end.
    Step { worker: usize },
    /// The commit under way fails and is aborted.
    Fail { worker: usize },
    /// Nobody tells the worker what became of its commit.
    LoseAnswer { worker: usize, arrives: bool },
    /// The broker aborts a transaction that is open for too long.
    TimeOut { worker: usize },
    /// Committed rows are handed to the storer.
    Submit { worker: usize },
    /// A round of the store is written.
    Stored { worker: usize },
    /// A round of the store fails.
    NotStored { worker: usize },
    /// The disk is copied, for `After::Old`.
    Copy { worker: usize },
    /// The process is killed.
    Crash { worker: usize, after: After },
    /// The group gives the partition to the worker, whatever the one before knows of it.
    Assign { worker: usize },
    /// The worker hears that it has lost the partition.
    Lost { worker: usize },
    /// The worker gives the partition back in order.
    Leave { worker: usize },
    /// A step of a recovery.
    Recover { worker: usize },
    /// A changelog is compacted.
    Compact { table: usize },
}

pub(super) const WORKERS: usize = 2;
const TABLES: usize = 3;

/// What one seed decides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct History {
    /// Events after which a commit is due.
    pub(super) commit_events: u32,
    /// Different keys.
    pub(super) keys: u8,
    /// Bytes of a table's cache: 0 is the least there is.
    pub(super) cache: usize,
    pub(super) happens: Vec<Happens>,
}

/// A small generator (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl History {
    pub(super) fn of(seed: u64) -> Self {
        let random = &mut Random(seed);
        let wide = random.below(4) == 0;
        let mut history = History {
            commit_events: 2 + random.below(12) as u32,
            keys: if wide { 90 } else { 1 + random.below(8) as u8 },
            cache: if random.coin() { 0 } else { 1 << 20 },
            happens: vec![
                Happens::Assign { worker: 0 },
                Happens::Recover { worker: 0 },
                Happens::Recover { worker: 0 },
            ],
        };
        let length = 20 + random.below(180);
        for _ in 0..length {
            history.draw(random);
        }
        history
    }

    fn draw(&mut self, random: &mut Random) {
        let worker = random.below(WORKERS as u64) as usize;
        let records = 1 + random.below(8) as usize;
        let known = random.below(8) > 0;
        let (key, value) = (
            random.below(self.keys.into()) as u8,
            random.below(19) as i64 - 9,
        );
        let next = match random.below(100) {
            0..30 => {
                let later = match random.below(10) {
                    0..6 => random.below(3) as i64,
                    6..9 => random.below(16) as i64 - 8,
                    _ => random.below(60) as i64,
                };
                Happens::Input { key, later, value }
            }
            30..32 => Happens::Gap,
            32..35 => Happens::Gate {
                open: random.below(3) > 0,
            },
            35..51 => Happens::Process { worker, records },
            51..60 => Happens::Commit { worker, known },
            60..64 => Happens::Send { worker },
            64..70 => Happens::Step { worker },
            70..72 => Happens::Fail { worker },
            72..74 => Happens::LoseAnswer {
                worker,
                arrives: random.coin(),
            },
            74..76 => Happens::TimeOut { worker },
            76..80 => Happens::Submit { worker },
            80..83 => Happens::Stored { worker },
            83 => Happens::NotStored { worker },
            84 => Happens::Copy { worker },
            85..88 => Happens::Crash {
                worker,
                after: match random.below(6) {
                    0 => After::Empty,
                    1 => After::Old,
                    2 | 3 => After::Torn {
                        steps: random.below(12) as u8,
                        mask: random.next(),
                    },
                    _ => After::Kept,
                },
            },
            88..92 => {
                // Most of the time it takes over at once.
                self.happens.push(Happens::Assign { worker });
                self.happens.push(Happens::Recover { worker });
                Happens::Recover { worker }
            }
            92 => Happens::Assign { worker },
            93 => Happens::Lost { worker },
            94 => Happens::Leave { worker },
            95..98 => Happens::Recover { worker },
            _ => Happens::Compact {
                table: random.below(TABLES as u64) as usize,
            },
        };
        self.happens.push(next);
    }
}

/// The whole of it: cluster and workers.
struct World {
    cluster: Cluster,
    workers: Vec<Worker>,
    time: i64,
}

impl World {
    fn new(history: &History) -> Self {
        let topology = app::topology();
        let settings = TaskSettings {
            commit_events: history.commit_events,
            cache_bytes: history.cache,
            ..driver::settings()
        };
        World {
            cluster: Cluster::new(topology.tables.len()),
            workers: (0..WORKERS)
                .map(|id| Worker::new(id, topology.clone(), settings.clone()))
                .collect(),
            time: 1,
        }
    }

    fn happens(&mut self, what: &Happens) {
        let World {
            cluster,
            workers,
            time,
        } = self;
        match *what {
            Happens::Input { key, later, value } => {
                *time += later;
                let place = (format!("k{key}"), *time, value);
                cluster.input.push(Some(place));
            }
            Happens::Gap => cluster.input.push(None),
            Happens::Gate { open } => app::set_gate(open),
            Happens::Process { worker, records } => workers[worker].process(cluster, records),
            Happens::Commit { worker, known } => workers[worker].commit(cluster, known),
            Happens::Send { worker } => workers[worker].send(cluster),
            Happens::Step { worker } => workers[worker].step(cluster, true),
            Happens::Fail { worker } => workers[worker].fail(cluster),
            Happens::LoseAnswer { worker, arrives } => {
                workers[worker].lose_answer(cluster, arrives);
            }
            Happens::TimeOut { worker } => cluster.time_out(worker),
            Happens::Submit { worker } => workers[worker].submit(),
            Happens::Stored { worker } => workers[worker].stored(),
            Happens::NotStored { worker } => workers[worker].not_stored(),
            Happens::Copy { worker } => workers[worker].disk.copy(),
            Happens::Crash { worker, after } => workers[worker].crash(after),
            Happens::Assign { worker } => {
                let generation = cluster.assign(Some(worker));
                workers[worker].assigned(cluster, generation);
            }
            Happens::Lost { worker } => workers[worker].lost(cluster),
            Happens::Leave { worker } => {
                // It must be the owner: another one cannot give back what it has not.
                if cluster.owner == Some(worker) {
                    workers[worker].leave(cluster);
                    cluster.assign(None);
                }
            }
            Happens::Recover { worker } => workers[worker].recover(cluster),
            Happens::Compact { table } => cluster.compact(table),
        }
    }

    /// Nothing bad happens any more: zombies end what they have begun, transactions time out, one worker does the rest.
    fn settle(&mut self) -> Result<(), String> {
        app::set_gate(true);
        let last = self.cluster.owner.unwrap_or(0);
        for worker in 0..WORKERS {
            self.happens(&Happens::Process { worker, records: 0 });
            self.happens(&Happens::Commit {
                worker,
                known: true,
            });
            self.happens(&Happens::TimeOut { worker });
        }
        self.happens(&Happens::Assign { worker: last });
        for _ in 0..2 {
            self.happens(&Happens::Recover { worker: last });
        }
        let records = usize::MAX / 4;
        for _ in 0..self.cluster.input.len() * 3 + 3 {
            self.happens(&Happens::Process {
                worker: last,
                records,
            });
            self.happens(&Happens::Commit {
                worker: last,
                known: true,
            });
        }
        if !self.workers[last].is_running() {
            return Err("the last worker does not run".to_owned());
        }
        for _ in 0..3 {
            self.happens(&Happens::Submit { worker: last });
            self.happens(&Happens::Stored { worker: last });
        }
        Ok(())
    }

    /// E1 to E4: outputs and tables are what the input says.
    fn check(&self) -> Result<(), String> {
        let input: Vec<(String, i64, i64)> = self.cluster.input.iter().flatten().cloned().collect();
        let Expected {
            totals,
            sums,
            bursts,
            rows,
        } = app::expected(&input);
        let mut found: BTreeMap<&str, Vec<Output>> = BTreeMap::new();
        for entry in self.cluster.outputs() {
            let output = (entry.topic.clone(), text(&entry.key), json(&entry.value)?);
            found.entry(&entry.topic).or_default().push(output);
        }
        for (topic, expected) in [("totals", totals), ("sums", sums), ("bursts", bursts)] {
            let found = found.remove(topic).unwrap_or_default();
            for at in 0..found.len().max(expected.len()) {
                let (found, expected) = (found.get(at), expected.get(at));
                if found != expected {
                    return Err(format!("{topic} #{at}: {found:?}, expected {expected:?}"));
                }
            }
        }
        if !found.is_empty() {
            return Err(format!("outputs nobody asked for: {found:?}"));
        }
        let end = self.cluster.input.len() as i64;
        let committed = self
            .cluster
            .stable_offsets()
            .and_then(|offsets| offsets.input);
        if committed.unwrap_or(0) != end {
            return Err(format!("committed offset {committed:?}, the end is {end}"));
        }
        for table in 0..TABLES {
            let (name, folded) = (self.workers[0].table(table), self.cluster.fold(table));
            for (number, worker) in self.workers.iter().enumerate() {
                let found = worker.restored(&self.cluster, table);
                if found != folded {
                    return Err(format!(
                        "worker {number}, table {name}: {found:?}, the changelog says {folded:?}"
                    ));
                }
            }
            // A row of a session table is all bursts of its key, in a form of its own.
            let expected = match name {
                "totals" => &rows[0],
                "sums" => &rows[1],
                _ => continue,
            };
            let found = readable(folded, name == "sums")?;
            if found != *expected {
                return Err(format!("table {name}: {found:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(value: &Option<Vec<u8>>) -> Result<String, String> {
    let bytes = value.as_deref().ok_or("a tombstone")?;
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok(value.to_string())
}

/// Rows as the oracle has them.
fn readable(rows: BTreeMap<Vec<u8>, Vec<u8>>, windowed: bool) -> Result<Rows, String> {
    let row = |(key, value): (Vec<u8>, Vec<u8>)| {
        let value: serde_json::Value = codec::decode(&value).map_err(|e| e.to_string())?;
        let (end, key) = if windowed {
            key.split_at(8)
        } else {
            key.split_at(0)
        };
        let end =
            <[u8; 8]>::try_from(end).map_or(0, |end| (u64::from_be_bytes(end) ^ (1 << 63)) as i64);
        Ok(((end, text(key)), value.to_string()))
    };
    rows.into_iter().map(row).collect()
}

/// Runs a history to its end.
pub(super) fn run(history: &History) -> Result<(), String> {
    app::set_gate(true);
    let mut world = World::new(history);
    for what in &history.happens {
        world.happens(what);
    }
    world.settle()?;
    world.check()
}
