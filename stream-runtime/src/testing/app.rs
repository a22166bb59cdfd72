//! `TestApp`: an app in a test.

use std::rc::Rc;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::cluster::Entry;
use super::drive::Drive;
use super::sent::{Sent, TestKey};
use crate::app::{Agents, App};
use crate::error::Error;
use crate::record::Record;
use crate::task::TaskSettings;
use crate::topology::Plan;

/// An app without Kafka, for tests: the code that a worker runs, over topics in memory, with a clock that the test owns.
///
/// What is sent is worked off when the test looks: at [`sent`](TestApp::sent), [`advance_to`](TestApp::advance_to) and
/// the like. One partition unless [`partitions`](TestApp::partitions) says otherwise. Whatever the worker would log as
/// an error and stop for, panics.
///
/// ```
/// # use stream_runtime::prelude::*;
/// # use stream_runtime::testing::{TestApp, at};
/// #[record(timestamp = datetime)]
/// struct Reading { datetime: DateTime<Utc>, voltage: f64 }
///
/// #[record]
/// struct Mean { count: u64, mean: f64 }
///
/// #[table(tumbling = "1h", grace = "30s", idle = "5s")]
/// #[derive(Clone, Default)]
/// struct Hour { count: u64, sum: f64 }
///
/// #[agent(topic = "voltage_input")]
/// async fn collect(reading: Reading, Key(meter): Key<String>, mut hours: Table<Hour>) {
///     hours.update(&meter, |hour| { hour.count += 1; hour.sum += reading.voltage; });
/// }
///
/// #[agent(on_close = Hour, sink = "voltage_avg")]
/// async fn average(hour: Closed<Hour>) -> Mean {
///     Mean { count: hour.count, mean: hour.sum / hour.count as f64 }
/// }
///
/// let mut app = TestApp::only((collect, average));
/// app.send("voltage_input", "power", Reading { datetime: at("2006-12-16T17:24:00Z"), voltage: 234.8 });
/// assert!(app.sent::<Mean>("voltage_avg").is_empty());
/// app.advance_to(at("2006-12-16T18:00:30Z"));
/// assert_eq!(app.sent::<Mean>("voltage_avg")[0].count, 1);
/// ```
pub struct TestApp {
    app: App,
    partitions: i32,
    drive: Option<Drive>,
}

impl TestApp {
    /// All agents of the process.
    pub fn new() -> Self {
        Self::of(App::new("test"))
    }

    /// Only these agents: a tuple of the functions.
    pub fn only<A: Agents>(agents: A) -> Self {
        Self::of(App::new("test").only(agents))
    }

    /// Only what a module declares: `TestApp::scope(module_path!())`.
    pub fn scope(module: &str) -> Self {
        Self::of(App::new("test").scope(module))
    }

    /// An app with its settings: name, states, guarantee, `max_ahead`.
    pub fn of(app: App) -> Self {
        TestApp {
            app,
            partitions: 1,
            drive: None,
        }
    }

    /// Partitions of every topic. Default 1.
    ///
    /// # Panics
    /// When the app has begun, or for less than 1.
    #[track_caller]
    pub fn partitions(mut self, partitions: i32) -> Self {
        assert!(self.drive.is_none(), "the app has begun");
        assert!(partitions >= 1, "at least one partition");
        self.partitions = partitions;
        self
    }

    /// A shared resource, injected as `State<T>`.
    ///
    /// # Panics
    /// When the app has begun.
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        assert!(self.drive.is_none(), "the app has begun");
        self.app = self.app.state(value);
        self
    }

    #[track_caller]
    fn drive(&mut self) -> &mut Drive {
        if self.drive.is_none() {
            self.drive = Some(done(self.begin()));
        }
        match &mut self.drive {
            Some(drive) => drive,
            None => unreachable!("made above"),
        }
    }

    fn begin(&self) -> Result<Drive, Error> {
        let plan: Plan = self.app.plan().map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Error::agent(all.join("\n"))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::agent(format!("no runtime for the handlers: {e}")))?;
        let states = runtime.block_on(self.app.states.clone().make())?;
        let settings = TaskSettings {
            app: plan.app.as_str().into(),
            max_ahead: i64::try_from(self.app.max_ahead.as_millis()).unwrap_or(i64::MAX),
            max_task_idle: self.app.max_task_idle.as_millis() as u64,
            max_message_bytes: 1_000_000,
            cache_bytes: 64 << 20,
            commit_events: u32::MAX,
            commit_bytes: 16 << 20,
            commit_rows: 50_000,
            exactly_once: self.app.guarantee == crate::app::ProcessingGuarantee::ExactlyOnce,
        };
        let topologies = plan.topologies.into_iter().map(Arc::new).collect();
        Drive::new(
            topologies,
            settings,
            Arc::new(states.into_map()),
            self.partitions,
            Rc::new(runtime),
        )
    }

    /// Puts a record into a topic, where Kafka's partitioner puts its key. Its Kafka timestamp is its event time; the
    /// clock never lags behind it.
    ///
    /// # Panics
    /// When the record does not serialize.
    #[track_caller]
    pub fn send<T: Record>(&mut self, topic: &str, key: impl TestKey, value: T) {
        let mut bytes = Vec::new();
        let some = match value.encode(&mut bytes) {
            Ok(some) => some,
            Err(e) => panic!("{e}"),
        };
        let time = value.timestamp();
        self.put(
            topic,
            TestKey::bytes(key),
            some.then_some(bytes),
            time,
            Vec::new(),
        );
    }

    /// Puts bytes into a topic, as a broken producer would; without a time it is the clock's.
    #[track_caller]
    pub fn send_raw(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        self.put(topic, key, value, None, Vec::new());
    }

    #[track_caller]
    fn put(
        &mut self,
        topic: &str,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        time: Option<i64>,
        headers: Vec<(String, Vec<u8>)>,
    ) {
        let drive = self.drive();
        if let Some(time) = time {
            drive.now.wall = drive.now.wall.max(time);
        }
        let timestamp = time.unwrap_or(drive.now.wall);
        let entry = Entry {
            key,
            value,
            timestamp,
            headers,
        };
        drive.cluster.append(topic, entry);
    }

    /// Works off what has come, then moves the clock to `time`: retries, timeouts and `idle` windows fall due on the way.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn advance_to(&mut self, time: DateTime<Utc>) {
        done(self.drive().advance(time.timestamp_millis()));
    }

    /// Raises stream time itself, for tables without `idle`: windows whose end and grace are not after `time` close.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn close_until(&mut self, time: DateTime<Utc>) {
        done(self.drive().raise(time.timestamp_millis()));
    }

    /// The committed records of a topic, partition by partition.
    ///
    /// # Panics
    /// When a partition would stop, or a record is no `T`.
    #[track_caller]
    pub fn sent<T: Record>(&mut self, topic: &str) -> Vec<Sent<T>> {
        let drive = self.drive();
        done(drive.settle());
        let all = drive.cluster.all(topic);
        all.map(|(partition, offset, e)| Sent {
            record: match T::decode(e.value.as_deref()) {
                Ok(value) => value,
                Err(problem) => panic!("{topic}[{partition}]@{offset}: {problem}"),
            },
            key: e.key.clone(),
            partition,
            offset: offset as i64,
            timestamp: e.timestamp,
            headers: e.headers.clone(),
        })
        .collect()
    }

    /// The dead letters of an agent, by its name: the records' bytes, with headers that say why.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn dead_letters(&mut self, agent: &str) -> Vec<Sent<bytes::Bytes>> {
        let topic = format!("{}-{agent}-dead-letters", self.app.id());
        self.sent(&topic)
    }

    /// (record, window) pairs that came too late since the last crash.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn late(&mut self) -> u64 {
        let drive = self.drive();
        done(drive.settle());
        drive.late()
    }

    /// All workers die with what they have done since their last commit, and start again.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn crash(&mut self) {
        let drive = self.drive();
        done(drive.run_without_commit());
        done(drive.crash(false));
    }

    /// The same, on machines that have nothing on their disks.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn restart_with_empty_disk(&mut self) {
        let drive = self.drive();
        done(drive.run_without_commit());
        done(drive.crash(true));
    }

    /// Every partition is revoked in order and assigned again.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn rebalance(&mut self) {
        done(self.drive().rebalance());
    }

    /// Workers write what is committed to their disks.
    ///
    /// # Panics
    /// When a partition would stop.
    #[track_caller]
    pub fn store(&mut self) {
        let drive = self.drive();
        done(drive.settle());
        done(drive.store_all());
    }

    /// The next commit is aborted; the work is done again.
    #[track_caller]
    pub fn fail_next_commit(&mut self) {
        self.drive().fail_commits += 1;
    }
}

impl Default for TestApp {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn done<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
