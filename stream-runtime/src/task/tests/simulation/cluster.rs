//! The broker: logs, transactions, fencing, the group. Deaf to time: what waits there ends when a history says so.

use std::collections::BTreeMap;

use crate::table::ROW_TAG;

/// A worker's number: its place on a machine, and its transactional id.
pub(super) type WorkerId = usize;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A newer producer has this transactional id, or the transaction's time was up.
    Fenced,
    /// The group's generation is another.
    NotAMember,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Committed,
    Aborted,
}

/// A record in a log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Of which transaction; `None`: of none.
    txn: Option<usize>,
    pub(super) topic: String,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

/// A log: a place that holds nothing is a marker, or was compacted away.
#[derive(Default)]
pub(super) struct Log(Vec<Option<Entry>>);

/// What the group has committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    pub(super) input: Option<i64>,
    pub(super) metadata: String,
}

#[derive(Default)]
struct Producer {
    epoch: u32,
    open: Option<usize>,
    pending: Option<Offsets>,
}

/// What a worker reads and writes: it survives them all.
pub(super) struct Cluster {
    /// Key, time and value by offset; a place that holds nothing is a marker.
    pub(super) input: Vec<Option<(String, i64, i64)>>,
    pub(super) output: Log,
    pub(super) changelogs: Vec<Log>,
    transactions: Vec<State>,
    producers: BTreeMap<WorkerId, Producer>,
    pub(super) generation: u32,
    pub(super) owner: Option<WorkerId>,
    offsets: Offsets,
}

impl Cluster {
    pub(super) fn new(tables: usize) -> Self {
        Cluster {
            input: Vec::new(),
            output: Log::default(),
            changelogs: (0..tables).map(|_| Log::default()).collect(),
            transactions: Vec::new(),
            producers: BTreeMap::new(),
            generation: 0,
            owner: None,
            offsets: Offsets::default(),
        }
    }

    /// A new producer: older ones of the id are fenced, their transaction is aborted.
    pub(super) fn init(&mut self, worker: WorkerId) -> u32 {
        self.end(worker, State::Aborted);
        let producer = self.producers.entry(worker).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    fn checked(&mut self, worker: WorkerId, epoch: u32) -> Result<&mut Producer, Refusal> {
        let producer = self.producers.entry(worker).or_default();
        if producer.epoch == epoch {
            Ok(producer)
        } else {
            Err(Refusal::Fenced)
        }
    }

    /// Appends a record within the worker's transaction, which begins with its first; `table`: to its changelog.
    pub(super) fn produce(
        &mut self,
        worker: WorkerId,
        epoch: u32,
        table: Option<usize>,
        mut entry: Entry,
    ) -> Result<i64, Refusal> {
        let next = self.transactions.len();
        let producer = self.checked(worker, epoch)?;
        let txn = *producer.open.get_or_insert(next);
        if txn == next {
            self.transactions.push(State::Open);
        }
        entry.txn = Some(txn);
        Ok(self.append(table, Some(entry)))
    }

    fn append(&mut self, table: Option<usize>, entry: Option<Entry>) -> i64 {
        let log = match table {
            Some(table) => &mut self.changelogs[table],
            None => &mut self.output,
        };
        log.0.push(entry);
        log.0.len() as i64 - 1
    }

    /// Adds the offsets to the worker's transaction, if the group knows it.
    pub(super) fn send_offsets(
        &mut self,
        worker: WorkerId,
        epoch: u32,
        generation: u32,
        offsets: Offsets,
    ) -> Result<(), Refusal> {
        let member = self.owner == Some(worker) && self.generation == generation;
        let next = self.transactions.len();
        let producer = self.checked(worker, epoch)?;
        if !member {
            return Err(Refusal::NotAMember);
        }
        producer.pending = Some(offsets);
        if *producer.open.get_or_insert(next) == next {
            self.transactions.push(State::Open);
        }
        Ok(())
    }

    /// Commits the worker's transaction.
    pub(super) fn commit(&mut self, worker: WorkerId, epoch: u32) -> Result<(), Refusal> {
        self.checked(worker, epoch)?;
        self.end(worker, State::Committed);
        Ok(())
    }

    /// Aborts the worker's transaction.
    pub(super) fn abort(&mut self, worker: WorkerId, epoch: u32) -> Result<(), Refusal> {
        self.checked(worker, epoch)?;
        self.end(worker, State::Aborted);
        Ok(())
    }

    /// The time of the worker's transaction is up: it is aborted and its producer fenced.
    pub(super) fn time_out(&mut self, worker: WorkerId) {
        if self
            .producers
            .get(&worker)
            .is_some_and(|producer| producer.open.is_some())
        {
            self.init(worker);
        }
    }

    /// Ends the worker's transaction, with a marker in each log that it wrote to.
    fn end(&mut self, worker: WorkerId, state: State) {
        let producer = self.producers.entry(worker).or_default();
        let (open, pending) = (producer.open.take(), producer.pending.take());
        let Some(txn) = open else {
            return;
        };
        self.transactions[txn] = state;
        if let (State::Committed, Some(offsets)) = (state, pending) {
            self.offsets = offsets;
        }
        let logs = self.changelogs.iter_mut().chain([&mut self.output]);
        for log in logs.filter(|log| log.0.iter().flatten().any(|entry| entry.txn == Some(txn))) {
            log.0.push(None);
        }
    }

    /// The group gives the input to this worker, or to nobody. Returns the generation.
    pub(super) fn assign(&mut self, worker: Option<WorkerId>) -> u32 {
        self.generation += 1;
        self.owner = worker;
        self.generation
    }

    /// The group's offsets; `None` while a transaction that holds some is open.
    pub(super) fn stable_offsets(&self) -> Option<&Offsets> {
        let pending = self.producers.values().any(|p| p.pending.is_some());
        (!pending).then_some(&self.offsets)
    }

    /// The end of a changelog, open transactions included.
    pub(super) fn end_of(&self, table: usize) -> i64 {
        self.changelogs[table].0.len() as i64
    }

    /// Up to where a changelog may be read: the first record of an open transaction.
    pub(super) fn stable_end_of(&self, table: usize) -> i64 {
        let open = |entry: &Option<Entry>| {
            entry
                .as_ref()
                .and_then(|entry| entry.txn)
                .is_some_and(|txn| self.transactions[txn] == State::Open)
        };
        let log = &self.changelogs[table].0;
        log.iter().position(open).unwrap_or(log.len()) as i64
    }

    fn is_committed(&self, entry: &Entry) -> bool {
        entry
            .txn
            .is_none_or(|txn| self.transactions[txn] == State::Committed)
    }

    /// Committed records of a changelog from an offset up to another, with their offsets.
    pub(super) fn changes(
        &self,
        table: usize,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, &Entry)> {
        let part = &self.changelogs[table].0[from as usize..to as usize];
        let held = (from..).zip(part);
        held.filter_map(|(offset, entry)| Some((offset, entry.as_ref()?)))
            .filter(|(_, entry)| self.is_committed(entry))
    }

    /// Rows of a table as its changelog says, the mark left out.
    pub(super) fn fold(&self, table: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        self.replay(table, 0, &mut rows);
        rows
    }

    /// Brings rows that are true up to an offset to what the changelog says at its end.
    pub(super) fn replay(&self, table: usize, from: i64, rows: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for (_, entry) in self.changes(table, from, self.end_of(table)) {
            if let Some((&ROW_TAG, key)) = entry.key.split_first() {
                match &entry.value {
                    Some(value) => rows.insert(key.to_vec(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
    }

    /// Committed records of the output.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &Entry> {
        let held = self.output.0.iter().flatten();
        held.filter(|entry| self.is_committed(entry))
    }

    /// Compacts a changelog: of each key only its last committed record is left, what was aborted goes. Tombstones
    /// stay, as they do for days.
    pub(super) fn compact(&mut self, table: usize) {
        let upto = self.stable_end_of(table);
        let last: BTreeMap<Vec<u8>, i64> = self
            .changes(table, 0, upto)
            .map(|(offset, entry)| (entry.key.clone(), offset))
            .collect();
        let log = &mut self.changelogs[table].0;
        for (offset, place) in (0..upto).zip(log) {
            if place
                .as_ref()
                .is_some_and(|entry| last.get(&entry.key) != Some(&offset))
            {
                *place = None;
            }
        }
    }
}

impl Entry {
    pub(super) fn new(topic: &str, key: &[u8], value: Option<&[u8]>) -> Self {
        Entry {
            txn: None,
            topic: topic.to_owned(),
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        }
    }
}
