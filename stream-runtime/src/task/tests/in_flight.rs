//! Commits, aborts and crashes while a handler holds an event that has already changed its row.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use proptest::prelude::*;

use super::by_hand::{shape, start};
use super::driver::{Driver, Input, settings};
use super::specs::*;
use crate::handler::{Closed, ClosedForm, Event};
use crate::table::{Table, TableSpec};
use crate::task::TaskSettings;
use crate::topology::{AgentFuture, Source, SubTopology};

thread_local! {
    static OPEN: Cell<bool> = const { Cell::new(true) };
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Waits until the gate is open, as a handler waits for a slow service.
async fn gate() {
    poll_fn(|cx| {
        if OPEN.get() {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|w| w.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

fn set_gate(open: bool) {
    OPEN.set(open);
    if open {
        WAITING.take().into_iter().for_each(Waker::wake);
    }
}

fn slow<S>(cx: &dyn Any) -> AgentFuture
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<S>>();
        async move {
            S::Kind::add(&mut table, event.key(), event.value);
            gate().await;
            // A second change of the same row, in the same event.
            S::Kind::add(&mut table, event.key(), 1000);
            Out {
                key: event.key().clone(),
                start: 0,
                end: event.timestamp(),
                count: 0,
                sum: event.value,
            }
        }
    })
}

fn slow_close<S>(cx: &dyn Any) -> AgentFuture
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    start::<Closed<S>, ClosedForm, _, _>(cx, |window, _| async move {
        gate().await;
        Out {
            key: window.key().clone(),
            start: 1,
            end: window.end().timestamp_millis(),
            count: window.count,
            sum: window.sum,
        }
    })
}

fn driver<S>() -> Driver
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    set_gate(true);
    Driver::new(topology::<S>())
}

fn topology<S>() -> Arc<SubTopology>
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    let agents = vec![
        agent(
            "slow",
            Source::Topics(&["in"]),
            Some("out"),
            || shape::<Event<In>, _, (Table<S>,), Out>(&[true]),
            slow::<S>,
            std::any::TypeId::of::<In>,
        ),
        agent(
            "slow_close",
            Source::Closed,
            Some("out"),
            || shape::<Closed<S>, ClosedForm, (), Out>(&[]),
            slow_close::<S>,
            std::any::TypeId::of::<Out>,
        ),
    ];
    sub_topology(agents)
}

#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, jump: i64, value: i64 },
    Run(usize),
    Gate(bool),
    Commit,
    Abort,
    Store,
    Crash { empty_disk: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..3, -5i64..9, -9i64..9).prop_map(|(key, jump, value)| Step::Send { key, jump, value }),
        6 => (1usize..8).prop_map(Step::Run),
        6 => any::<bool>().prop_map(Step::Gate),
        5 => Just(Step::Commit),
        1 => Just(Step::Abort),
        2 => Just(Step::Store),
        1 => any::<bool>().prop_map(|empty_disk| Step::Crash { empty_disk }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::histories::histories()))]

    #[test]
    fn a_commit_leaves_the_current_event_out(steps in prop::collection::vec(step(), 1..150)) {
        history::<Tumbling7Grace3>(&steps);
        history::<Session10Grace5>(&steps);
        history::<Sliding8Grace4>(&steps);
    }
}

fn history<S>(steps: &[Step])
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    let mut d = driver::<S>();
    let mut time = 0;
    let mut sent = Vec::new();
    for step in steps {
        match step {
            Step::Send { key, jump, value } => {
                time += jump;
                let input = Input::reading(&format!("k{key}"), time, *value);
                d.send(input.clone());
                sent.push(input);
            }
            Step::Run(records) => d.run(*records),
            Step::Gate(open) => {
                set_gate(*open);
                d.turn();
            }
            Step::Commit => {
                d.commit();
            }
            Step::Abort => d.abort(),
            Step::Store => d.store(),
            Step::Crash { empty_disk } => d.crash(*empty_disk),
        }
    }
    set_gate(true);
    d.settle();
    let mut quiet = driver::<S>();
    sent.into_iter().for_each(|input| quiet.send(input));
    quiet.settle();
    assert_eq!(&d.cluster.outputs, &quiet.cluster.outputs);
    assert_eq!(d.folded(0), quiet.folded(0));
    assert_eq!(d.cluster.offset, quiet.cluster.offset);
}

#[test]
fn the_row_goes_into_the_commit_as_it_was_before_the_event() {
    let mut d = driver::<Tumbling7Grace3>();
    d.send(Input::reading("k", 1, 5));
    d.run_all();
    set_gate(false);
    d.send(Input::reading("k", 2, 7));
    d.run_all();
    d.commit();
    assert_eq!(d.cluster.offset, Some(1));
    assert_eq!(d.cluster.outputs.len(), 1);
    let row: Agg = crate::codec::rows::decode(d.folded(0).values().next().unwrap()).unwrap();
    assert_eq!(
        row,
        Agg {
            count: 2,
            sum: 1005
        }
    );
    set_gate(true);
    d.turn();
    d.commit();
    let row: Agg = crate::codec::rows::decode(d.folded(0).values().next().unwrap()).unwrap();
    assert_eq!(
        (row, d.cluster.offset),
        (
            Agg {
                count: 4,
                sum: 2012
            },
            Some(2)
        )
    );
}

#[test]
fn a_round_of_the_store_while_a_closing_is_in_flight_does_not_close_it_twice() {
    let one_event = TaskSettings {
        commit_events: 1,
        ..settings()
    };
    let mut d = Driver::with(topology::<Tumbling7Grace3>(), one_event);
    // In a commit of its own: what is made and closed within one commit is never stored.
    d.send(Input::reading("k", 1, 5));
    d.run_all();
    d.send(Input::reading("k", 20, 7));
    d.fetch(1);
    d.task.run(d.now).unwrap();
    d.commit();
    set_gate(false);
    d.turn();
    d.store();
    set_gate(true);
    d.turn();
    d.commit();
    let closed = d.cluster.out("out").into_iter().filter(|o| o.start == 1);
    assert_eq!(closed.count(), 1);
}
