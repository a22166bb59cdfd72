//! `TestApp`: an app in a test.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::background::Beside;
use super::cluster::Entry;
use super::globals::Globals;
use super::harness::Harness;
use super::random::Random;
use super::rules::{Broker, Rules};
use super::sent::{Sent, TestKey};
use super::stamp::Stamp;
use crate::app::{Agents, App};
use crate::error::Error;
use crate::record::{Payload, Record};
use crate::task::{Limits, TaskSettings};
use crate::topology::{PatternPlan, Plan};
use crate::worker::{ShutdownSignal, Status, WorkerHandle};

/// An app without Kafka, for tests: the code that a worker runs, over topics in memory, with a clock that the test
/// owns.
///
/// What is sent is worked off when the test looks: at [`sent`](TestApp::sent), [`advance_to`](TestApp::advance_to) and
/// the like. One partition and one worker unless [`partitions`](TestApp::partitions) and [`workers`](TestApp::workers)
/// say otherwise. Whatever the worker would log as an error and stop for, panics.
///
/// The clock is the wall clock of `idle`, of `max_ahead`, of timers and crontabs, and of the waits between retries. It
/// starts at the event time of the first record and follows what is sent, as if the test had waited for it; what the
/// calendar has between a record and the one before is left out. A record that is more than 31 days ahead of the clock
/// it does not follow: that is a mistake of its producer, and meets `max_ahead` as in production. A test that means it
/// moves the clock first, with [`advance_to`](TestApp::advance_to). Timers, crontabs and tasks run as beside a worker's
/// streams: once for each worker, or once with `on_leader`. `#[task]`s of the start go on whenever the app works, those
/// of the end with [`stop`](TestApp::stop). One that fails is logged, as by a worker; `.fatal()` panics.
///
/// A window that closes with its hour:
///
/// ```
/// use stream_runtime::prelude::*;
/// use stream_runtime::testing::{TestApp, at};
///
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
///
/// // The functions are functions: what does not need an app is tested without one.
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let mean = average(Closed::new("power".into(), at("2006-12-16T17:00:00Z"), Hour { count: 2, sum: 470.0 })).await;
/// assert_eq!(mean.mean, 235.0);
/// # });
/// ```
///
/// Two workers, of which one dies, an aborted commit, and a disk that is lost: every order counts once.
///
/// ```standalone_crate
/// use stream_runtime::prelude::*;
/// use stream_runtime::testing::TestApp;
///
/// #[table(key = u64)]
/// #[derive(Clone, Default)]
/// struct Sold { pieces: u64 }
///
/// #[agent(topic = "orders", sink = "sold")]
/// async fn count(_order: String, Key(shop): Key<u64>, mut sold: Table<Sold>) -> (u64, String) {
///     let pieces = sold.update(&shop, |row| { row.pieces += 1; row.pieces });
///     (shop, pieces.to_string())
/// }
///
/// let mut app = TestApp::only((count,)).partitions(4).workers(2);
/// for order in 0..40_u64 {
///     app.send("orders", order % 5, format!("order {order}"));
///     match order {
///         10 => app.crash_worker(1),
///         15 => app.fail_next_commit(),
///         20 => app.rebalance(),
///         25 => app.crash(),
///         30 => app.restart_with_empty_disk(),
///         _ => {}
///     }
/// }
/// let sold = app.sent::<String>("sold");
/// assert_eq!(sold.len(), 40);
/// let of_shop_3: Vec<&str> = sold.iter().filter(|s| s.key::<u64>() == 3).map(|s| s.as_str()).collect();
/// assert_eq!(of_shop_3, ["1", "2", "3", "4", "5", "6", "7", "8"]);
/// ```
///
/// What fails, is tried again, and at last put aside:
///
/// ```
/// use stream_runtime::prelude::*;
/// use stream_runtime::testing::TestApp;
///
/// #[agent(topic = "jobs", sink = "done", retries = 1, backoff = "10s")]
/// async fn work(job: String) -> Result<String> {
///     if job == "impossible" {
///         Err("nobody can do that")?;
///     }
///     Ok(job)
/// }
///
/// let mut app = TestApp::only((work,));
/// app.send("jobs", "k", "impossible".to_owned());
/// app.send("jobs", "k", "easy".to_owned());
/// app.advance_to(DateTime::UNIX_EPOCH + std::time::Duration::from_secs(9));
/// assert!(app.sent::<String>("done").is_empty()); // its partition waits for the second attempt
/// app.advance_to(DateTime::UNIX_EPOCH + std::time::Duration::from_secs(10));
/// assert_eq!(app.dead_letters("work")[0].header("error"), Some("nobody can do that"));
/// assert_eq!(*app.sent::<String>("done")[0], "easy");
/// ```
///
/// And chance finds what nobody thinks of: [`simulate`](TestApp::simulate).
pub struct TestApp {
    app: App,
    partitions: i32,
    workers: usize,
    /// Topics that the test has sent to: patterns look for theirs among them.
    topics: Vec<String>,
    patterns: Vec<PatternPlan>,
    rules: BTreeMap<String, Rules>,
    /// Topic, partition and offset of the dead letters that were sent again.
    pub(super) resent: BTreeSet<(String, i32, i64)>,
    drive: Option<Harness>,
}

impl TestApp {
    /// Creates an app of all agents of the process.
    ///
    /// ```
    /// use stream_runtime::testing::TestApp;
    ///
    /// // All agents of the program.
    /// let app = TestApp::new();
    /// # let _ = app;
    /// ```
    pub fn new() -> Self {
        Self::of(App::new("test"))
    }

    /// Creates an app of these agents alone: a tuple of the functions. Of the `#[state]` functions, those run that
    /// these ask for.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[0], "1");
    /// ```
    pub fn only<A: Agents>(agents: A) -> Self {
        Self::of(App::new("test").only(agents))
    }

    /// Creates an app of what a module declares: `TestApp::scope(module_path!())`.
    ///
    /// ```
    /// use stream_runtime::testing::TestApp;
    ///
    /// // The agents of this module and those in it.
    /// let app = TestApp::scope(module_path!());
    /// # let _ = app;
    /// ```
    pub fn scope(module: &str) -> Self {
        Self::of(App::new("test").scope(module))
    }

    /// Takes an app with its settings: name, states, guarantee, `max_ahead`.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[agent(topic = "words", sink = "loud")]
    /// # async fn shout(word: Event<String>) -> String { word.to_uppercase() }
    /// let mut app = TestApp::of(App::new("words").only((shout,)));
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("loud")[0], "TEA");
    /// ```
    pub fn of(app: App) -> Self {
        TestApp {
            app,
            partitions: 1,
            workers: 1,
            topics: Vec::new(),
            patterns: Vec::new(),
            rules: BTreeMap::new(),
            resent: BTreeSet::new(),
            drive: None,
        }
    }

    /// Sets the partitions of every topic. Default 1.
    ///
    /// # Panics
    /// When the app has begun, or for less than 1.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,)).partitions(4);
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(app.sent::<String>("counts").len(), 1);
    /// ```
    #[track_caller]
    pub fn partitions(mut self, partitions: i32) -> Self {
        assert!(self.drive.is_none(), "the app has begun");
        assert!(partitions >= 1, "at least one partition");
        self.partitions = partitions;
        self
    }

    /// Sets the number of workers that share the partitions, each with a disk of its own. Default 1.
    ///
    /// # Panics
    /// When the app has begun, or for none.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,)).workers(2);
    /// app.send("words", "k", "tea".to_owned());
    /// app.crash_worker(0);
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[1], "2");
    /// ```
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(self.drive.is_none(), "the app has begun");
        assert!(workers >= 1, "at least one worker");
        self.workers = workers;
        self
    }

    /// Adds a shared resource, injected as `State<T>`.
    ///
    /// # Panics
    /// When the app has begun.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// struct Greeting(String);
    ///
    /// #[agent(topic = "names", sink = "greetings")]
    /// async fn greet(name: Event<String>, greeting: State<Greeting>) -> String {
    ///     format!("{} {}", greeting.0, *name)
    /// }
    ///
    /// let mut app = TestApp::only((greet,)).state(Greeting("Hello".to_owned()));
    /// app.send("names", "ann", "Ann".to_owned());
    /// assert_eq!(*app.sent::<String>("greetings")[0], "Hello Ann");
    /// ```
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        assert!(self.drive.is_none(), "the app has begun");
        self.app = self.app.state(value);
        self
    }

    /// Sets a setting of a topic, by Kafka's name for it, as if it had been made by hand: `cleanup.policy`,
    /// `max.message.bytes`, `message.timestamp.before.max.ms` or `message.timestamp.after.max.ms`. What a topic with it
    /// does not take is refused as by a broker.
    ///
    /// # Panics
    /// When the app has begun, or for another setting.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,)).topic_setting("counts", "max.message.bytes", "1000");
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(app.sent::<String>("counts").len(), 1);
    /// ```
    #[track_caller]
    pub fn topic_setting(mut self, topic: &str, name: &str, value: &str) -> Self {
        assert!(self.drive.is_none(), "the app has begun");
        let rules = self.rules.entry(topic.to_owned()).or_default();
        if let Err(text) = rules.set(name, value) {
            panic!("{text}");
        }
        self
    }

    #[track_caller]
    pub(super) fn drive(&mut self) -> &mut Harness {
        if self.drive.is_none() {
            self.drive = Some(done(self.begin()));
        }
        match &mut self.drive {
            Some(drive) => drive,
            None => unreachable!("made above"),
        }
    }

    pub(super) fn plan(&self) -> Result<Plan, Error> {
        self.app.plan_among(&self.topics).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Error::agent(all.join("\n"))
        })
    }

    /// A topic is there. If it is new and a pattern matches it, the app starts again with it, as a worker does.
    fn know(&mut self, topic: &str) -> Result<(), Error> {
        if self.topics.iter().any(|known| known == topic) {
            return Ok(());
        }
        self.topics.push(topic.to_owned());
        if self.drive.is_none() || self.patterns.is_empty() {
            return Ok(());
        }
        self.plan_again(false)
    }

    /// The same of a topic of the app's own, which is read as soon as it is there.
    pub(super) fn know_own(&mut self, topic: &str) -> Result<(), Error> {
        if self.topics.iter().any(|known| known == topic) {
            return Ok(());
        }
        self.topics.push(topic.to_owned());
        self.plan_again(true)
    }

    fn plan_again(&mut self, own: bool) -> Result<(), Error> {
        let plan = self.plan()?;
        let Some(drive) = self
            .drive
            .as_mut()
            .filter(|_| own || self.patterns != plan.patterns)
        else {
            return Ok(());
        };
        self.patterns = plan.patterns;
        drive.start_again(plan.topologies.into_iter().map(Arc::new).collect())
    }

    fn begin(&mut self) -> Result<Harness, Error> {
        // What sends beside the streams makes its topics.
        for topic in self.app.beside().iter().flat_map(|one| one.sends()) {
            self.know(topic.name)?;
        }
        let plan = self.plan()?;
        self.patterns.clone_from(&plan.patterns);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::agent(format!("no runtime for the handlers: {e}")))?;
        let states = runtime.block_on(self.app.asked_states().make())?;
        let compact = plan.topics.values().filter(|topic| topic.compact);
        let compact: Vec<&str> = compact.map(|topic| topic.name).collect();
        let broker = Broker::new(self.rules.clone(), &compact);
        let mut limits = Limits::of(&plan);
        broker.tell(&mut limits, &plan);
        let app = plan.app.as_str().into();
        let settings = TaskSettings {
            max_ahead: i64::try_from(self.app.time.max_ahead.as_millis()).unwrap_or(i64::MAX),
            max_task_idle: self.app.time.max_task_idle.as_millis() as u64,
            exactly_once: self.app.guarantee == crate::app::ProcessingGuarantee::ExactlyOnce,
            watermarks_a_second: u64::MAX,
            read_back: true,
            ..TaskSettings::new(app, Arc::new(limits))
        };
        let globals = Globals::of(&plan)?;
        let states = Arc::new(states.into_map());
        let handle = WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan));
        globals.tell(&handle);
        let beside = Beside::new(
            self.app.beside(),
            Arc::clone(&states),
            handle,
            self.partitions,
        )?;
        let topologies = plan.topologies.into_iter().map(Arc::new).collect();
        let source_idle = self.app.source_idle_or(Duration::ZERO);
        let source_idle = source_idle.map(|idle| idle.as_millis() as u64);
        Harness::new(
            topologies,
            settings,
            states,
            globals,
            (beside, broker),
            (self.partitions, self.workers, source_idle),
            Rc::new(runtime),
        )
    }

    /// Puts a record into a topic, where Kafka's partitioner puts its key. Its Kafka timestamp is its event time, or
    /// else the clock's; the clock follows it, see [`TestApp`]. Headers and a timestamp of its own:
    /// [`message`](TestApp::message).
    ///
    /// # Panics
    /// When the record does not serialize, or its topic does not take it: one that is compacted takes none without a
    /// key.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[0], "1");
    /// ```
    #[track_caller]
    pub fn send<T: Record>(&mut self, topic: &str, key: impl TestKey, value: T) {
        self.message(topic, key, value).send();
    }

    /// Puts bytes into a topic, as a broken producer would; their Kafka timestamp is the clock's.
    ///
    /// # Panics
    /// When no broker would take them there.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// // Not UTF-8: a dead letter.
    /// app.send_raw("words", Some(b"k"), Some(&[0xff]));
    /// assert_eq!(app.dead_letters("count").len(), 1);
    /// ```
    #[track_caller]
    pub fn send_raw(&mut self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        self.put(topic, key, value, (None, Stamp::OfRecord), Vec::new());
    }

    /// `time` is the record's own.
    #[track_caller]
    pub(super) fn put(
        &mut self,
        topic: &str,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        (time, stamp): (Option<i64>, Stamp),
        headers: Vec<(String, Vec<u8>)>,
    ) {
        done(self.know(topic));
        let drive = self.drive();
        let stamped = match stamp {
            Stamp::Of(time) => Some(time),
            Stamp::OfRecord | Stamp::None => None,
        };
        if let Some(time) = time.or(stamped) {
            drive.follow(time);
        }
        let timestamp = match stamp {
            Stamp::None => -1,
            // Kafka has no times before 1970.
            _ => stamped.or(time).unwrap_or(drive.now.wall).max(0),
        };
        let entry = Entry {
            key,
            value,
            timestamp,
            headers,
        };
        if let Some(why) = drive.refuses(topic, &entry) {
            panic!("{topic} does not take the record: {why}");
        }
        drive.cluster.append(topic, entry);
    }

    /// Works off what has come, then moves the clock to `time`: whatever falls due on the way (retries, timeouts,
    /// timers, crontabs, windows with `idle`) does so at its moment, so that one step comes to the same as many small
    /// ones.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::{TestApp, at};
    /// # #[table(tumbling = "1h")] #[derive(Clone, Default)] struct Hours { views: u64 }
    /// # #[agent(topic = "views")]
    /// # async fn count(view: Event<String>, mut hours: Table<Hours>) { hours.update(view.key(), |hour| hour.views += 1); }
    /// # #[agent(on_close = Hours, sink = "hours")]
    /// # async fn report(hour: Closed<Hours>) -> String { hour.views.to_string() }
    /// let mut app = TestApp::only((count, report));
    /// app.advance_to(at("2026-01-01T08:10:00Z"));
    /// app.send("views", "ann", "/".to_owned());
    /// app.advance_to(at("2026-01-01T08:20:00Z"));
    /// assert!(app.sent::<String>("hours").is_empty());
    /// ```
    #[track_caller]
    pub fn advance_to(&mut self, time: DateTime<Utc>) {
        done(self.drive().advance(time.timestamp_millis()));
    }

    /// Ends the worker in order: what has come is worked off, then the `#[task(on = "stop")]`s are called, each once.
    ///
    /// # Panics
    /// When a partition would stop, or a task is fatal.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.stop();
    /// ```
    #[track_caller]
    pub fn stop(&mut self) {
        let drive = self.drive();
        done(drive.settle());
        done(drive.call_ends());
    }

    /// Raises stream time itself, for tables without `idle`: windows whose end and grace are not after `time` close,
    /// those of a stage before those of the next, which count what came of them.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::{TestApp, at};
    /// # #[table(tumbling = "1h")] #[derive(Clone, Default)] struct Hours { views: u64 }
    /// # #[agent(topic = "views")]
    /// # async fn count(view: Event<String>, mut hours: Table<Hours>) { hours.update(view.key(), |hour| hour.views += 1); }
    /// # #[agent(on_close = Hours, sink = "hours")]
    /// # async fn report(hour: Closed<Hours>) -> String { hour.views.to_string() }
    /// let mut app = TestApp::only((count, report));
    /// app.advance_to(at("2026-01-01T08:10:00Z"));
    /// app.send("views", "ann", "/".to_owned());
    /// app.close_until(at("2026-01-01T09:00:00Z"));
    /// assert_eq!(*app.sent::<String>("hours")[0], "1");
    /// ```
    #[track_caller]
    pub fn close_until(&mut self, time: DateTime<Utc>) {
        done(self.drive().raise(time.timestamp_millis()));
    }

    /// Returns the committed records of a topic, partition by partition; tombstones too as `Option<T>`.
    ///
    /// # Panics
    /// When a partition would stop, or a record is not a `T`.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[0], "1");
    /// ```
    #[track_caller]
    pub fn sent<T: Payload>(&mut self, topic: &str) -> Vec<Sent<T>> {
        self.settle();
        self.committed(topic)
    }

    /// Returns the same without working anything off first: what others would read now.
    ///
    /// # Panics
    /// When a record is not a `T`.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.settle();
    /// assert_eq!(app.committed::<String>("counts").len(), 1);
    /// ```
    #[track_caller]
    pub fn committed<T: Payload>(&mut self, topic: &str) -> Vec<Sent<T>> {
        let all = self.drive().cluster.all(topic);
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

    /// Returns the dead letters of an agent, by its name: the records' bytes (`None`: a tombstone), with headers that
    /// say why. Agents that share a `dead_letter_topic` have theirs together.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// assert!(app.dead_letters("count").is_empty());
    /// ```
    #[track_caller]
    pub fn dead_letters(&mut self, agent: &str) -> Vec<Sent<Option<bytes::Bytes>>> {
        let topic = self.dead_letter_topic(agent);
        self.sent(&topic)
    }

    #[track_caller]
    pub(super) fn dead_letter_topic(&self, agent: &str) -> String {
        let plan = done(self.plan());
        let outputs = plan.topologies.iter().find_map(|topology| {
            let mut agents = topology.agents.iter();
            let found = agents.find(|one| one.descriptor.name == agent)?;
            topology.outputs.get(found.dead_letters?)
        });
        match outputs {
            Some(output) => output.topic.clone(),
            None => format!("{}-{agent}-dead-letters", self.app.id()),
        }
    }

    /// Returns the number of (record, window) pairs that came too late since the last crash.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(app.late(), 0);
    /// ```
    #[track_caller]
    pub fn late(&mut self) -> u64 {
        let drive = self.drive();
        done(drive.settle());
        drive.late()
    }

    /// Kills all workers with what they have done since their last commit, and start again.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.crash();
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[1], "2");
    /// ```
    #[track_caller]
    pub fn crash(&mut self) {
        let drive = self.drive();
        done(drive.run_without_commit());
        done(drive.crash(false));
    }

    /// Kills one worker of several with what it has done since its last commit; the others give up what they have in
    /// order and take over. It is there again with the next [`rebalance`](TestApp::rebalance).
    ///
    /// # Panics
    /// When there is no such worker, or a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.crash_worker(0);
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[1], "2");
    /// ```
    #[track_caller]
    pub fn crash_worker(&mut self, worker: usize) {
        assert!(worker < self.workers, "workers 0 to {}", self.workers - 1);
        let drive = self.drive();
        done(drive.run_without_commit());
        done(drive.crash_worker(worker));
    }

    /// Kills all workers as [`crash`](TestApp::crash) does, and starts them on machines with empty disks.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.restart_with_empty_disk();
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[1], "2");
    /// ```
    #[track_caller]
    pub fn restart_with_empty_disk(&mut self) {
        let drive = self.drive();
        done(drive.run_without_commit());
        done(drive.crash(true));
    }

    /// Revokes every partition in order and assigns it again, to another worker if there are several.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.rebalance();
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[1], "2");
    /// ```
    #[track_caller]
    pub fn rebalance(&mut self) {
        done(self.drive().rebalance());
    }

    /// Lets workers write what is committed to their disks.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.store();
    /// app.crash();
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(*app.sent::<String>("counts")[1], "2");
    /// ```
    #[track_caller]
    pub fn store(&mut self) {
        let drive = self.drive();
        done(drive.settle());
        done(drive.store_all());
    }

    /// Works off everything that can be worked off at this time.
    ///
    /// # Panics
    /// When a partition would stop.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.send("words", "k", "tea".to_owned());
    /// app.settle();
    /// assert_eq!(*app.sent::<String>("counts")[0], "1");
    /// ```
    #[track_caller]
    pub fn settle(&mut self) {
        done(self.drive().settle());
    }

    pub(super) fn worker_count(&self) -> usize {
        self.workers
    }

    #[track_caller]
    pub(super) fn work_by_chance(&mut self, random: &mut Random) {
        done(self.drive().run_by_chance(random));
    }

    /// Every worker dies as it stands.
    #[track_caller]
    pub(super) fn crash_now(&mut self) {
        done(self.drive().crash(false));
    }

    #[track_caller]
    pub(super) fn lose_disks_now(&mut self) {
        done(self.drive().crash(true));
    }

    #[track_caller]
    pub(super) fn store_now(&mut self) {
        done(self.drive().store_all());
    }

    /// Aborts the next commit; the work is done again.
    ///
    /// ```standalone_crate
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # #[table] #[derive(Clone, Default)] struct Counts { seen: u64 }
    /// # #[agent(topic = "words", sink = "counts")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) -> String {
    /// #     counts.update(word.key(), |count| { count.seen += 1; count.seen }).to_string()
    /// # }
    /// let mut app = TestApp::only((count,));
    /// app.fail_next_commit();
    /// app.send("words", "k", "tea".to_owned());
    /// assert_eq!(app.sent::<String>("counts").len(), 1);
    /// ```
    #[track_caller]
    pub fn fail_next_commit(&mut self) {
        self.drive().commits.to_fail += 1;
    }
}

impl Default for TestApp {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
pub(super) fn done<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
