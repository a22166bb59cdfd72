//! An app: its name, its settings in code, and `main`.

use std::time::Duration;

pub(crate) mod client_settings;
pub(crate) mod ending;
pub(crate) mod in_process;
mod listed;
pub(crate) mod local_broker;
mod only;
mod plan;
pub(crate) mod plan_lock;
mod run;
mod settings;
mod states;
#[cfg(test)]
mod tests;
#[cfg(not(feature = "broker"))]
mod without_broker;

pub use crate::topology::{OnGap, Start};
use crate::worker::{NewTopics, OnForeignCommit};
pub use listed::{Listed, Listing};
pub use only::Agents;
use only::Item;
pub(crate) use run::{WorkerOptions, WorkerRuntime, not_together};
pub use settings::ProcessingGuarantee;
pub(crate) use states::States;

/// A stream-processing program: what its attributes declare, under one name.
///
/// The name is the consumer group and the beginning of the names of the topics the app owns. What is set here holds
/// unless an environment variable (`STREAM_…`) or a command-line flag says otherwise.
///
/// ```no_run
/// use std::process::ExitCode;
/// use stream_runtime::App;
///
/// fn main() -> ExitCode {
///     App::new("voltage").main()
/// }
/// ```
#[must_use = "an app runs with `main` or `run`"]
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) connection: Connection,
    pub(crate) new_topics: NewTopics,
    pub(crate) guarantee: ProcessingGuarantee,
    pub(crate) start: Start,
    pub(crate) on_gap: OnGap,
    pub(crate) on_foreign_commit: OnForeignCommit,
    pub(crate) time: Times,
    pub(crate) commit_interval: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) instance_id: Option<String>,
    pub(crate) chosen: Chosen,
    pub(crate) states: States,
    /// Mistakes made while building, said when the app starts.
    pub(crate) mistakes: Vec<String>,
}

/// The way to the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) broker: Option<String>,
    pub(crate) sasl_plain: Option<Login>,
    /// Settings of the client: names and values.
    pub(crate) kafka: Vec<(String, String)>,
}

/// What decides about stream time.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) max_ahead: Duration,
    pub(crate) max_task_idle: Duration,
    /// `None`: the default.
    pub(crate) source_idle: Option<Duration>,
    pub(crate) hold: Duration,
    pub(crate) source_ahead: Option<Duration>,
}

/// Which of the program's functions and types are the app's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    /// `None`: all.
    pub(crate) only: Option<Vec<Item>>,
    /// Those listed by hand.
    pub(crate) listing: Listing,
    /// Those of this module and what is in it.
    pub(crate) scope: Option<String>,
}

/// User and password; never shown.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({}, ***)", self.username)
    }
}

impl App {
    /// Creates an app of this name: letters, digits, `.`, `_` and `-`, at most 100.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage");
    /// # let _ = app;
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut mistakes = Vec::new();
        if name.is_empty() || name.len() > 100 || !name.chars().all(legal) {
            mistakes.push(format!(
                "App::new({name:?}): the name is part of topic names: 1 to 100 letters, digits, '.', '_' and '-'"
            ));
        }
        App {
            name,
            version: 1,
            connection: Connection::default(),
            new_topics: NewTopics::default(),
            guarantee: ProcessingGuarantee::default(),
            start: Start::default(),
            on_gap: OnGap::default(),
            on_foreign_commit: OnForeignCommit::default(),
            time: Times {
                max_ahead: Duration::from_secs(3_600),
                max_task_idle: Duration::ZERO,
                source_idle: None,
                hold: Duration::from_secs(300),
                source_ahead: None,
            },
            commit_interval: Duration::from_millis(100),
            shutdown_timeout: Duration::from_secs(10),
            instance_id: None,
            chosen: Chosen::default(),
            states: States::default(),
            mistakes,
        }
    }

    /// Sets the Kafka broker, as `kafka://host:9092`; several are separated by commas. Default: the broker of the
    /// directory.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").broker("kafka://one:9092,two:9092");
    /// # let _ = app;
    /// ```
    pub fn broker(mut self, hosts: impl Into<String>) -> Self {
        self.connection.broker = Some(hosts.into());
        self
    }

    /// Sets user and password over TLS (`SASL_SSL`, `PLAIN`), as Confluent Cloud wants it.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").sasl_plain("user", "secret");
    /// # let _ = app;
    /// ```
    pub fn sasl_plain(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.connection.sasl_plain = Some(Login {
            username: username.into(),
            password: password.into(),
        });
        self
    }

    /// Sets a setting of the Kafka client by librdkafka's name, or Java's; a wrong one is an error at start.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").kafka("compression.type", "zstd");
    /// # let _ = app;
    /// ```
    pub fn kafka(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.connection.kafka.push((name.into(), value.to_string()));
        self
    }

    /// Sets the partitions of topics the app creates, at least 1. Default: the broker's.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").topic_partitions(12);
    /// # let _ = app;
    /// ```
    pub fn topic_partitions(mut self, partitions: i32) -> Self {
        if partitions < 1 {
            self.mistakes
                .push(format!("topic_partitions({partitions}): at least 1"));
        }
        self.new_topics.partitions = Some(partitions);
        self
    }

    /// Sets the replicas of topics the app creates, at least 1. Default: the broker's.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").replication_factor(3);
    /// # let _ = app;
    /// ```
    pub fn replication_factor(mut self, replicas: i32) -> Self {
        if replicas < 1 {
            self.mistakes
                .push(format!("replication_factor({replicas}): at least 1"));
        }
        self.new_topics.replication_factor = Some(replicas);
        self
    }

    /// Sets what is promised about every record. Default: [`ProcessingGuarantee::ExactlyOnce`].
    ///
    /// ```
    /// # use stream_runtime::{App, ProcessingGuarantee};
    /// let app = App::new("voltage").processing_guarantee(ProcessingGuarantee::AtLeastOnce);
    /// # let _ = app;
    /// ```
    pub fn processing_guarantee(mut self, guarantee: ProcessingGuarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Sets the version of the app's state, at least 1, default 1. A version `n` above 1 starts again as `{name}-v{n}`:
    /// own offsets, own tables, own topics.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").version(2);
    /// # let _ = app;
    /// ```
    pub fn version(mut self, version: u32) -> Self {
        if version == 0 {
            self.mistakes
                .push("version(0): versions begin with 1".to_owned());
        }
        self.version = version;
        self
    }

    /// Adds a shared resource, injected as `State<T>`. Of two of one type the later one holds, also over a `#[state]`.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// struct Greeting(String);
    ///
    /// #[agent(topic = "names", sink = "greetings")]
    /// async fn greet(name: Event<String>, greeting: State<Greeting>) -> String {
    ///     format!("{} {}", greeting.0, *name)
    /// }
    ///
    /// let app = App::new("names").state(Greeting("Hello".to_owned()));
    /// # let _ = app;
    /// ```
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(value);
        self
    }

    /// Sets where a topic without committed offsets is read from. Default: [`Start::Earliest`].
    ///
    /// ```
    /// # use stream_runtime::{App, Start};
    /// let app = App::new("voltage").start(Start::Latest);
    /// # let _ = app;
    /// ```
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets what happens to a partition whose offset no worker of the app has committed; `--on-foreign-commit`
    /// overrides it. Default: [`OnForeignCommit::Stop`].
    ///
    /// ```
    /// # use stream_runtime::{App, OnForeignCommit};
    /// let app = App::new("voltage").on_foreign_commit(OnForeignCommit::Take);
    /// # let _ = app;
    /// ```
    pub fn on_foreign_commit(mut self, what: OnForeignCommit) -> Self {
        self.on_foreign_commit = what;
        self
    }

    /// Sets what to do when records were deleted before they were read. Default: [`OnGap::Stop`].
    ///
    /// ```
    /// # use stream_runtime::{App, OnGap};
    /// let app = App::new("voltage").on_gap(OnGap::Skip);
    /// # let _ = app;
    /// ```
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.on_gap = on_gap;
        self
    }

    /// Sets how far an event time may be ahead of the wall clock; beyond it the record is bad. Default: one hour.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").max_ahead(Duration::from_secs(60));
    /// # let _ = app;
    /// ```
    pub fn max_ahead(mut self, ahead: Duration) -> Self {
        self.time.max_ahead = ahead;
        self
    }

    /// Sets how long a task with several topics waits for one that is at its end while others have records, so that
    /// what is on its way is taken in the order of event times. Default: 0, which goes on at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").max_task_idle(Duration::from_millis(50));
    /// # let _ = app;
    /// ```
    pub fn max_task_idle(mut self, idle: Duration) -> Self {
        self.time.max_task_idle = idle;
        self
    }

    /// Sets the time for which a partition of a topic that `group_by`, or a join's `on`, reads brings nothing before it
    /// no longer holds back the time of those behind: stream time there is the smallest of all partitions that bring
    /// something. `Duration::MAX`: a partition always holds it back. Default: 1 s; in
    /// [`TestApp`](crate::testing::TestApp) 0.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").source_idle(Duration::from_secs(10));
    /// # let _ = app;
    /// ```
    pub fn source_idle(mut self, idle: Duration) -> Self {
        self.time.source_idle = Some(idle);
        self
    }

    /// Sets the time for which those behind `group_by`, or a join's `on`, wait for a partition of the source that has
    /// failed: until then the windows there stay open rather than being wrong, and afterwards its records are late. A
    /// partition that recovers, or tries an event again, is waited for without end. `Duration::MAX`: a failed one too.
    /// Default: 5 min.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").hold(Duration::from_secs(600));
    /// # let _ = app;
    /// ```
    pub fn hold(mut self, hold: Duration) -> Self {
        self.time.hold = hold;
        self
    }

    /// Sets how far, in event time, a partition of a topic that `group_by`, or a join's `on`, reads may be ahead of the
    /// slowest that has records waiting on the same stream thread; further ahead it sits out, because what it brings
    /// would only lie in the tables of those behind. `Duration::MAX`: it never does. Default: the size of their largest
    /// window, at least 1 min.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").source_ahead(Duration::from_secs(3_600));
    /// # let _ = app;
    /// ```
    pub fn source_ahead(mut self, ahead: Duration) -> Self {
        self.time.source_ahead = Some(ahead);
        self
    }

    /// Returns it, or this default; `None`: never.
    pub(crate) fn source_idle_or(&self, default: Duration) -> Option<Duration> {
        let idle = self.time.source_idle.unwrap_or(default);
        (idle != Duration::MAX).then_some(idle)
    }

    /// Sets the time between two commits: results are seen that much later. Default: 100 ms.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").commit_interval(Duration::from_millis(20));
    /// # let _ = app;
    /// ```
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        if interval.is_zero() {
            self.mistakes
                .push("commit_interval: must be more than 0".to_owned());
        }
        self.commit_interval = interval;
        self
    }

    /// Sets how long agents may take to end when the worker stops. Default: 10 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").shutdown_timeout(Duration::from_secs(30));
    /// # let _ = app;
    /// ```
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Makes the worker a static member of its group (Kafka's `group.instance.id`): a worker that is restarted within
    /// the session timeout takes its own partitions back at once, without a rebalance; one that is stopped is missed
    /// only after that time. Must be another one for each worker, as its host's name: 1 to 200 letters, digits, `.`,
    /// `_` and `-`; of two workers with the same id each takes the other's place. Default: none, a worker that stops
    /// leaves the group at once.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").instance_id("host-7");
    /// # let _ = app;
    /// ```
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        let id = id.into();
        if let Err(mistake) = check_instance_id(&id) {
            self.mistakes
                .push(format!("instance_id({id:?}): {mistake}"));
        }
        self.instance_id = Some(id);
        self
    }

    /// Narrows the app to these agents: a tuple of the functions.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "loud")]
    /// async fn shout(word: Event<String>) -> String {
    ///     word.to_uppercase()
    /// }
    ///
    /// let app = App::new("words").only((shout,));
    /// # let _ = app;
    /// ```
    pub fn only<A: Agents>(mut self, agents: A) -> Self {
        agents.put(&mut self);
        self
    }

    /// Does the same as [`only`](App::only), for the list that [`agents!`](crate::agents) makes:
    /// `App::agents(agents![collect, average])`.
    ///
    /// Without the default feature `inventory` there is no registry, and an app is what it lists: agents,
    /// joins, timers, crontabs, tasks, pages, and the `#[state]`s they need. Tables and topics follow from these.
    /// Commands need the registry.
    ///
    /// ```ignore
    /// use stream_runtime::{App, agents};
    ///
    /// let app = App::new("voltage").agents(agents![collect, average]);
    /// ```
    pub fn agents<A: Agents>(self, agents: A) -> Self {
        self.only(agents)
    }

    /// Narrows the app to agents, tables and topics declared in this module or below it: `App::scope(module_path!())`.
    ///
    /// ```
    /// # use stream_runtime::App;
    /// let app = App::new("voltage").scope(module_path!());
    /// # let _ = app;
    /// ```
    pub fn scope(mut self, module: impl Into<String>) -> Self {
        self.chosen.scope = Some(module.into());
        self
    }

    /// The app's identity: group id and the beginning of its topics' names.
    pub(crate) fn id(&self) -> String {
        match self.version {
            0 | 1 => self.name.clone(),
            version => format!("{}-v{version}", self.name),
        }
    }
}

/// Whether a static member may be named so.
pub(crate) fn check_instance_id(id: &str) -> Result<(), &'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match (1..=200).contains(&id.len()) && id.chars().all(legal) {
        true => Ok(()),
        false => Err("1 to 200 letters, digits, '.', '_' and '-'"),
    }
}
