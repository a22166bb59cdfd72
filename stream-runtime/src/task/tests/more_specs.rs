//! More apps by hand: windows that feed windows, and rows that live for so long.

use std::any::{Any, TypeId};
use std::sync::Arc;

use super::by_hand::{shape, start};
use super::specs::*;
use crate::handler::{Closed, ClosedForm, Event};
use crate::table::{Plain, Table, TableSpec, open};
use crate::topology::{AgentFuture, AgentOptions, Source, SubTopology, TableDescriptor};

fn feed<A, B>(cx: &dyn Any) -> AgentFuture
where
    A: TableSpec<Key = String, Value = Agg>,
    B: TableSpec<Key = String, Value = Agg>,
    A::Kind: Adds,
    B::Kind: Adds,
{
    start::<Closed<A>, ClosedForm, _, _>(cx, |window, cx| {
        let mut table = cx.get::<Table<B>>();
        async move { B::Kind::add(&mut table, window.key(), window.sum) }
    })
}

/// `collect` reads `in` and writes `A`; what closes goes to `out` and into `B`; what closes of that goes to `out` as
/// well.
pub fn rolled_up<A, B>() -> Arc<SubTopology>
where
    A: TableSpec<Key = String, Value = Agg>,
    B: TableSpec<Key = String, Value = Agg>,
    A::Kind: Adds,
    B::Kind: Adds,
{
    sub_topology(vec![
        agent(
            "collect",
            Source::Topics(&["in"]),
            None,
            || shape::<Event<In>, _, (Table<A>,), ()>(&[true]),
            start_collect::<A>,
            TypeId::of::<A>,
        ),
        agent(
            "feed",
            Source::Closed,
            None,
            || shape::<Closed<A>, ClosedForm, (Table<B>,), ()>(&[true]),
            feed::<A, B>,
            TypeId::of::<(A, B)>,
        ),
        agent(
            "close_fed",
            Source::Closed,
            Some("out"),
            || shape::<Closed<A>, ClosedForm, (), Out>(&[]),
            start_close::<A>,
            TypeId::of::<(A,)>,
        ),
        agent(
            "close_sums",
            Source::Closed,
            Some("out"),
            || shape::<Closed<B>, ClosedForm, (), Out>(&[]),
            start_close::<B>,
            TypeId::of::<(B,)>,
        ),
    ])
}

fn watch<S>(cx: &dyn Any) -> AgentFuture
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<S>>();
        async move {
            S::Kind::add(&mut table, event.key(), event.value);
            let all = table.windows(event.key());
            let earlier = table.delta(event.key(), std::time::Duration::from_millis(9));
            Out {
                key: format!(
                    "{} {:?}",
                    event.key(),
                    table.current(event.key()).map(|agg| agg.sum)
                ),
                start: all.first().map_or(0, |w| w.start.timestamp_millis()),
                end: all.len() as i64,
                count: earlier.map_or(0, |agg| agg.count),
                sum: all.iter().map(|w| w.value.sum).sum(),
            }
        }
    })
}

/// A table whose rows are looked at with every record.
pub fn watched<S>() -> Arc<SubTopology>
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    one_agent(
        AgentOptions::DEFAULT,
        || shape::<Event<In>, _, (Table<S>,), Out>(&[true]),
        watch::<S>,
    )
}

/// How long a row of [`Aged`] lives.
pub const TTL: i64 = 40;

#[derive(Debug)]
struct Aged;

impl TableSpec for Aged {
    type Key = String;
    type Value = Agg;
    type Kind = Plain;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "aged",
        place: HERE,
        value: "Agg",
        ttl: Some(TTL),
        type_id: TypeId::of::<Aged>,
        open: open::<Aged>,
        ..TableDescriptor::DEFAULT
    };
}

fn age(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<Aged>>();
        async move {
            let key = event.key();
            if event.value == 0 {
                let had = table.contains(key);
                assert_eq!(table.remove(key).is_some(), had);
            } else {
                table.update(key, |agg| {
                    agg.count += 1;
                    agg.sum += event.value;
                });
            }
            let all: Vec<(String, Agg)> = table.iter().collect();
            assert!(all.is_sorted_by(|(a, _), (b, _)| a < b));
            assert_eq!(
                table
                    .range(key.clone()..=key.clone())
                    .next()
                    .map(|(_, agg)| agg),
                table.get(key)
            );
            let row = table.get(key).unwrap_or_default();
            Out {
                key: key.clone(),
                start: all.len() as i64,
                end: all.iter().map(|(_, agg)| agg.sum).sum(),
                count: row.count,
                sum: row.sum,
            }
        }
    })
}

/// A record changes the row of its key, or removes it when its value is 0. What is sent says what the row has come to,
/// how many rows there are, and their sum.
pub fn aging() -> Arc<SubTopology> {
    one_agent(
        AgentOptions::DEFAULT,
        || shape::<Event<In>, _, (Table<Aged>,), Out>(&[true]),
        age,
    )
}
