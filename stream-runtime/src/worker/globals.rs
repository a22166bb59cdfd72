//! Global tables: every worker reads all partitions of them, before its streams start and from then on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::handle::WorkerHandle;
use super::replicas::Replicas;
use super::shutdown_signal::ShutdownSignal;
use super::status::Progress;
use crate::error::{Error, Kind};
use crate::kafka::{
    Admin, Batch, Fault, FaultKind, Fetched, Isolation, PartitionQueue, Properties, Reader,
    TopicPartition, TopicPartitionOffset, Wake,
};
use crate::table::{AnyReplica, MARK_KEY, replica_of};
use crate::task::States;
use crate::topology::{GlobalPlan, Plan};

/// Records read from a queue at once.
const BATCH_RECORDS: usize = 1_024;
/// How often it is said how far they are.
const SAY_INTERVAL: Duration = Duration::from_secs(5);
/// Time for which a broker may not answer before that is said.
const QUIET_BROKER: Duration = Duration::from_secs(2);
/// Interval between looks for partitions that a topic was given, unless the user says how often topics are.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How long that look may wait for the broker: nobody waits for the thread when the worker ends.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest rest.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// A global table on this worker.
pub(super) struct Global {
    name: &'static str,
    topic: Arc<str>,
    replica: Arc<dyn AnyReplica>,
    partitions: i32,
    /// It follows a changelog, whose marks say what its rows are.
    marked: bool,
}

impl Global {
    /// Those of a plan; `partitions` is how many a topic has.
    ///
    /// # Errors
    /// A table was registered by another version of the runtime.
    pub(super) fn of(
        plan: &Plan,
        partitions: &HashMap<String, i32>,
        replicas: &Replicas,
    ) -> Result<Vec<Global>, Error> {
        let global = |planned: GlobalPlan| {
            let partitions = partitions.get(&planned.topic).copied().unwrap_or(1);
            let replica = replicas.replica(planned.table, planned.global)?;
            Ok(Global::new(planned, partitions, replica))
        };
        plan.globals().into_iter().map(global).collect()
    }

    fn new(planned: GlobalPlan, partitions: i32, replica: Arc<dyn AnyReplica>) -> Self {
        Global {
            name: planned.table.name,
            replica,
            marked: planned.global.source.is_none(),
            partitions,
            topic: planned.topic.into(),
        }
    }
}

/// Reads the global tables of a worker.
pub(super) struct Globals {
    globals: Vec<Global>,
    properties: Properties,
    app: String,
    admin: Arc<Admin>,
    stop: ShutdownSignal,
    /// Whose rows they are; `None`: a command's.
    worker: Option<Arc<WorkerHandle>>,
    /// Next offset of each partition, as far as it was read.
    next: HashMap<TopicPartition, i64>,
    /// Records that did not read, by table.
    bad: HashMap<&'static str, u64>,
    /// Where the last mark says that the rows are not what the program has.
    refused: HashMap<TopicPartition, Error>,
}

/// Partitions that are being read.
struct Reading {
    reader: Reader,
    wake: Wake,
    parts: Vec<Part>,
    batch: Batch,
}

struct Part {
    global: usize,
    place: TopicPartition,
    queue: PartitionQueue,
    next: i64,
    target: i64,
}

/// Reason why tables could not be read to their end.
enum Broken {
    /// The broker does not answer as it should.
    Now(Fault),
    /// Asking again does not help.
    For(Error),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Broken::Now(fault)
    }
}

impl Globals {
    pub(super) fn new(
        globals: Vec<Global>,
        properties: &Properties,
        app: &str,
        admin: &Arc<Admin>,
        stop: &ShutdownSignal,
    ) -> Self {
        Globals {
            globals,
            properties: properties.clone(),
            app: app.to_owned(),
            admin: Arc::clone(admin),
            stop: stop.clone(),
            worker: None,
            next: HashMap::new(),
            bad: HashMap::new(),
            refused: HashMap::new(),
        }
    }

    /// They are a worker's, and read on where that was when it last followed them.
    pub(super) fn of_worker(mut self, worker: &Arc<WorkerHandle>) -> Self {
        self.next = worker.replicas.next();
        self.worker = Some(Arc::clone(worker));
        self
    }

    /// The app's resources and the rows, where `GlobalTable<S>` finds them.
    pub(super) fn beside(&self, states: Arc<States>) -> Arc<States> {
        if self.globals.is_empty() {
            return states;
        }
        let mut all = (*states).clone();
        for global in &self.globals {
            all.insert(global.replica.id(), Arc::clone(&global.replica).as_any());
        }
        Arc::new(all)
    }

    /// Reads them to what was their end when `reading` began. `false`: the worker was asked to stop before. `moved` is
    /// when something last came.
    ///
    /// # Errors
    /// The broker does not give them, or nothing comes for as long as somebody's transaction may be open, and some.
    fn recover(&mut self, reading: &mut Reading, moved: &mut Instant) -> Result<bool, Broken> {
        let began = Instant::now();
        let mut said = began;
        let left = |reading: &Reading| reading.parts.iter().map(Part::left).sum::<u64>();
        let total = left(reading);
        loop {
            if self.read(reading)? > 0 {
                *moved = Instant::now();
            }
            let left = left(reading);
            if let Some(worker) = &self.worker {
                worker.replicas.have_read(total.saturating_sub(left), total);
            }
            if left == 0 {
                let refused = self.refused.drain().next();
                return refused.map_or(Ok(true), |(_, error)| Err(Broken::For(error)));
            }
            if self.stop.is_asked() {
                return Ok(false);
            }
            if said.elapsed() >= SAY_INTERVAL {
                said = Instant::now();
                let done = total.saturating_sub(left);
                let rate = done as f64 / began.elapsed().as_secs_f64();
                let progress = Progress { done, total, rate };
                tracing::info!("global tables: recovering: {progress}");
            }
            if moved.elapsed() > self.patience() {
                return Err(Broken::For(self.stalled(reading)));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// As for the recovery of a partition.
    fn patience(&self) -> Duration {
        let timeout = self.properties.get("transaction.timeout.ms");
        let timeout = timeout.and_then(|ms| ms.parse().ok()).unwrap_or(15_000);
        Duration::from_millis(timeout) + Duration::from_secs(10)
    }

    /// Reads the tables to what is their end now; from a broker that goes away meanwhile, or does not answer as it
    /// should, on from where that was, once it is back. `None`: the worker was asked to stop.
    ///
    /// # Errors
    /// The broker refuses, or nothing has come for too long.
    fn fill(&mut self) -> Result<Option<Reading>, Error> {
        let mut backoff = Backoff::default();
        let mut moved = Instant::now();
        let mut told = false;
        loop {
            let opened = self.open();
            // A topic that was just made has no leader for a moment: nothing to speak of.
            let began_to_read = opened.is_ok();
            let tried = opened.map_err(Broken::Now).and_then(|mut reading| {
                let filled = self.recover(&mut reading, &mut moved)?;
                Ok(filled.then_some(reading))
            });
            let fault = match tried {
                Ok(reading) => return Ok(reading),
                Err(Broken::For(error)) => return Err(error),
                Err(Broken::Now(fault)) => fault,
            };
            if self.stop.is_asked() {
                return Ok(None);
            }
            // What is not there any more is read from its beginning.
            let refused = fault.kind() == FaultKind::Refused && !fault.is_out_of_range();
            if refused || moved.elapsed() > self.patience() {
                return Err(fault.into());
            }
            if !told && (began_to_read || moved.elapsed() > QUIET_BROKER) {
                told = true;
                tracing::warn!("global tables: {fault}; asking again until the broker answers");
            } else {
                tracing::debug!("global tables: {fault}; asking again");
            }
            std::thread::sleep(backoff.fail(Instant::now()).min(LONGEST_REST));
        }
    }

    fn stalled(&self, reading: &Reading) -> Error {
        let part = reading.parts.iter().find(|part| part.left() > 0);
        let text = part.map_or_else(String::new, |part| {
            format!(
                "global table `{}`: {}[{}] at offset {}, to {}: no progress for {} s; another worker's transaction may be open, or the broker is in trouble: look at the broker, then try again",
                self.globals[part.global].name,
                part.place.0,
                part.place.1,
                part.next,
                part.target,
                self.patience().as_secs()
            )
        });
        Error::new(Kind::Broker, text)
    }

    /// Begins to read, from where it was left or from the first record.
    fn open(&self) -> Result<Reading, Fault> {
        let mut keys: Vec<(usize, TopicPartition)> = Vec::new();
        for (at, global) in self.globals.iter().enumerate() {
            keys.extend((0..global.partitions).map(|p| (at, (Arc::clone(&global.topic), p))));
        }
        let places: Vec<TopicPartition> = keys.iter().map(|(_, place)| place.clone()).collect();
        let (lows, ends) = (self.admin.starts(&places)?, self.admin.ends(&places)?);
        let starts = places.iter().zip(&lows).map(|(place, low)| {
            let next = self.next.get(place).copied().unwrap_or(*low);
            TopicPartitionOffset::new(Arc::clone(&place.0), place.1, next)
        });
        let starts: Vec<TopicPartitionOffset> = starts.collect();
        let wake = Wake::new();
        let reader = Reader::new(&self.properties, &self.app, Isolation::Committed, &wake)?;
        let queues = reader.add(&starts)?;
        let parts = keys.into_iter().zip(queues).zip(starts.iter().zip(ends));
        let parts = parts
            .map(|(((global, place), queue), (start, target))| Part {
                global,
                place,
                queue,
                next: start.offset,
                target,
            })
            .collect();
        self.stop.wakes(&wake);
        Ok(Reading {
            parts,
            reader,
            wake,
            batch: Batch::new(BATCH_RECORDS),
        })
    }

    /// Takes what has come. Returns how much that was.
    ///
    /// # Errors
    /// A partition cannot be read on.
    fn read(&mut self, reading: &mut Reading) -> Result<usize, Fault> {
        reading.reader.serve()?;
        let mut count = 0;
        let mut fault = None::<(Fault, usize)>;
        for (at, part) in reading.parts.iter_mut().enumerate() {
            let global = &self.globals[part.global];
            let (next, bad) = (&mut part.next, &mut self.bad);
            let refused = &mut self.refused;
            count += part
                .queue
                .read(&mut reading.batch, |fetched| match fetched {
                    Fetched::Record(record) => {
                        *next = (*next).max(record.offset + 1);
                        let taken = global.replica.take(record.key, record.value);
                        if global.marked && record.key == Some(MARK_KEY) {
                            refused.remove(&part.place);
                            if let Err(error) = taken {
                                let (topic, partition) = &part.place;
                                let at =
                                    format!("{topic}[{partition}] at offset {}", record.offset);
                                refused.insert(part.place.clone(), error.context(at));
                            }
                        } else if let Err(error) = taken {
                            let bad = bad.entry(global.name).or_default();
                            *bad += 1;
                            // The first, then ever more seldom.
                            if bad.is_power_of_two() {
                                tracing::warn!(
                                    table = global.name,
                                    total = *bad,
                                    "{}[{}]@{}: left out: {error}",
                                    part.place.0,
                                    part.place.1,
                                    record.offset
                                );
                            }
                        }
                    }
                    Fetched::End { offset } => *next = (*next).max(offset),
                    Fetched::Error { code, text } => {
                        let doing = format!("read {}[{}]", part.place.0, part.place.1);
                        fault.get_or_insert((Fault::of_code(doing, code).because(&text), at));
                    }
                });
            self.next.insert(part.place.clone(), part.next);
        }
        match fault {
            Some((fault, at)) if fault.is_out_of_range() => {
                // Its records were deleted, or the topic was made again: all of the table again.
                let global = &self.globals[reading.parts[at].global];
                global.replica.clear();
                self.next.retain(|place, _| place.0 != global.topic);
                Err(fault)
            }
            Some((fault, _)) => Err(fault),
            None => Ok(count),
        }
    }

    /// Fills the tables, says so, and follows them.
    fn run(mut self, runtime: &tokio::runtime::Runtime, filled: impl FnOnce(Result<(), Error>)) {
        self.fill_and_follow(runtime, filled);
        if let Some(worker) = self.worker.take() {
            worker.replicas.left_at(self.next);
        }
    }

    fn fill_and_follow(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        filled: impl FnOnce(Result<(), Error>),
    ) {
        let began = Instant::now();
        let reading = match self.fill() {
            Ok(Some(reading)) => reading,
            Ok(None) => return filled(Ok(())),
            Err(error) => return filled(Err(error)),
        };
        if let Some(worker) = &self.worker {
            let names = self.globals.iter().map(|global| global.name);
            worker.replicas.are_filled(names);
            for global in &self.globals {
                tracing::info!(
                    table = global.name,
                    rows = global.replica.rows(),
                    "global table recovered in {:.1} s",
                    began.elapsed().as_secs_f64()
                );
            }
        }
        filled(Ok(()));
        self.follow(reading, runtime);
    }

    /// Takes in partitions that a topic was given meanwhile. Returns whether there are any.
    fn grows(&mut self) -> bool {
        let mut grows = false;
        for global in &mut self.globals {
            let now = self.admin.partitions_within(&global.topic, LOOK_TIMEOUT);
            let Some(now) = now.filter(|now| *now > global.partitions) else {
                continue;
            };
            tracing::warn!(
                table = global.name,
                "topic {} has {now} partitions and had {}: they are read as well; rows whose keys lie in another partition now must be sent again, or the next start may show what they were",
                global.topic,
                global.partitions
            );
            (global.partitions, grows) = (now, true);
        }
        grows
    }

    /// Reads on until the worker ends.
    fn follow(&mut self, mut reading: Reading, runtime: &tokio::runtime::Runtime) {
        let mut backoff = Backoff::default();
        let every = super::patterns::every(&self.properties, LOOK_INTERVAL);
        let mut looked = Instant::now();
        while !self.stop.is_asked() {
            let mut read = self.read(&mut reading);
            if read.is_ok() && every.is_some_and(|every| looked.elapsed() >= every) {
                looked = Instant::now();
                if self.grows() {
                    match self.open() {
                        Ok(opened) => reading = opened,
                        Err(fault) => read = Err(fault),
                    }
                }
            }
            for (_, error) in self.refused.drain() {
                tracing::warn!("global tables: {error}");
            }
            match read {
                Ok(0) => {
                    backoff.succeed();
                    let wake = reading.wake.clone();
                    let _ = runtime
                        .block_on(async { tokio::time::timeout(LONGEST_REST, wake.wait()).await });
                }
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!("global tables: {fault}; trying again");
                    std::thread::sleep(backoff.fail(Instant::now()));
                    match self.open() {
                        Ok(opened) => reading = opened,
                        Err(fault) => tracing::warn!("global tables: {fault}"),
                    }
                }
            }
        }
    }
}

impl Part {
    fn left(&self) -> u64 {
        u64::try_from(self.target - self.next).unwrap_or(0)
    }
}

/// Fills the global tables, and follows them on a thread that ends with the worker. Returns when they are filled.
///
/// # Errors
/// They cannot be read to their end.
pub(super) fn start(globals: Globals) -> Result<Option<std::thread::JoinHandle<()>>, Error> {
    if globals.globals.is_empty() {
        return Ok(None);
    }
    let failed = |error: std::io::Error| {
        Error::new(Kind::Internal, format!("cannot start a thread: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(failed)?;
    let (said, filled) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("globals".to_owned())
        .spawn(move || globals.run(&runtime, |result| drop(said.send(result))))
        .map_err(failed)?;
    match filled.recv() {
        Ok(Ok(())) => Ok(Some(thread)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::new(
            Kind::Internal,
            "the thread of the global tables ended",
        )),
    }
}

/// A global table for a program without a worker: read whole, and followed until this is dropped.
pub(crate) struct Followed {
    replica: Arc<dyn AnyReplica>,
    stop: ShutdownSignal,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Followed {
    /// Reads the table to what is its end now. Blocks for it.
    ///
    /// # Errors
    /// Its topic does not exist, or cannot be read to its end.
    pub(crate) fn start(
        planned: GlobalPlan,
        app: &str,
        properties: &Properties,
        admin: Admin,
    ) -> Result<Self, Error> {
        let Some(topic) = admin.topic(&planned.topic)? else {
            let text = format!(
                "global table `{}`: its topic `{}` does not exist: no worker of {app} has run yet, and nobody has sent to it",
                planned.table.name, planned.topic
            );
            return Err(Error::new(Kind::Stopped, text));
        };
        let replica = replica_of(planned.table, planned.global)?;
        let global = Global::new(planned, topic.partitions, Arc::clone(&replica));
        let stop = ShutdownSignal::new();
        let globals = Globals::new(vec![global], properties, app, &Arc::new(admin), &stop);
        let thread = start(globals)?;
        Ok(Followed {
            replica,
            stop,
            thread,
        })
    }

    pub(crate) fn replica(&self) -> Arc<dyn AnyReplica> {
        Arc::clone(&self.replica)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
