//! Agents that hold several events: batches, acknowledgements of the user's own, several handlers at once.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::by_hand::{shape, start};
use super::driver::{Driver, Input};
use super::specs::*;
use crate::error::ResultExt;
use crate::handler::{Event, Stream, Topic, TopicSpec, Unacked};
use crate::table::{Plain, Table, TableSpec, open};
use crate::task::Found;
use crate::topology::{
    AgentFuture, AgentOptions, OnError, SourceLocation, SubTopology, TableDescriptor,
    TopicDescriptor,
};
use crate::{Failure, Result};

const HERE: SourceLocation = SourceLocation {
    module: module_path!(),
    file: file!(),
    line: line!(),
};

thread_local! {
    /// Offsets whose handlers may go on; `None`: all.
    static OPEN: RefCell<Option<BTreeSet<i64>>> = const { RefCell::new(None) };
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    /// Handlers at work, and the most there ever were.
    static AT_WORK: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// Offsets in the order they were begun.
    static BEGUN: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
    /// Attempts that fail for values below zero.
    static FAILS: Cell<u32> = const { Cell::new(0) };
    /// Sizes of batches.
    static BATCHES: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

fn calm() {
    set_gate(None);
    AT_WORK.set((0, 0));
    BEGUN.take();
    BATCHES.take();
    FAILS.set(0);
}

async fn gate(offset: i64) {
    poll_fn(|cx| {
        if OPEN.with_borrow(|open| open.as_ref().is_none_or(|open| open.contains(&offset))) {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|w| w.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

fn set_gate(open: Option<&[i64]>) {
    OPEN.set(open.map(|open| open.iter().copied().collect()));
    WAITING.take().into_iter().for_each(Waker::wake);
}

struct Outs;

impl TopicSpec for Outs {
    type Key = String;
    type Value = Out;
    const DESCRIPTOR: &'static TopicDescriptor = &TopicDescriptor {
        name: "out",
        place: HERE,
        record: crate::handler::topic_record::<Outs>,
        partitions: None,
        replication_factor: None,
        retention_ms: None,
        compact: false,
        internal: false,
        external: false,
        start: None,
        on_gap: None,
        max_ahead_ms: None,
    };
}

#[derive(Debug)]
struct Sums;

impl TableSpec for Sums {
    type Key = String;
    type Value = Agg;
    type Kind = Plain;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "sums",
        place: HERE,
        key: "String",
        keys: crate::key::KeyForm::of::<String>(),
        value: "Agg",
        row: || &crate::record::shape::Shape::OPAQUE,
        rows_from: crate::topology::RowsFrom::Agents,
        window: None,
        grace: 0,
        idle: None,
        retention: 0,
        ttl: None,
        late: None,
        on_unreadable: crate::topology::OnUnreadable::Stop,
        changelog: true,
        local: false,
        partitions: None,
        type_id: std::any::TypeId::of::<Sums>,
        global: None,
        open: open::<Sums>,
    };
}

fn echo(event: &Event<In>) -> Out {
    Out {
        key: event.key().clone(),
        start: event.time,
        end: event.offset(),
        count: 1,
        sum: event.value,
    }
}

fn options() -> AgentOptions {
    AgentOptions {
        retries: 2,
        backoff_ms: 10,
        ..AgentOptions::DEFAULT
    }
}

fn pass(driver: &mut Driver, ms: u64) {
    driver.now.mono += ms;
    driver.run_all();
}

/// Offsets of the echoes in the output, and of the dead letters.
fn outcome(driver: &Driver) -> (Vec<i64>, Vec<i64>) {
    let echoes = driver.cluster.out("out").iter().map(|o| o.end).collect();
    let dead = driver.cluster.outputs.iter().filter_map(|s| {
        let offset = &s.headers.iter().find(|(n, _)| n == "source.offset")?.1;
        std::str::from_utf8(offset).ok()?.parse().ok()
    });
    (echoes, dead.collect())
}

// --- concurrency -------------------------------------------------------------------------------

fn at_once(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, _| async move {
        BEGUN.with_borrow_mut(|b| b.push(event.offset()));
        let (now, most) = AT_WORK.get();
        AT_WORK.set((now + 1, most.max(now + 1)));
        gate(event.offset()).await;
        let (now, most) = AT_WORK.get();
        AT_WORK.set((now.saturating_sub(1), most));
        if event.value < 0 && FAILS.get() > 0 {
            FAILS.set(FAILS.get() - 1);
            return Err(Failure::from("not today"));
        }
        if event.value == -7 {
            Err::<(), _>("never").reject()?;
        }
        if event.value == -8 {
            panic!("oh no");
        }
        Ok(echo(&event))
    })
}

fn several(n: u32, options: AgentOptions) -> Driver {
    calm();
    Driver::new(one_agent(
        AgentOptions {
            concurrency: n,
            ..options
        },
        || shape::<Event<In>, _, (), Result<Out>>(&[]),
        at_once,
    ))
}

#[test]
fn different_keys_run_at_once_and_effects_come_in_the_order_of_offsets() {
    let mut d = several(3, options());
    set_gate(Some(&[]));
    for (key, value) in [("a", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5)] {
        d.send(Input::reading(key, value, value));
    }
    d.run_all();
    // The second of `a` waits for the first, and there is no room for `d`.
    assert_eq!(BEGUN.with_borrow(Vec::clone), [0, 2, 3]);
    set_gate(Some(&[2, 3]));
    d.turn();
    assert_eq!(BEGUN.with_borrow(Vec::clone), [0, 2, 3, 4]);
    d.commit();
    assert_eq!(outcome(&d).0, [0; 0]);
    assert_eq!(d.cluster.offset.unwrap_or(0), 0);
    set_gate(Some(&[0, 2, 3]));
    d.turn();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0], Some(1)));
    set_gate(None);
    d.turn();
    d.commit();
    assert_eq!(
        (outcome(&d).0, d.cluster.offset),
        (vec![0, 1, 2, 3, 4], Some(5))
    );
    assert_eq!(AT_WORK.get().1, 3);
}

#[test]
fn one_of_several_that_fails_is_retried_alone_and_then_a_dead_letter_in_its_place() {
    let mut d = several(4, options());
    FAILS.set(2);
    for (key, value) in [
        ("a", 1),
        ("b", -1),
        ("c", 2),
        ("b", 3),
        ("d", -7),
        ("e", -8),
        ("f", 4),
    ] {
        d.send(Input::reading(key, i64::abs(value), value));
    }
    d.run_all();
    assert!(d.task.retrying().is_some());
    assert_eq!(d.task.next_wake(), Some(10));
    // All but those of its key have been handled meanwhile.
    assert!(!BEGUN.with_borrow(|b| b.contains(&3)));
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0], Some(1)));
    for ms in [10, 20, 20, 20] {
        pass(&mut d, ms);
    }
    d.commit();
    let (echoes, dead) = outcome(&d);
    assert_eq!((echoes, dead), (vec![0, 1, 2, 3, 6], vec![4, 5]));
    let topics: Vec<_> = d.cluster.outputs.iter().map(|s| s.topic.as_str()).collect();
    assert!(topics[4].ends_with("dead-letters") && topics[5].ends_with("dead-letters"));
    assert_eq!(d.cluster.offset, Some(7));
    assert!(d.task.is_quiet());
}

#[test]
fn one_of_several_that_hangs_is_dropped_at_its_timeout() {
    let mut d = several(
        2,
        AgentOptions {
            timeout_ms: Some(50),
            retries: 0,
            ..options()
        },
    );
    set_gate(Some(&[1, 2, 3]));
    for (at, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        d.send(Input::reading(key, at as i64, 1));
    }
    d.run_all();
    assert_eq!(d.task.next_wake(), Some(50));
    pass(&mut d, 50);
    d.commit();
    assert_eq!(outcome(&d), (vec![1, 2, 3], vec![0]));
}

#[test]
fn a_revoked_partition_finishes_what_runs_and_leaves_the_rest() {
    let mut d = several(2, options());
    set_gate(Some(&[]));
    for key in ["a", "b", "c", "d"] {
        d.send(Input::reading(key, 1, 1));
    }
    d.run_all();
    d.task.revoke();
    d.turn();
    assert!(!d.task.has_left());
    set_gate(Some(&[0, 1]));
    d.turn();
    assert!(d.task.has_left());
    d.task.drop_agents();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0, 1], Some(2)));
    set_gate(None);
    d.crash(true);
    d.run_all();
    d.commit();
    assert_eq!(outcome(&d).0, [0, 1, 2, 3]);
}

#[test]
fn a_bad_record_among_several_is_a_dead_letter_in_its_place() {
    let mut d = several(3, options());
    set_gate(Some(&[1, 2]));
    d.send(Input::reading("a", 1, 1));
    d.send(Input {
        value: Some(b"{".to_vec()),
        ..Input::reading("b", 1, 1)
    });
    d.send(Input::reading("c", 1, 1));
    d.run_all();
    d.commit();
    assert!(d.cluster.outputs.is_empty());
    set_gate(None);
    d.turn();
    d.commit();
    assert_eq!(outcome(&d), (vec![0, 2], vec![1]));
    assert_eq!(d.cluster.outputs[1].headers[0].0, "error");
}

// --- take ---------------------------------------------------------------------------------------

/// Counts by key, and echoes every event; fails as a whole when one of them is bad.
fn batches(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |mut events, cx| {
        let out = cx.get::<Topic<Outs>>();
        let mut sums = cx.get::<Table<Sums>>();
        async move {
            while let Some(batch) = events.take(3, Duration::from_millis(100)).await {
                BATCHES.with_borrow_mut(|b| b.push(batch.len()));
                for event in &batch {
                    out.send(event.key(), echo(event)).await?;
                    sums.update(event.key(), |agg| {
                        agg.count += 1;
                        agg.sum += event.value;
                    });
                    gate(event.offset()).await;
                    if event.value < 0 && FAILS.get() > 0 {
                        FAILS.set(FAILS.get() - 1);
                        return Err(Failure::from("not today"));
                    }
                    if event.value == -7 {
                        Err::<(), _>("never").reject()?;
                    }
                    if event.value == -8 {
                        panic!("oh no");
                    }
                }
            }
            Ok(())
        }
    })
}

fn batch_topology(options: AgentOptions) -> std::sync::Arc<SubTopology> {
    one_agent(
        options,
        || shape::<Stream<In>, _, (Topic<Outs>, Table<Sums>), Result<()>>(&[false, true]),
        batches,
    )
}

fn take(options: AgentOptions) -> Driver {
    calm();
    Driver::new(batch_topology(options))
}

fn sums(driver: &Driver) -> BTreeMap<Vec<u8>, Agg> {
    let rows = driver.folded(0).into_iter();
    rows.map(|(k, v)| (k, crate::codec::rows::decode(&v).unwrap()))
        .collect()
}

#[test]
fn a_batch_is_full_or_its_first_event_has_waited() {
    let mut d = take(options());
    for value in 1..=7 {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    d.commit();
    assert_eq!(BATCHES.with_borrow(Vec::clone), [3, 3]);
    // The batch in flight is acknowledged when the next one is asked for.
    assert_eq!(
        (outcome(&d).0, d.cluster.offset),
        (vec![0, 1, 2, 3, 4, 5], Some(6))
    );
    assert_eq!(d.task.next_wake(), Some(100));
    assert!(d.task.waits_for_more() && !d.task.is_quiet());
    pass(&mut d, 99);
    assert_eq!(BATCHES.with_borrow(Vec::len), 2);
    pass(&mut d, 1);
    d.commit();
    assert_eq!(BATCHES.with_borrow(Vec::clone), [3, 3, 1]);
    assert_eq!(d.cluster.offset, Some(7));
    assert!(d.task.is_quiet() && d.task.next_wake().is_none());
}

#[test]
fn a_batch_in_flight_stays_out_of_the_commit() {
    let mut d = take(options());
    set_gate(Some(&[0, 1, 2, 3, 5]));
    for value in 1..=6 {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0, 1, 2], Some(3)));
    let row = sums(&d).into_values().next().unwrap();
    assert_eq!(row, Agg { count: 3, sum: 6 });
    d.crash(true);
    set_gate(None);
    d.run_all();
    d.commit();
    let row = sums(&d).into_values().next().unwrap();
    assert_eq!(
        (row, d.cluster.offset),
        (Agg { count: 6, sum: 21 }, Some(6))
    );
}

#[test]
fn a_batch_that_fails_is_retried_whole_and_then_one_by_one() {
    let mut d = take(options());
    for value in [1, -7, 3, 4] {
        d.send(Input::reading("a", i64::abs(value), value));
    }
    d.run_all();
    pass(&mut d, 100);
    d.commit();
    // Three together, rejected; one by one; the last when its time was up.
    assert_eq!(BATCHES.with_borrow(Vec::clone), [3, 1, 1, 1, 1]);
    assert_eq!(outcome(&d), (vec![0, 2, 3], vec![1]));
    assert_eq!(
        sums(&d).into_values().next().unwrap(),
        Agg { count: 3, sum: 8 }
    );

    let mut d = take(options());
    FAILS.set(1);
    for value in [1, -1, 3] {
        d.send(Input::reading("a", i64::abs(value), value));
    }
    d.run_all();
    assert!(d.task.retrying().is_some());
    pass(&mut d, 10);
    d.commit();
    assert_eq!(BATCHES.with_borrow(Vec::clone), [3, 3]);
    assert_eq!(outcome(&d), (vec![0, 1, 2], vec![]));

    let mut d = take(options());
    for value in [1, -8, 3] {
        d.send(Input::reading("a", i64::abs(value), value));
    }
    d.run_all();
    for ms in [10, 20, 40, 10, 20, 40] {
        pass(&mut d, ms);
    }
    d.commit();
    assert_eq!(outcome(&d), (vec![0, 2], vec![1]));
    assert_eq!(d.cluster.offset, Some(3));
}

#[test]
fn a_batch_with_a_bad_record_goes_on_without_it() {
    let mut d = take(options());
    d.send(Input::reading("a", 1, 1));
    d.send(Input {
        value: Some(b"{".to_vec()),
        ..Input::reading("a", 1, 1)
    });
    d.send(Input {
        key: None,
        ..Input::reading("a", 1, 1)
    });
    d.send(Input::reading("a", 2, 2));
    d.run_all();
    pass(&mut d, 100);
    d.commit();
    assert_eq!(outcome(&d), (vec![0, 3], vec![1, 2]));
    assert_eq!(d.cluster.offset, Some(4));
}

#[test]
fn a_bad_record_before_one_that_is_rejected_does_not_keep_the_batch_going_for_ever() {
    let mut d = take(options());
    d.send(Input {
        value: Some(b"{".to_vec()),
        ..Input::reading("a", 1, 1)
    });
    d.send(Input::reading("a", 1, -7));
    d.send(Input::reading("a", 2, 2));
    d.fetch(3);
    for _ in 0..20 {
        d.now.mono += 100;
        d.task.run(d.now).unwrap();
    }
    d.commit();
    assert_eq!(outcome(&d), (vec![2], vec![0, 1]));
}

#[test]
fn a_batch_whose_time_is_up_is_requeued() {
    let mut d = take(AgentOptions {
        timeout_ms: Some(50),
        ..options()
    });
    set_gate(Some(&[]));
    for value in 1..=3 {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    assert_eq!(d.task.next_wake(), Some(50));
    pass(&mut d, 50);
    assert!(d.task.retrying().is_some());
    set_gate(None);
    pass(&mut d, 10);
    d.commit();
    assert_eq!(outcome(&d), (vec![0, 1, 2], vec![]));
}

#[test]
fn a_bad_record_at_the_head_of_a_batch_is_not_released_before_it() {
    let mut d = take(AgentOptions {
        timeout_ms: Some(50),
        ..options()
    });
    set_gate(Some(&[]));
    d.send(Input {
        value: Some(b"{".to_vec()),
        ..Input::reading("a", 1, 1)
    });
    for value in 1..=5 {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    // A turn between: it had taken the bad record for one that is done.
    d.turn();
    pass(&mut d, 50);
    set_gate(None);
    for _ in 0..4 {
        pass(&mut d, 50);
    }
    d.commit();
    assert_eq!(outcome(&d), (vec![1, 2, 3, 4, 5], vec![0]));
}

fn pass_only_large(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |events, cx| {
        let out = cx.get::<Topic<Outs>>();
        async move {
            let mut events = events
                .filter(|event| event.value > 9)
                .map(|record| record.value * 2);
            while let Some(batch) = events.take(2, Duration::from_millis(100)).await {
                BATCHES.with_borrow_mut(|b| b.push(batch.len()));
                for event in &batch {
                    let sum = **event;
                    let echo = Out {
                        key: event.key().clone(),
                        start: event.timestamp(),
                        end: event.offset(),
                        count: 1,
                        sum,
                    };
                    out.send(event.key(), echo).await?;
                }
            }
            Ok::<_, Failure>(())
        }
    })
}

#[test]
fn a_batch_behind_a_filter_has_as_many_as_were_asked_for() {
    calm();
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Stream<In>, _, (Topic<Outs>,), Result<()>>(&[false]),
        pass_only_large,
    ));
    for value in [1, 2, 3, 10, 4, 5, 6, 7, 8, 20, 30, 1, 1] {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    pass(&mut d, 100);
    d.commit();
    assert_eq!(BATCHES.with_borrow(Vec::clone), [2, 1]);
    let sums: Vec<_> = d.cluster.out("out").iter().map(|o| o.sum).collect();
    assert_eq!((sums, d.cluster.offset), (vec![20, 40, 60], Some(13)));
}

// --- filter and map, one event in flight -----------------------------------------------------------

fn filtered(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |events, cx| {
        let out = cx.get::<Topic<Outs>>();
        async move {
            let mut events = events.filter(|event| event.value % 2 == 0);
            while let Some(event) = events.next().await {
                out.send(event.key(), echo(&event)).await?;
            }
            Ok::<_, Failure>(())
        }
    })
}

#[test]
fn what_a_filter_leaves_out_is_acknowledged_and_moves_stream_time() {
    calm();
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Stream<In>, _, (Topic<Outs>,), Result<()>>(&[false]),
        filtered,
    ));
    for value in [1, 2, 3, 4, 9] {
        d.send(Input::reading("a", value * 10, value));
    }
    d.run_all();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![1, 3], Some(5)));
    assert_eq!(d.task.processed(), 5);
}

// --- noack ----------------------------------------------------------------------------------------

/// Echoes each event at once; acknowledges those that the gate lets through, in whatever order it does.
fn unacked(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |events, cx| {
        let out = cx.get::<Topic<Outs>>();
        async move {
            let mut events = events.noack();
            let mut open: Vec<Unacked<In>> = Vec::new();
            while let Some(event) = events.next().await {
                if event.value == -7 {
                    Err::<(), _>("never").reject()?;
                }
                if event.value < 0 && FAILS.get() > 0 {
                    FAILS.set(FAILS.get() - 1);
                    return Err(Failure::from("not today"));
                }
                out.send(event.key(), echo(&event)).await?;
                open.push(event);
                let may = OPEN.with_borrow(Clone::clone);
                let (done, left) = open
                    .into_iter()
                    .partition(|e| may.as_ref().is_none_or(|may| may.contains(&e.offset())));
                open = left;
                done.into_iter().rev().for_each(Unacked::ack);
            }
            // They come again: nobody acknowledged them.
            drop(open);
            Ok(())
        }
    })
}

fn noack(options: AgentOptions) -> Driver {
    calm();
    Driver::new(one_agent(
        options,
        || shape::<Stream<In>, _, (Topic<Outs>,), Result<()>>(&[false]),
        unacked,
    ))
}

#[test]
fn the_offset_to_commit_is_that_of_the_oldest_event_without_an_acknowledgement() {
    let mut d = noack(options());
    set_gate(Some(&[1, 2]));
    for value in 1..=4 {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    d.commit();
    assert_eq!(
        (d.cluster.outputs.len(), d.cluster.offset.unwrap_or(0)),
        (0, 0)
    );
    set_gate(Some(&[0, 1, 2]));
    d.send(Input::reading("a", 5, 5));
    d.run_all();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0, 1, 2], Some(3)));
    d.crash(false);
    set_gate(None);
    d.run_all();
    d.commit();
    assert_eq!(
        (outcome(&d).0, d.cluster.offset),
        (vec![0, 1, 2, 3, 4], Some(5))
    );
}

#[test]
fn a_failure_puts_all_events_in_flight_back_and_a_rejected_one_takes_them_along() {
    let mut d = noack(options());
    set_gate(Some(&[0]));
    FAILS.set(1);
    for value in [1, 2, -1, 4] {
        d.send(Input::reading("a", i64::abs(value), value));
    }
    d.run_all();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0], Some(1)));
    assert!(d.task.retrying().is_some());
    set_gate(None);
    pass(&mut d, 10);
    d.commit();
    assert_eq!(
        (outcome(&d).0, d.cluster.offset),
        (vec![0, 1, 2, 3], Some(4))
    );

    let mut d = noack(options());
    set_gate(Some(&[0, 3]));
    for value in [1, 2, -7, 4] {
        d.send(Input::reading("a", i64::abs(value), value));
    }
    d.run_all();
    d.commit();
    assert_eq!(outcome(&d), (vec![0, 3], vec![1, 2]));
    assert_eq!(d.cluster.offset, Some(4));
}

#[test]
fn a_revoked_partition_leaves_what_was_not_acknowledged() {
    let mut d = noack(options());
    set_gate(Some(&[0]));
    for value in 1..=3 {
        d.send(Input::reading("a", value, value));
    }
    d.run_all();
    d.task.revoke();
    d.turn();
    assert!(d.task.has_left());
    d.task.drop_agents();
    d.commit();
    assert_eq!((outcome(&d).0, d.cluster.offset), (vec![0], Some(1)));
}

fn forgets(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |events, _| async move {
        let mut events = events.noack();
        while let Some(event) = events.next().await {
            drop(event);
        }
    })
}

#[test]
fn an_event_dropped_without_an_acknowledgement_stops_the_partition_and_says_so() {
    calm();
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Stream<In>, _, (), ()>(&[]),
        forgets,
    ));
    d.send(Input::reading("a", 1, 1));
    d.fetch(1);
    let text = d.task.run(d.now).unwrap_err().error.to_string();
    assert!(text.contains("offset 0 without `ack()`"), "{text}");
}

fn returns_at_once(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |events, _| async move {
        let _event = events.noack().next().await;
    })
}

#[test]
fn a_function_that_acknowledges_nothing_stops_the_partition() {
    calm();
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Stream<In>, _, (), ()>(&[]),
        returns_at_once,
    ));
    d.send(Input::reading("a", 1, 1));
    d.fetch(1);
    let text = d.task.run(d.now).unwrap_err().error.to_string();
    assert!(text.contains("acknowledged none of its events"), "{text}");
}

// --- commits that are refused ---------------------------------------------------------------------

/// A commit against a broker that takes no output whose value is 13, and says which that is, or does not.
fn commit_but_13(d: &mut Driver, says: bool) {
    d.task.prepare().unwrap();
    let (mut found, mut index) = (Vec::new(), 0);
    d.task
        .each_output(|topic, out| {
            let value = std::str::from_utf8(out.value.unwrap()).unwrap();
            if topic == "out" && value.contains("\"sum\":13") {
                found.push((index, "the broker does not like it".to_owned()));
            }
            index += 1;
            Ok::<_, ()>(())
        })
        .unwrap();
    if found.is_empty() {
        d.commit();
        return;
    }
    let found = match says {
        true => d.task.refused(&found),
        false => d.task.narrow(&found[0].1),
    };
    assert_ne!(found, Found::Hopeless);
    d.task.aborted().unwrap();
}

#[test]
fn an_event_that_spoils_its_commit_is_found_among_several() {
    for says in [true, false] {
        for mut d in [several(3, options()), take(options()), noack(options())] {
            for value in [1, 13, 3, 4, 5] {
                d.send(Input::reading(&format!("k{value}"), value, value));
            }
            for _ in 0..30 {
                d.now.mono += 50;
                d.fetch(100);
                d.task.run(d.now).unwrap();
                commit_but_13(&mut d, says);
            }
            assert_eq!(outcome(&d), (vec![0, 2, 3, 4], vec![1]));
            assert_eq!(d.cluster.offset, Some(5));
            assert!(!d.task.is_careful());
        }
    }
}

// --- random histories -----------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, value: i64 },
    Bad,
    Run(usize),
    Gate(Vec<bool>),
    Fails(u32),
    Pass(u64),
    Commit,
    Abort,
    Store,
    Revoke,
    Crash { empty_disk: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0u8..4, prop_oneof![9 => 0i64..9, 1 => -9i64..0]).prop_map(|(key, value)| Step::Send { key, value }),
        1 => Just(Step::Bad),
        6 => (1usize..8).prop_map(Step::Run),
        6 => prop::collection::vec(any::<bool>(), 7).prop_map(Step::Gate),
        1 => (0u32..4).prop_map(Step::Fails),
        3 => (1u64..120).prop_map(Step::Pass),
        5 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Store),
        1 => Just(Step::Revoke),
        1 => any::<bool>().prop_map(|empty_disk| Step::Crash { empty_disk }),
    ]
}

/// Plays a history; says what was sent.
fn play(d: &mut Driver, steps: &[Step]) -> Vec<Input> {
    let mut sent: Vec<Input> = Vec::new();
    for step in steps {
        match step {
            Step::Send { key, value } => {
                let time = sent.len() as i64;
                sent.push(Input::reading(&format!("k{key}"), time, *value));
                d.send(sent[sent.len() - 1].clone());
            }
            Step::Bad => {
                sent.push(Input {
                    value: Some(b"{".to_vec()),
                    ..Input::reading("k0", 1, 1)
                });
                d.send(sent[sent.len() - 1].clone());
            }
            Step::Run(records) => d.run(*records),
            Step::Gate(open) => {
                let open: Vec<i64> = (0..sent.len() as i64 + 50)
                    .filter(|at| open[*at as usize % open.len()])
                    .collect();
                set_gate(Some(&open));
                d.turn();
            }
            Step::Fails(n) => FAILS.set(*n),
            Step::Pass(ms) => {
                d.now.mono += ms;
                d.turn();
            }
            Step::Commit => {
                d.commit();
            }
            Step::Abort => d.abort(),
            Step::Store => d.store(),
            Step::Revoke => {
                d.task.revoke();
                d.turn();
                d.task.drop_agents();
                d.commit();
                d.crash(false);
            }
            Step::Crash { empty_disk } => d.crash(*empty_disk),
        }
    }
    set_gate(None);
    FAILS.set(0);
    for _ in 0..400 {
        d.now.mono += 50;
        d.run_all();
        if d.task.is_quiet() {
            break;
        }
    }
    d.commit();
    sent
}

/// Every input came out once: as an echo, or as a dead letter.
fn check_once(d: &Driver, sent: &[Input], in_order: bool) {
    let (echoes, dead) = outcome(d);
    let all: Vec<i64> = (0..sent.len() as i64).collect();
    let mut got: Vec<i64> = echoes.iter().chain(&dead).copied().collect();
    if in_order {
        assert!(echoes.is_sorted(), "{echoes:?}");
        assert!(dead.is_sorted(), "{dead:?}");
    }
    got.sort_unstable();
    assert_eq!(got, all);
    assert_eq!(d.cluster.offset.unwrap_or(0), sent.len() as i64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::histories::histories()))]

    #[test]
    fn several_at_once_are_each_handled_once(steps in prop::collection::vec(step(), 1..150), n in 2u32..6) {
        let mut d = several(n, AgentOptions { timeout_ms: Some(70), ..options() });
        let sent = play(&mut d, &steps);
        check_once(&d, &sent, true);
        prop_assert!(d.task.is_quiet());
    }

    #[test]
    fn batches_are_each_handled_once(steps in prop::collection::vec(step(), 1..150)) {
        let mut d = take(AgentOptions { timeout_ms: Some(70), ..options() });
        let sent = play(&mut d, &steps);
        check_once(&d, &sent, true);
        // The table is the fold of what came out.
        let mut want: BTreeMap<Vec<u8>, Agg> = BTreeMap::new();
        for out in d.cluster.out("out") {
            let mut key = vec![crate::table::ROW_TAG];
            key.extend(out.key.as_bytes());
            let row = want.entry(key).or_default();
            row.count += 1;
            row.sum += out.sum;
        }
        prop_assert_eq!(sums(&d), want);
    }

    #[test]
    fn unacknowledged_events_are_each_handled_once(steps in prop::collection::vec(step(), 1..150)) {
        let mut d = noack(AgentOptions { retries: 9, on_error: OnError::DeadLetter, ..options() });
        let mut sent = play(&mut d, &steps);
        // What is in flight at the end waits for an event that opens the gate.
        sent.push(Input::reading("end", 1, 1));
        d.send(sent[sent.len() - 1].clone());
        d.run_all();
        d.commit();
        check_once(&d, &sent, false);
    }
}
