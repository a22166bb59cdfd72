//! An app by hand: readings folded into windows, each closed window sent on.

use std::any::{Any, TypeId};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::by_hand::{shape, start};
use crate::StreamKey;
use crate::handler::{Closed, ClosedForm, Event};
use crate::record::{DecodeError, EncodeError, Record};
use crate::table::{
    Hopping, Merge, MergeFn, Session, Sliding, Table, TableSpec, Tumbling, WindowedKind, open,
};
use crate::topology::{
    AgentDescriptor, AgentFuture, AgentOptions, PlanParts, Source, SourceLocation, SubTopology,
    TableDescriptor, plan,
};
use crate::window::Window;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct In {
    pub time: i64,
    pub value: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Out {
    pub key: String,
    pub start: i64,
    pub end: i64,
    pub count: u64,
    pub sum: i64,
}

macro_rules! json_record {
    ($t:ident, $time:expr, $has:expr) => {
        impl Record for $t {
            type Key = String;
            const NAME: &'static str = stringify!($t);
            const HAS_TIMESTAMP: bool = $has;
            fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
                crate::record::decode::decode_json(Self::NAME, value, false)
            }
            fn encode(&self, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
                crate::record::decode::encode_json(Self::NAME, self, out)
            }
            fn timestamp(&self) -> Option<i64> {
                $time(Some(self))
            }
        }
    };
}

const fn time_of(r: Option<&In>) -> Option<i64> {
    match r {
        Some(r) => Some(r.time),
        None => None,
    }
}
const fn no_time(_: Option<&Out>) -> Option<i64> {
    None
}
json_record!(In, time_of, true);
json_record!(Out, no_time, false);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agg {
    pub count: u64,
    pub sum: i64,
}

pub const HERE: SourceLocation = SourceLocation {
    module: module_path!(),
    file: file!(),
    line: line!(),
};

impl Merge for Agg {
    fn merge(&mut self, later: Self) {
        self.count += later.count;
        self.sum += later.sum;
    }
}

/// A table with windows. What is late for it goes to `late`.
macro_rules! windows {
    ($($name:ident: $kind:ident, $window:expr, $grace:expr, $retention:expr;)*) => {$(
        #[derive(Debug)]
        pub struct $name;
        impl TableSpec for $name {
            type Key = String;
            type Value = Agg;
            type Kind = $kind;
            const MERGE: Option<MergeFn<Agg>> = Some(Agg::merge);
            const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
                name: stringify!($name),
                place: HERE,
                value: "Agg",
                window: Some($window),
                grace: $grace,
                idle: Some(1_000),
                retention: $retention,
                late: Some("late"),
                type_id: TypeId::of::<$name>,
                open: open::<$name>,
                ..TableDescriptor::DEFAULT
            };
        }
    )*};
}

windows! {
    Tumbling3600000Grace30000: Tumbling, Window::Tumbling { size: 3_600_000 }, 30_000, 0;
    Tumbling1000Grace0: Tumbling, Window::Tumbling { size: 1_000 }, 0, 0;
    Tumbling7Grace3: Tumbling, Window::Tumbling { size: 7 }, 3, 0;
    Hopping10000By5000Grace0: Hopping, Window::Hopping { size: 10_000, step: 5_000 }, 0, 0;
    Hopping57000By23000Grace5000: Hopping, Window::Hopping { size: 57_000, step: 23_000 }, 5_000, 0;
    Hopping60000By60000Grace0: Hopping, Window::Hopping { size: 60_000, step: 60_000 }, 0, 0;
    Hopping10By3Grace4: Hopping, Window::Hopping { size: 10, step: 3 }, 4, 0;
    Hopping1000By1Grace0: Hopping, Window::Hopping { size: 1_000, step: 1 }, 0, 0;
    Session30000Grace0: Session, Window::Session { gap: 30_000 }, 0, 0;
    Session10Grace5: Session, Window::Session { gap: 10 }, 5, 0;
    Session1000Grace60000: Session, Window::Session { gap: 1_000 }, 60_000, 0;
    SessionRetained: Session, Window::Session { gap: 6 }, 3, 25;
    Sliding8Grace4: Sliding, Window::Sliding { size: 8 }, 4, 0;
    SlidingRetained: Sliding, Window::Sliding { size: 8 }, 0, 25;
    Retained: Tumbling, Window::Tumbling { size: 10 }, 0, 35;
    Tumbling20Grace3: Tumbling, Window::Tumbling { size: 20 }, 3, 0;
    Hopping60000By60000Grace5: Hopping, Window::Hopping { size: 60_000, step: 60_000 }, 5, 0;
    Sliding8Grace4Too: Sliding, Window::Sliding { size: 8 }, 4, 0;
}

async fn collect<S>(reading: Event<In>, table: &mut Table<S>)
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    S::Kind::add(table, reading.key(), reading.value);
}

/// Adds a value to every window of the event.
pub trait Adds: WindowedKind + Sized {
    fn add<S: TableSpec<Key = String, Value = Agg, Kind = Self>>(
        table: &mut Table<S>,
        key: &str,
        value: i64,
    );
}

macro_rules! adds {
    ($kind:ident) => {
        impl Adds for $kind {
            fn add<S: TableSpec<Key = String, Value = Agg, Kind = Self>>(
                table: &mut Table<S>,
                key: &str,
                value: i64,
            ) {
                table.update(key, |agg| {
                    agg.count += 1;
                    agg.sum += value;
                });
            }
        }
    };
}
adds!(Tumbling);
adds!(Hopping);
adds!(Session);
adds!(Sliding);

pub async fn close<S>(window: Closed<S>) -> Out
where
    S: TableSpec<Key = String, Value = Agg>,
{
    Out {
        key: window.key().clone(),
        start: window.start().timestamp_millis(),
        end: window.end().timestamp_millis(),
        count: window.count,
        sum: window.sum,
    }
}

pub fn start_collect<S>(cx: &dyn Any) -> AgentFuture
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<S>>();
        async move { collect::<S>(event, &mut table).await }
    })
}

pub fn start_close<S>(cx: &dyn Any) -> AgentFuture
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    start::<Closed<S>, ClosedForm, _, _>(cx, |window, _| async move { close::<S>(window).await })
}

pub fn agent(
    name: &'static str,
    source: Source,
    sink: Option<&'static str>,
    shape: fn() -> crate::topology::AgentShape,
    start: fn(&dyn Any) -> AgentFuture,
    item: fn() -> TypeId,
) -> &'static AgentDescriptor {
    Box::leak(Box::new(AgentDescriptor {
        name,
        place: SourceLocation {
            line: name.len() as u32,
            ..HERE
        },
        source,
        sink,
        options: AgentOptions {
            retries: 2,
            backoff_ms: 10,
            ..AgentOptions::DEFAULT
        },
        shape,
        start,
        item,
        feeders: &[],
    }))
}

/// The sub-topology: `collect` reads `in` and writes `S`, `close` sends its windows to `out`.
pub fn topology<S>() -> Arc<SubTopology>
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    sub_topology(agents_of::<S>(["collect", "close", "out"]).into())
}

/// Returns the agent that fills `S` from `in`, and the one that sends its windows on: their names, and the topic.
fn agents_of<S>([collect, close, out]: [&'static str; 3]) -> [&'static AgentDescriptor; 2]
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    [
        agent(
            collect,
            Source::Topics(&["in"]),
            None,
            || shape::<Event<In>, _, (Table<S>,), ()>(&[true]),
            start_collect::<S>,
            TypeId::of::<S>,
        ),
        agent(
            close,
            Source::Closed,
            Some(out),
            || shape::<Closed<S>, ClosedForm, (), Out>(&[]),
            start_close::<S>,
            TypeId::of::<(S,)>,
        ),
    ]
}

/// The sub-topology of two tables that `in` fills: the windows of `S` go to `out`, those of `T` to `out2`.
pub fn two_tables<S, T>() -> Arc<SubTopology>
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
    T: TableSpec<Key = String, Value = Agg>,
    T::Kind: Adds,
{
    let first = agents_of::<S>(["collect", "close", "out"]);
    let second = agents_of::<T>(["collect2", "close2", "out2"]);
    sub_topology([first, second].concat())
}

/// Plans agents that belong together.
pub fn sub_topology(agents: Vec<&'static AgentDescriptor>) -> Arc<SubTopology> {
    let parts = PlanParts {
        app: "app",
        name: "app",
        existing: &[],
        agents,
        tables: vec![],
        topics: vec![],
    };
    let mut plan = plan(parts).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(plan.topologies.len(), 1);
    Arc::new(plan.topologies.remove(0))
}

/// A single agent given by its parts.
pub fn one_agent(
    options: AgentOptions,
    shape: fn() -> crate::topology::AgentShape,
    start: fn(&dyn Any) -> AgentFuture,
) -> Arc<SubTopology> {
    sub_topology(vec![Box::leak(Box::new(AgentDescriptor {
        name: "solo",
        place: HERE,
        source: Source::Topics(&["in"]),
        sink: Some("out"),
        options,
        shape,
        start,
        item: TypeId::of::<In>,
        feeders: &[],
    }))])
}

/// Wire bytes of a key.
pub fn key_bytes(key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    StreamKey::encode(&key.to_owned(), &mut out);
    out
}
