//! What the attributes register: constant descriptions, which the registry collects.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Failure;
use crate::key::{KeyForm, StreamKey};
use crate::record::shape::Shape;
use crate::record::{Record, RecordForm};
use crate::window::Window;

/// Where an item stands in the user's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// `module_path!()` of the item.
    pub module: &'static str,
    /// `file!()` of the item.
    pub file: &'static str,
    /// `line!()` of the item.
    pub line: u32,
}

impl std::fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A record type as a topic's reader or writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordInfo {
    /// Identity of the Rust type.
    pub type_id: TypeId,
    /// The name shown to people.
    pub name: &'static str,
    /// Name of the key type ([`crate::StreamKey::NAME`]), without `Option`.
    pub key: &'static str,
    /// What it looks like on the wire.
    pub shape: &'static Shape,
    /// What can be done with those keys; `None` where nobody asks for them.
    pub keys: Option<KeyForm>,
    /// What can be asked of bytes that may be such a record.
    pub form: RecordForm,
    /// How it is written: [`Record::CODEC`].
    pub codec: &'static str,
}

impl RecordInfo {
    /// Of a record under keys of type `K`.
    pub fn of<T: Record, K: StreamKey>() -> Self {
        RecordInfo {
            key: K::NAME,
            keys: Some(KeyForm::of::<K>()),
            ..Self::keyless::<T>()
        }
    }

    /// Of a record whose key nobody asks for.
    pub fn keyless<T: Record>() -> Self {
        RecordInfo {
            type_id: TypeId::of::<T>(),
            name: T::NAME,
            key: "",
            shape: T::SHAPE,
            keys: None,
            form: RecordForm::of::<T>(),
            codec: T::CODEC,
        }
    }

    /// Its name for people: that of a generic record with its arguments.
    pub fn full_name(&self) -> String {
        let full = self.form.full_name();
        match full.contains('<') {
            true => full,
            false => self.name.to_owned(),
        }
    }
}

/// What an agent reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Topics named by the attribute.
    Topics(&'static [&'static str]),
    /// Topics whose whole names match this regular expression.
    Pattern(&'static str),
    /// The windows that close of the table in [`AgentShape::closes`].
    Closed,
    /// Ticks of the wall clock, in each partition.
    Timer {
        /// Milliseconds from one to the next, more than 0.
        every_ms: u64,
    },
    /// Times of the calendar, in each partition.
    Crontab {
        /// Minute, hour, day of month, month, day of week.
        expression: &'static str,
        /// Name of the time zone that the expression is meant in.
        timezone: &'static str,
    },
}

impl Source {
    /// What is called by the clock: `timer` or `crontab`.
    pub fn by_clock(self) -> Option<&'static str> {
        match self {
            Source::Timer { .. } => Some("timer"),
            Source::Crontab { .. } => Some("crontab"),
            Source::Topics(_) | Source::Pattern(_) | Source::Closed => None,
        }
    }
}

/// What a parameter of an agent ties it to.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    /// A table, by the type that carries `#[table]`.
    Table {
        /// The table's declaration.
        table: &'static TableDescriptor,
        /// Whether the parameter is `mut` or `&mut`.
        writes: bool,
    },
    /// All rows of a global table.
    Global(&'static TableDescriptor),
    /// A topic that the agent sends to by hand.
    Sends(&'static TopicDescriptor),
    /// A shared resource of `#[state]`.
    State {
        /// The resource's type.
        type_id: fn() -> TypeId,
        /// Its name, for messages.
        name: fn() -> &'static str,
    },
    /// The key of the event.
    Key {
        /// Its type's name.
        name: &'static str,
        /// Whether a record without a key has one all the same.
        optional: bool,
    },
}

/// What the types of an agent's signature say; computed once at start.
#[derive(Clone, Debug, Default)]
pub struct AgentShape {
    /// The record and key that arrive; `None` for `on_close`.
    pub input: Option<RecordInfo>,
    /// The table whose windows arrive; `None` for topics.
    pub closes: Option<&'static TableDescriptor>,
    /// Whether the agent is written as a loop over `Stream<T>`.
    pub stream_form: bool,
    /// Ties of the parameters after the first.
    pub edges: Vec<Edge>,
    /// The record that is returned; `None` for `()`.
    pub output: Option<RecordInfo>,
    /// The sides of a join.
    pub join: Option<JoinShape>,
    /// Of a feeder: the records have that key already, and it is not needed.
    pub keyed_already: bool,
}

impl AgentShape {
    /// The record that arrives from the agent's topic number `topic`.
    pub fn input_of(&self, topic: usize) -> Option<RecordInfo> {
        match &self.join {
            Some(join) if topic == 1 => Some(join.right),
            _ => self.input,
        }
    }
}

/// What a join is; its left record is the shape's input.
#[derive(Clone, Copy, Debug)]
pub struct JoinShape {
    /// The right record.
    pub right: RecordInfo,
    /// Where the records of the left and of the right side wait.
    pub buffers: [&'static TableDescriptor; 2],
    /// Largest distance in time of two records that match, in ms.
    pub within: i64,
    /// Whether a record of the left, of the right side is emitted without a partner.
    pub alone: [bool; 2],
}

impl JoinShape {
    /// Its kind by its name.
    pub fn kind(&self) -> &'static str {
        match self.alone {
            [false, false] => "inner",
            [true, false] => "left",
            [false, true] => "right",
            [true, true] => "outer",
        }
    }
}

/// What happens with an event whose retries are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Send it unchanged to the dead-letter topic and go on. The default.
    DeadLetter,
    /// Count it, log it and go on.
    Skip,
    /// Stop the partition; the worker ends with exit code 1.
    Stop,
}

/// Options of `#[agent]`.
#[derive(Clone, Copy, Debug)]
pub struct AgentOptions {
    /// Attempts after the first. Default 5.
    pub retries: u32,
    /// Wait before the first retry in milliseconds; doubles, at most one minute. Default 1000.
    pub backoff_ms: u64,
    /// Longest time an event may take in milliseconds. Default none.
    pub timeout_ms: Option<u64>,
    /// When retries are used up.
    pub on_error: OnError,
    /// When a record does not decode or breaks a rule.
    pub on_decode_error: OnError,
    /// When a tombstone comes and none is taken. Default: as when a record does not decode.
    pub on_tombstone: Option<OnError>,
    /// Overrides `{app}-{agent}-dead-letters`.
    pub dead_letter_topic: Option<&'static str>,
    /// Events handled at once; more than 1 in the event form only. Default 1.
    pub concurrency: u32,
    /// The method by which the stream form holds several events, as far as its text shows: `take` or `noack`.
    pub holds: Option<&'static str>,
}

impl AgentOptions {
    /// The defaults of language.md.
    pub const DEFAULT: AgentOptions = AgentOptions {
        retries: 5,
        backoff_ms: 1_000,
        timeout_ms: None,
        on_error: OnError::DeadLetter,
        on_decode_error: OnError::DeadLetter,
        on_tombstone: None,
        dead_letter_topic: None,
        concurrency: 1,
        holds: None,
    };

    /// Those of a timer: the next tick is its next attempt.
    pub const TIMER: AgentOptions = AgentOptions {
        retries: 0,
        on_error: OnError::Skip,
        ..Self::DEFAULT
    };
}

/// The future of one agent in one partition.
pub type AgentFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Registered by `#[agent]`.
pub struct AgentDescriptor {
    /// The function's name, or `name = ".."`.
    pub name: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// What it reads.
    pub source: Source,
    /// Where its return value goes.
    pub sink: Option<&'static str>,
    /// Retry and error policy.
    pub options: AgentOptions,
    /// What its signature says.
    pub shape: fn() -> AgentShape,
    /// Makes its future; the argument is the agent's context, whose type the task knows.
    pub start: fn(&dyn Any) -> AgentFuture,
    /// Identity of the function item, for `App::only`.
    pub item: fn() -> TypeId,
    /// What gives its records their key: each reads topics of its source and sends what it reads to
    /// `{app}-{feeder}-repartition`, which the agent reads in their place.
    pub feeders: &'static [AgentDescriptor],
}

/// Who makes a table's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowsFrom {
    /// Agents.
    #[default]
    Agents,
    /// The records of a topic, each under its key: `source`.
    Topic,
    /// A join, which keeps the records of one side.
    Join,
}

/// Registered by `#[table]`.
#[derive(Debug)]
pub struct TableDescriptor {
    /// The type in snake_case, or `name = ".."`.
    pub name: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// Key type's name.
    pub key: &'static str,
    /// What can be done with its keys.
    pub keys: KeyForm,
    /// Value type's name.
    pub value: &'static str,
    /// What a row looks like in the changelog.
    pub row: fn() -> &'static Shape,
    /// Who makes its rows.
    pub rows_from: RowsFrom,
    /// Its windows; `None` for a plain table.
    pub window: Option<Window>,
    /// Lateness allowed after a window's end, in milliseconds of stream time. Default 0.
    pub grace: i64,
    /// Quiet time after which ended windows close without further input, in milliseconds. Default off.
    pub idle: Option<u64>,
    /// How long a closed row stays readable, counted from the window's end, in milliseconds. Default 0.
    pub retention: i64,
    /// How long, in stream time, a row of a plain table lives that nobody changes, in milliseconds. Default for ever.
    pub ttl: Option<i64>,
    /// Topic that gets the records that came too late.
    pub late: Option<&'static str>,
    /// What happens to a row that cannot be read. Default: the partition stops.
    pub on_unreadable: OnUnreadable,
    /// `false`: in memory only. Default true.
    pub changelog: bool,
    /// One row per partition is meant. Default false.
    pub local: bool,
    /// Partition count asked for.
    pub partitions: Option<i32>,
    /// Every worker reads all partitions of it. Default: each its own.
    pub global: Option<GlobalDescriptor>,
    /// Identity of the type that carries the attribute.
    pub type_id: fn() -> TypeId,
    /// Opens one partition of it; argument and result are of types the task knows.
    pub open: fn(&dyn Any) -> Box<dyn Any>,
}

impl TableDescriptor {
    /// A plain table with all defaults; what is missing is what makes it one.
    pub const DEFAULT: TableDescriptor = TableDescriptor {
        name: "",
        place: SourceLocation {
            module: "",
            file: "",
            line: 0,
        },
        key: "String",
        keys: KeyForm::of::<bytes::Bytes>(),
        value: "",
        row: || &Shape::OPAQUE,
        rows_from: RowsFrom::Agents,
        window: None,
        grace: 0,
        idle: None,
        retention: 0,
        ttl: None,
        late: None,
        on_unreadable: OnUnreadable::Stop,
        changelog: true,
        local: false,
        partitions: None,
        global: None,
        type_id: TypeId::of::<()>,
        open: |_| Box::new(()),
    };
}

/// What happens to a row of a table that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Its partition stops.
    #[default]
    Stop,
    /// It goes, as it is, to `{app}-{table}-unreadable`, and its key starts again.
    SetAside,
}

/// How every worker gets the rows of a global table.
#[derive(Clone, Copy)]
pub struct GlobalDescriptor {
    /// The topic whose records are the rows; `None`: the table's changelog.
    pub source: Option<&'static TopicDescriptor>,
    /// Makes an empty replica, of a type the table's room knows.
    pub replica: fn() -> Box<dyn Any>,
}

impl std::fmt::Debug for GlobalDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "GlobalDescriptor({:?})",
            self.source.map(|topic| topic.name)
        )
    }
}

impl PartialEq for TableDescriptor {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.place == other.place
    }
}

impl Eq for TableDescriptor {}

/// Where a topic without committed offsets is read from.
///
/// ```
/// use stream_runtime::{App, Start};
///
/// let app = App::new("counts").start(Start::Latest);
/// # let _ = app;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Its first record.
    #[default]
    Earliest,
    /// The first record that comes after the worker has started.
    Latest,
}

/// What to do when records were deleted before they were read.
///
/// ```
/// use stream_runtime::{App, OnGap};
///
/// let app = App::new("counts").on_gap(OnGap::Skip);
/// # let _ = app;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// Stop that task, naming topic, partition, offsets and how many records are lost.
    #[default]
    Stop,
    /// Say so and go on behind the gap.
    Skip,
}

/// Registered by `#[topic]`.
#[derive(Debug)]
pub struct TopicDescriptor {
    /// The topic's name in Kafka.
    pub name: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// Record and key.
    pub record: fn() -> RecordInfo,
    /// Partition count asked for when it is created.
    pub partitions: Option<i32>,
    /// Replicas asked for when it is created.
    pub replication_factor: Option<i32>,
    /// `retention.ms` asked for when it is created.
    pub retention_ms: Option<i64>,
    /// `cleanup.policy=compact` when it is created.
    pub compact: bool,
    /// Never created by the app.
    pub external: bool,
    /// Nobody but the app reads it: its records say whose they are, and watermarks stand between them.
    pub internal: bool,
    /// Where it is read from without committed offsets. Default: the app's.
    pub start: Option<Start>,
    /// What to do about records that were deleted before they were read. Default: the app's.
    pub on_gap: Option<OnGap>,
    /// How far past the wall clock an event time may be, in milliseconds. Default: the app's.
    pub max_ahead_ms: Option<i64>,
}

impl PartialEq for TopicDescriptor {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.place == other.place
    }
}

impl Eq for TopicDescriptor {}

/// A resource that is being made.
pub type StateFuture =
    Pin<Box<dyn Future<Output = Result<Arc<dyn Any + Send + Sync>, Failure>> + Send>>;

/// Registered by `#[state]`.
pub struct StateDescriptor {
    /// The function's name.
    pub name: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// Type of the resource.
    pub type_id: fn() -> TypeId,
    /// Makes it, before the streams start.
    pub make: fn() -> StateFuture,
}

/// A table in the registry.
pub struct RegisteredTable(pub &'static TableDescriptor);

/// A topic in the registry.
pub struct RegisteredTopic(pub &'static TopicDescriptor);
