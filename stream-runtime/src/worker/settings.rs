//! What a worker is started with.

use super::new_topics::NewTopics;
use std::path::PathBuf;
use std::time::Duration;

use crate::kafka::Properties;

/// Time for which a source of a repartition topic is quiet before it does not hold the time of its readers, unless the
/// app says.
pub(crate) const SOURCE_IDLE: Duration = Duration::from_secs(1);

/// Choice for a partition whose offset no worker of the app has committed.
///
/// Such an offset is a consumer's that took the app's group id, or a person's who moved it. Where an app has never
/// committed itself, as one of before, it is always taken, once.
///
/// ```
/// use stream_runtime::{App, OnForeignCommit};
///
/// let app = App::new("counts").on_foreign_commit(OnForeignCommit::Take);
/// # let _ = app;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnForeignCommit {
    /// Its partition stops and says so; the others go on.
    #[default]
    Stop,
    /// Its events are read from there on.
    Take,
}

/// Times after which a worker does something again.
#[derive(Debug, Clone)]
pub(crate) struct Intervals {
    /// Time between commits. Default 100 ms.
    pub(crate) commit: Duration,
    /// Events of a task after which it commits before that. Default none: time, bytes and rows decide.
    pub(crate) commit_events: u32,
    /// Time between rounds of the store. Default 5 s.
    pub(crate) store: Duration,
    /// Time between deletions of what has been read of repartition topics. Default 30 s.
    pub(crate) purge: Duration,
}

/// What decides about stream time.
#[derive(Debug, Clone)]
pub(crate) struct TimeSettings {
    /// How far past the wall clock an event time may be. Default 1 h.
    pub(crate) max_ahead: Duration,
    /// How long an input at its end is waited for while others have records.
    pub(crate) max_task_idle: Duration,
    /// Time for which a source of a repartition topic is quiet before it does not hold the time of its readers; `None`:
    /// never.
    pub(crate) source_idle: Option<Duration>,
    /// Time for which the readers of a repartition topic wait for a source that has failed; `None`: without end.
    pub(crate) hold: Option<Duration>,
    /// Event time by which a source of a repartition topic may be ahead of another on its thread; `None`: the size of
    /// its readers' largest window, at least one minute.
    pub(crate) source_ahead: Option<Duration>,
}

/// Settings of one worker.
#[derive(Debug, Clone)]
pub(crate) struct WorkerSettings {
    /// The Kafka client, bootstrap servers included.
    pub(crate) properties: Properties,
    /// Where slots (stores) lie, as `.stream`.
    pub(crate) data_dir: PathBuf,
    /// Stream threads, at least 1.
    pub(crate) threads: usize,
    /// Transactions; `false` is at-least-once.
    pub(crate) exactly_once: bool,
    pub(crate) intervals: Intervals,
    /// How long agents may take to end when the worker stops. Default 10 s.
    pub(crate) shutdown_timeout: Duration,
    /// Inputs that nobody committed begin at their end instead of their start.
    pub(crate) start_at_end: bool,
    /// Go on behind records that were deleted before they were read, instead of stopping the partition.
    pub(crate) skip_gaps: bool,
    /// Choice for a partition whose offset no worker of the app has committed.
    pub(crate) on_foreign_commit: OnForeignCommit,
    pub(crate) time: TimeSettings,
    pub(crate) new_topics: NewTopics,
    /// End once everything there is has been processed and committed.
    pub(crate) until_caught_up: bool,
    /// The topic whose owner leads; `None` when nobody asks who does.
    pub(crate) leader_topic: Option<String>,
    /// A plan that a person kept fits: the fields of rows are compared with it, and not with marks.
    pub(crate) rows_confirmed: bool,
    /// Static membership: this id, with the thread's number, names the members.
    pub(crate) instance_id: Option<String>,
    /// Where other workers ask this one for rows, as `host:port`; `None`: nobody can.
    pub(crate) address: Option<String>,
}

impl WorkerSettings {
    /// The defaults, for a broker and a data directory.
    pub(crate) fn new(properties: Properties, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            properties,
            data_dir: data_dir.into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            exactly_once: true,
            intervals: Intervals {
                commit: Duration::from_millis(100),
                commit_events: u32::MAX,
                store: Duration::from_secs(5),
                purge: Duration::from_secs(30),
            },
            shutdown_timeout: Duration::from_secs(10),
            start_at_end: false,
            skip_gaps: false,
            on_foreign_commit: OnForeignCommit::Stop,
            time: TimeSettings {
                max_ahead: Duration::from_secs(3_600),
                max_task_idle: Duration::ZERO,
                source_idle: Some(SOURCE_IDLE),
                hold: Some(Duration::from_secs(300)),
                source_ahead: None,
            },
            new_topics: NewTopics::default(),
            until_caught_up: false,
            leader_topic: None,
            rows_confirmed: false,
            instance_id: None,
            address: None,
        }
    }
}
