//! Handlers that fail, panic or hang, and records that are bad.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::sync::Arc;

use super::by_hand::{shape, start};
use super::driver::{Driver, Input, settings};
use super::specs::*;
use crate::error::ResultExt;
use crate::handler::{Event, Stream};
use crate::record::Record;
use crate::table::{Plain, Table, TableSpec, open};
use crate::task::{Found, Limits, TaskSettings};
use crate::topology::{AgentFuture, AgentOptions, OnError, SourceLocation, TableDescriptor};
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

/// A commit as a worker makes it: rows that cannot be written are looked for. Returns whether it succeeded.
fn commit_carefully(d: &mut Driver) -> bool {
    match d.task.prepare() {
        Ok(_) => {
            d.commit();
            true
        }
        Err(error) => {
            assert!(d.task.be_careful(), "not found: {error}");
            d.task.aborted().unwrap();
            false
        }
    }
}

#[derive(Debug)]
struct Texts;

impl TableSpec for Texts {
    type Key = String;
    type Value = String;
    type Kind = Plain;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "texts",
        place: SourceLocation {
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
    let settings = TaskSettings {
        limits: Arc::new(Limits {
            client: 110,
            ..Limits::default()
        }),
        ..settings()
    };
    let mut d = Driver::with(
        one_agent(
            options(),
            || shape::<Event<In>, _, (Table<Texts>,), ()>(&[true]),
            grow,
        ),
        settings,
    );
    let sizes = [("a", 10), ("b", 20), ("a", 500), ("b", 30), ("a", 5)];
    for (at, (key, size)) in sizes.into_iter().enumerate() {
        d.send(Input::reading(key, at as i64, size));
    }
    let mut refused = 0;
    for _ in 0..3 {
        d.fetch(usize::MAX / 2);
        while d.task.run(d.now).unwrap().more {}
        refused += u32::from(!commit_carefully(&mut d));
    }
    assert_eq!(refused, 1, "all is found in one look");
    assert!(!d.task.is_careful());
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

/// Outputs of the prepared commit whose sums the broker does not take.
fn bad_outputs(d: &Driver, bad: impl Fn(i64) -> bool) -> Vec<(usize, String)> {
    let (mut found, mut index) = (Vec::new(), 0);
    d.task
        .each_output(|topic, out| {
            if topic == "out" && bad(Out::decode(out.value).unwrap().sum) {
                found.push((index, format!("refused at {index}")));
            }
            index += 1;
            Ok::<_, ()>(())
        })
        .unwrap();
    found
}

/// What came out, by sums, and the offsets of the dead letters.
fn outcome(d: &Driver) -> (Vec<i64>, Vec<String>) {
    let dead = d.cluster.outputs.iter();
    let dead = dead.filter(|sent| sent.topic.ends_with("dead-letters"));
    let offset = |sent: &super::driver::Sent| {
        let mut headers = sent.headers.iter();
        let offset = headers.find(|(name, _)| name == "source.offset").unwrap();
        String::from_utf8(offset.1.clone()).unwrap()
    };
    let sums = d.cluster.out("out").iter().map(|out| out.sum).collect();
    (sums, dead.map(offset).collect())
}

#[test]
fn an_event_whose_output_is_refused_fails_alone_and_at_once_among_thousands() {
    let mut d = driver(options());
    FAILS.set(0);
    for value in 0..5000 {
        d.send(Input::reading("k", value, value));
    }
    let bad = |sum: i64| sum == 17 || sum == 4321;
    let (mut commits, mut calls) = (0, 0);
    while d.cluster.offset != Some(5000) {
        d.fetch(usize::MAX / 2);
        while d.task.run(d.now).unwrap().more {}
        d.task.prepare().unwrap();
        let refused = bad_outputs(&d, bad);
        commits += 1;
        if refused.is_empty() {
            d.commit();
        } else {
            assert_eq!(d.task.refused(&refused), Found::Events);
            d.task.aborted().unwrap();
        }
        calls = CALLS.get();
        assert!(commits < 5, "not a commit for each event");
    }
    let (sums, dead) = outcome(&d);
    let expected: Vec<i64> = (0..5000).filter(|sum| !bad(*sum)).collect();
    assert_eq!((sums, dead), (expected, vec!["17".into(), "4321".into()]));
    assert_eq!(calls, 5000 + 4998, "what is refused is not tried again");
    assert!(!d.task.is_careful());
}

#[test]
fn where_the_broker_does_not_say_which_record_it_means_half_of_the_commit_is_asked_each_time() {
    let mut d = driver(options());
    FAILS.set(0);
    for value in 0..1000 {
        d.send(Input::reading("k", value, value));
    }
    let mut commits = 0;
    while d.cluster.offset != Some(1000) {
        d.fetch(usize::MAX / 2);
        while d.task.run(d.now).unwrap().more {}
        d.task.prepare().unwrap();
        let refused = bad_outputs(&d, |sum| sum == 700);
        commits += 1;
        if refused.is_empty() {
            d.commit();
        } else {
            assert_ne!(d.task.narrow("one of them"), Found::Hopeless);
            d.task.aborted().unwrap();
        }
        assert!(commits < 100, "not a commit for each event");
    }
    let (sums, dead) = outcome(&d);
    let expected: Vec<i64> = (0..1000).filter(|sum| *sum != 700).collect();
    assert_eq!((sums, dead), (expected, vec!["700".into()]));
    assert!(!d.task.is_careful() && !d.task.is_isolated());
}

#[test]
fn a_dead_letter_that_is_refused_as_well_is_not_tried_for_ever() {
    let mut d = driver(options());
    FAILS.set(0);
    d.send(Input::reading("k", 1, 1));
    for found in [Found::Events, Found::Hopeless] {
        d.fetch(usize::MAX / 2);
        while d.task.run(d.now).unwrap().more {}
        d.task.prepare().unwrap();
        assert_eq!(d.task.refused(&[(0, "no".to_owned())]), found);
        d.task.aborted().unwrap();
    }
}
