//! Handlers that fail, panic or hang, and records that are bad.

use std::any::{Any, TypeId};
use std::cell::Cell;

use super::by_hand::{shape, start};
use super::driver::{Driver, Input};
use super::specs::*;
use crate::error::ResultExt;
use crate::table::{Plain, Table, TableSpec, open};
use crate::task::{Event, Stream};
use crate::topology::{AgentFuture, AgentOptions, OnError, Place, TableDescriptor};
use crate::{Failure, Result};

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// Calls that fail before one succeeds.
    static FAILS: Cell<u32> = const { Cell::new(0) };
}

fn called() -> u32 {
    CALLS.with(|c| {
        c.set(c.get() + 1);
        c.get()
    })
}

fn options() -> AgentOptions {
    AgentOptions {
        retries: 2,
        backoff_ms: 10,
        ..AgentOptions::DEFAULT
    }
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

fn sometimes(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, _| async move {
        let call = called();
        if event.value < 0 && call <= FAILS.get() {
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

fn driver(options: AgentOptions) -> Driver {
    CALLS.set(0);
    Driver::new(one_agent(
        options,
        || shape::<Event<In>, _, (), Result<Out>>(&[]),
        sometimes,
    ))
}

fn pass(driver: &mut Driver, ms: u64) {
    driver.now.mono += ms;
    driver.run_all();
}

#[test]
fn a_failure_is_retried_after_its_backoff() {
    let mut d = driver(options());
    FAILS.set(2);
    d.send(Input::reading("k", 5, -1));
    d.send(Input::reading("k", 6, 2));
    d.run_all();
    assert!(d.task.retrying().is_some() && !d.task.is_quiet());
    assert_eq!(d.task.next_wake(), Some(10));
    pass(&mut d, 9);
    assert_eq!(CALLS.get(), 1);
    pass(&mut d, 1);
    assert_eq!(CALLS.get(), 2);
    pass(&mut d, 20);
    d.commit();
    assert_eq!(
        d.cluster
            .out("out")
            .iter()
            .map(|o| o.sum)
            .collect::<Vec<_>>(),
        [-1, 2]
    );
    assert_eq!(d.cluster.offset, Some(2));
}

#[test]
fn an_event_in_back_off_is_not_committed_and_survives_a_crash() {
    let mut d = driver(options());
    FAILS.set(1);
    d.send(Input::reading("k", 5, 1));
    d.send(Input::reading("k", 6, -1));
    d.run_all();
    FAILS.set(2);
    d.run_all();
    d.commit();
    let committed = d.cluster.offset;
    assert!(committed == Some(1) || committed == Some(2));
    FAILS.set(0);
    d.crash(true);
    d.run_all();
    d.commit();
    assert_eq!(
        d.cluster
            .out("out")
            .iter()
            .map(|o| o.sum)
            .collect::<Vec<_>>(),
        [1, -1]
    );
}

#[test]
fn used_up_retries_a_reject_and_a_panic_end_as_dead_letters() {
    let mut d = driver(options());
    FAILS.set(u32::MAX);
    d.send(Input::reading("a", 5, -1));
    d.run_all();
    pass(&mut d, 10);
    pass(&mut d, 20);
    FAILS.set(0);
    d.send(Input::reading("b", 6, -7));
    d.send(Input::reading("c", 7, -8));
    d.send(Input::reading("d", 8, 1));
    d.run_all();
    pass(&mut d, 10);
    pass(&mut d, 20);
    d.commit();
    let dead: Vec<_> = d
        .cluster
        .outputs
        .iter()
        .filter(|s| s.topic == "app-solo-dead-letters")
        .collect();
    let header = |at: usize, name: &str| {
        let value = &dead[at].headers.iter().find(|(n, _)| n == name).unwrap().1;
        String::from_utf8(value.clone()).unwrap()
    };
    assert_eq!(dead.len(), 3);
    assert_eq!(
        (
            header(0, "error"),
            header(0, "attempts"),
            header(0, "source.offset")
        ),
        ("not today".into(), "3".into(), "0".into())
    );
    assert_eq!(
        (header(1, "error"), header(1, "attempts")),
        ("never".into(), "1".into())
    );
    assert_eq!(
        (header(2, "error"), header(2, "attempts")),
        ("panicked: oh no".into(), "3".into())
    );
    assert_eq!(
        dead[0].value.as_deref(),
        d.cluster.input[0].value.as_deref()
    );
    assert_eq!(d.cluster.out("out").len(), 1);
    assert_eq!(d.cluster.offset, Some(4));
}

#[test]
fn on_error_stop_stops_the_partition_and_skip_goes_on() {
    let mut d = driver(AgentOptions {
        retries: 0,
        on_error: OnError::Skip,
        ..options()
    });
    FAILS.set(1);
    d.send(Input::reading("a", 5, -1));
    d.send(Input::reading("a", 5, 1));
    d.run_all();
    d.commit();
    assert_eq!((d.cluster.outputs.len(), d.cluster.offset), (1, Some(2)));

    let mut d = driver(AgentOptions {
        retries: 0,
        on_error: OnError::Stop,
        ..options()
    });
    FAILS.set(1);
    d.send(Input::reading("a", 5, -1));
    let at = d.cluster.input[0].clone();
    d.task.inbox(0).push(crate::task::RawRecord {
        offset: 0,
        timestamp: 5,
        key: Some(b"a"),
        value: at.value.as_deref(),
        headers: &[],
    });
    let failure = d.task.run(d.now).unwrap_err();
    assert!(failure.fatal, "the worker ends");
    let text = failure.error.to_string();
    assert!(
        text.contains("agent `solo`") && text.contains("in[0]@0") && text.contains("not today"),
        "{text}"
    );
}

#[test]
fn a_bad_record_stops_the_partition_when_told_so() {
    let mut d = driver(AgentOptions {
        on_decode_error: OnError::Stop,
        ..options()
    });
    d.task.inbox(0).push(crate::task::RawRecord {
        offset: 0,
        timestamp: 5,
        key: Some(b"a"),
        value: Some(b"{"),
        headers: &[],
    });
    let failure = d.task.run(d.now).unwrap_err();
    assert!(failure.fatal, "the worker ends");
    let text = failure.error.to_string();
    assert!(
        text.contains("agent `solo`") && text.contains("in[0]@0"),
        "{text}"
    );
}

#[test]
fn bad_records_go_to_the_dead_letters_and_never_move_stream_time() {
    let mut d = Driver::new(topology::<Tumbling1000Grace0>());
    let far = d.now.wall + 7_200_000;
    d.send(Input {
        key: Some("k".into()),
        stamp: 5,
        value: Some(b"{".to_vec()),
    });
    d.send(Input {
        key: Some("k".into()),
        stamp: 5,
        value: None,
    });
    d.send(Input {
        key: None,
        stamp: 5,
        ..Input::reading("k", 5, 1)
    });
    d.send(Input::reading("k", far, 1));
    d.send(Input::reading("k", 5, 1));
    d.run_all();
    d.commit();
    let dead: Vec<_> = d
        .cluster
        .outputs
        .iter()
        .filter(|s| s.topic == "app-collect-dead-letters")
        .collect();
    assert_eq!(dead.len(), 4);
    assert_eq!(d.task.late(), 0);
    assert_eq!(d.folded(0).len(), 1);
}

fn never(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, _| async move {
        if event.value < 0 {
            std::future::pending::<()>().await;
        }
        echo(&event)
    })
}

#[test]
fn a_handler_that_never_returns_is_dropped_at_its_timeout() {
    let options = AgentOptions {
        timeout_ms: Some(50),
        retries: 1,
        ..options()
    };
    let mut d = Driver::new(one_agent(
        options,
        || shape::<Event<In>, _, (), Out>(&[]),
        never,
    ));
    d.send(Input::reading("a", 5, -1));
    d.send(Input::reading("a", 6, 3));
    d.run_all();
    assert_eq!(d.task.next_wake(), Some(50));
    pass(&mut d, 50);
    pass(&mut d, 10);
    pass(&mut d, 50);
    d.commit();
    assert_eq!(d.cluster.outputs.len(), 2);
    assert!(d.cluster.outputs[0].topic.ends_with("dead-letters"));
    assert_eq!(d.cluster.offset, Some(2));
}

fn looped(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |mut events, _| async move {
        called();
        while let Some(event) = events.next().await {
            if event.value < 0 && FAILS.replace(0) > 0 {
                return Err(Failure::from("once"));
            }
        }
        Ok(())
    })
}

#[test]
fn the_stream_form_is_called_again_after_a_failure_and_ends_when_revoked() {
    CALLS.set(0);
    FAILS.set(1);
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Stream<In>, _, (), Result<()>>(&[]),
        looped,
    ));
    for value in [1, -1, 2] {
        d.send(Input::reading("a", 5, value));
    }
    d.run_all();
    assert!(d.task.retrying().is_some());
    pass(&mut d, 10);
    d.commit();
    assert_eq!((d.cluster.offset, CALLS.get()), (Some(3), 2));
    d.task.revoke();
    d.task.run(d.now).unwrap();
    assert!(d.task.has_left());
}

fn early(cx: &dyn Any) -> AgentFuture {
    start::<Stream<In>, _, _, _>(cx, |_, _| async move {})
}

#[test]
fn an_ok_before_any_event_is_an_error() {
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Stream<In>, _, (), ()>(&[]),
        early,
    ));
    let failure = d.task.run(d.now).unwrap_err();
    assert!(
        failure
            .error
            .to_string()
            .contains("before it took an event")
    );
}

/// A commit against a broker that refuses changelog records above this size.
fn commit_below(d: &mut Driver, limit: usize) {
    d.task.prepare().unwrap();
    let mut largest = 0;
    d.task.with_changes(0, &mut |rows, _| {
        largest = rows.upserts().map(|(_, v)| v.len()).max().unwrap_or(0)
    });
    if largest <= limit {
        d.commit();
        return;
    }
    if !d.task.isolate() {
        d.task.condemn(format!(
            "a row of {largest} bytes is too large for the changelog"
        ));
    }
    d.task.aborted().unwrap();
}

#[derive(Debug)]
struct Texts;

impl TableSpec for Texts {
    type Key = String;
    type Value = String;
    type Kind = Plain;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "texts",
        place: Place {
            module: module_path!(),
            file: file!(),
            line: line!(),
        },
        key: "String",
        value: "String",
        type_id: TypeId::of::<Texts>,
        open: open::<Texts>,
        ..TableDescriptor::DEFAULT
    };
}

fn grow(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut texts = cx.get::<Table<Texts>>();
        async move {
            texts.update(event.key(), |text| {
                text.extend(std::iter::repeat_n('x', event.value as usize))
            });
        }
    })
}

#[test]
fn a_row_too_large_for_the_changelog_fails_its_event_and_no_other() {
    let mut d = Driver::new(one_agent(
        options(),
        || shape::<Event<In>, _, (Table<Texts>,), ()>(&[true]),
        grow,
    ));
    let sizes = [("a", 10), ("b", 20), ("a", 500), ("b", 30), ("a", 5)];
    for (at, (key, size)) in sizes.into_iter().enumerate() {
        d.send(Input::reading(key, at as i64, size));
    }
    for _ in 0..20 {
        d.fetch(usize::MAX / 2);
        d.task.run(d.now).unwrap();
        commit_below(&mut d, 100);
    }
    assert_eq!(d.cluster.offset, Some(5));
    let dead: Vec<_> = d
        .cluster
        .outputs
        .iter()
        .map(|s| {
            s.headers
                .iter()
                .find(|(n, _)| n == "source.offset")
                .unwrap()
                .1
                .clone()
        })
        .collect();
    assert_eq!(dead, [b"2".to_vec()]);
    let rows: Vec<String> = d
        .folded(0)
        .values()
        .map(|v| crate::codec::rows::decode(v).unwrap())
        .collect();
    assert_eq!(rows.iter().map(String::len).collect::<Vec<_>>(), [15, 50]);
}
