//! Several agents, topics and tables in one task.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::sync::Arc;

use super::by_hand::{shape, start};
use super::driver::{Driver, Input, settings};
use super::specs::*;
use crate::Failure;
use crate::handler::{Closed, ClosedForm, Event};
use crate::record::Record;
use crate::table::{Table, TableSpec, Tumbling, open};
use crate::task::{Now, Pulse, RawRecord, Task, TaskParts, TaskSettings};
use crate::topology::{AgentFuture, Source, SourceLocation, SubTopology, TableDescriptor};
use crate::window::Window;

thread_local! {
    static FIRST: Cell<u32> = const { Cell::new(0) };
    static SECOND: Cell<u32> = const { Cell::new(0) };
}

fn out(key: &str, sum: i64) -> Out {
    Out {
        key: key.into(),
        start: 0,
        end: 0,
        count: 0,
        sum,
    }
}

fn first(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<Tumbling1000Grace0>>();
        async move {
            FIRST.set(FIRST.get() + 1);
            table.update(event.key(), |agg| agg.sum += event.value);
            out("first", event.value)
        }
    })
}

fn second(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<Tumbling7Grace3>>();
        let read = cx.get::<Table<Tumbling1000Grace0>>();
        async move {
            SECOND.set(SECOND.get() + 1);
            table.update(event.key(), |agg| agg.sum += 100);
            if event.value < 0 && SECOND.get() == 2 {
                return Err(Failure::from("the second time"));
            }
            let seen = read.current(event.key()).map_or(-1, |agg| agg.sum);
            Ok(out("second", seen))
        }
    })
}

#[test]
fn one_agents_retry_puts_back_only_its_own_and_both_commit_together() {
    let agents = vec![
        agent(
            "first",
            Source::Topics(&["in"]),
            Some("out"),
            || shape::<Event<In>, _, (Table<Tumbling1000Grace0>,), Out>(&[true]),
            first,
            TypeId::of::<In>,
        ),
        agent(
            "second",
            Source::Topics(&["in"]),
            Some("out"),
            || {
                shape::<Event<In>, _, (Table<Tumbling7Grace3>, Table<Tumbling1000Grace0>), Out>(&[
                    true, false,
                ])
            },
            second,
            TypeId::of::<Out>,
        ),
    ];
    let mut d = Driver::new(sub_topology(agents));
    for (time, value) in [(1, 5), (2, -3), (3, 4)] {
        d.send(Input::reading("k", time, value));
    }
    d.run_all();
    d.commit();
    // The second agent waits for its next attempt: nothing of its event is committed, of the first agent neither.
    assert_eq!(d.cluster.offset, Some(1));
    assert_eq!(
        d.cluster
            .out("out")
            .iter()
            .map(|o| o.sum)
            .collect::<Vec<_>>(),
        [5, 5]
    );
    d.now.mono += 10;
    d.turn();
    d.commit();
    let sums: Vec<_> = d
        .cluster
        .out("out")
        .iter()
        .map(|o| (o.key.clone(), o.sum))
        .collect();
    let expect = [
        ("first", 5),
        ("second", 5),
        ("first", -3),
        ("second", 2),
        ("first", 4),
        ("second", 6),
    ];
    assert_eq!(sums, expect.map(|(k, s)| (k.to_owned(), s)));
    assert_eq!((FIRST.get(), SECOND.get()), (3, 4));
}

#[derive(Debug)]
struct Day;

impl TableSpec for Day {
    type Key = String;
    type Value = Agg;
    type Kind = Tumbling;
    const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
        name: "day",
        place: SourceLocation {
            module: module_path!(),
            file: file!(),
            line: line!(),
        },
        key: "String",
        value: "Agg",
        window: Some(Window::Tumbling { size: 10_000 }),
        type_id: TypeId::of::<Day>,
        open: open::<Day>,
        ..TableDescriptor::DEFAULT
    };
}

fn feed(cx: &dyn Any) -> AgentFuture {
    start::<Closed<Tumbling1000Grace0>, ClosedForm, _, _>(cx, |hour, cx| {
        let mut days = cx.get::<Table<Day>>();
        async move {
            days.update(hour.key(), |day| {
                day.count += hour.count;
                day.sum += hour.sum;
            });
        }
    })
}

fn collect(cx: &dyn Any) -> AgentFuture {
    start::<Event<In>, _, _, _>(cx, |event, cx| {
        let mut table = cx.get::<Table<Tumbling1000Grace0>>();
        async move {
            table.update(event.key(), |agg| {
                agg.count += 1;
                agg.sum += event.value;
            });
        }
    })
}

fn day_out(cx: &dyn Any) -> AgentFuture {
    start::<Closed<Day>, ClosedForm, _, _>(cx, |day, _| async move {
        Out {
            key: day.key().clone(),
            start: day.start().timestamp_millis(),
            end: 0,
            count: day.count,
            sum: day.sum,
        }
    })
}

fn roll_up() -> Arc<SubTopology> {
    sub_topology(vec![
        agent(
            "collect",
            Source::Topics(&["in"]),
            None,
            || shape::<Event<In>, _, (Table<Tumbling1000Grace0>,), ()>(&[true]),
            collect,
            TypeId::of::<In>,
        ),
        agent(
            "feed",
            Source::Closed,
            None,
            || shape::<Closed<Tumbling1000Grace0>, ClosedForm, (Table<Day>,), ()>(&[true]),
            feed,
            TypeId::of::<Out>,
        ),
        agent(
            "day_out",
            Source::Closed,
            Some("out"),
            || shape::<Closed<Day>, ClosedForm, (), Out>(&[]),
            day_out,
            TypeId::of::<Agg>,
        ),
    ])
}

#[test]
fn a_jump_two_days_ahead_closes_every_hour_into_its_day_first() {
    let mut d = Driver::new(roll_up());
    for time in (0..20_000).step_by(500) {
        d.send(Input::reading("k", time, 1));
    }
    d.send(Input::reading("k", 45_000, 7));
    d.run_all();
    d.commit();
    let days: Vec<_> = d
        .cluster
        .out("out")
        .iter()
        .map(|o| (o.start, o.count))
        .collect();
    assert_eq!(days, [(0, 20), (10_000, 20)]);
    assert_eq!(d.task.late(), 0);
}

thread_local! {
    static DECODED: Cell<u32> = const { Cell::new(0) };
}

/// [`In`], counting how often one is decoded; a value of 99 says that it has no time of its own.
struct Counted(In);

impl Record for Counted {
    type Key = String;
    const NAME: &'static str = "Counted";
    const HAS_TIMESTAMP: bool = true;

    fn decode(value: Option<&[u8]>) -> Result<Self, crate::DecodeError> {
        DECODED.set(DECODED.get() + 1);
        <In as Record>::decode(value).map(Counted)
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<bool, crate::EncodeError> {
        self.0.encode(out)
    }

    fn timestamp(&self) -> Option<i64> {
        (self.0.value != 99).then_some(self.0.time)
    }
}

fn echo(cx: &dyn Any) -> AgentFuture {
    start::<Event<Counted>, _, _, _>(cx, |event, _| async move { out("", event.timestamp()) })
}

/// A task that reads topics `a` and `b`.
fn two_topics(settings: TaskSettings) -> Task {
    let topology = sub_topology(vec![agent(
        "echo",
        Source::Topics(&["a", "b"]),
        Some("out"),
        || shape::<Event<Counted>, _, (), Out>(&[]),
        echo,
        TypeId::of::<In>,
    )]);
    let mut task = Task::new(TaskParts {
        topology,
        partition: 0,
        partitions: 1,
        sources: vec![],
        settings,
        trees: vec![],
        states: Arc::default(),
        wake: Arc::new(|| {}),
        pulse: Arc::new(Pulse::default()),
    })
    .unwrap();
    task.recovered(&[Default::default(), Default::default()])
        .unwrap();
    task.begin_at(&[0, 0]);
    task
}

const NOW: Now = Now {
    wall: 1_900_000_000_000,
    mono: 0,
};

fn push(task: &Task, topic: usize, offset: i64, time: i64, value: i64) {
    let mut bytes = Vec::new();
    In { time, value }.encode(&mut bytes).unwrap();
    task.inbox(topic).push(RawRecord {
        offset,
        timestamp: 25,
        key: None,
        value: Some(&bytes),
        headers: &[],
    });
}

fn times(task: &mut Task) -> Vec<i64> {
    task.prepare().unwrap();
    let mut times = Vec::new();
    task.each_output(|_, sent| {
        times.push(Out::decode(sent.value).unwrap().sum);
        Ok::<_, ()>(())
    })
    .unwrap();
    times
}

#[test]
fn topics_of_a_task_are_read_by_event_time_and_an_empty_one_is_waited_for() {
    DECODED.set(0);
    let mut task = two_topics(settings());
    for (offset, time) in [10, 30, 50].into_iter().enumerate() {
        push(&task, 0, offset as i64, time, 0);
    }
    assert_eq!(
        task.run(NOW).unwrap().events,
        0,
        "topic b may still bring an older record"
    );
    for (offset, time) in [20, 40].into_iter().enumerate() {
        push(&task, 1, offset as i64, time, 0);
    }
    assert_eq!(task.run(NOW).unwrap().events, 4, "after 40, b may bring 45");
    task.inbox(1).reached_end();
    task.run(NOW).unwrap();
    assert_eq!(times(&mut task), [10, 20, 30, 40, 50]);
    assert_eq!(
        task.offsets()
            .map(|(t, o)| (t.to_owned(), o))
            .collect::<Vec<_>>(),
        [("a".to_owned(), 3), ("b".to_owned(), 2)]
    );
    assert_eq!(DECODED.get(), 5, "each record is decoded once");
}

#[test]
fn a_record_whose_time_field_is_none_has_the_time_of_its_message() {
    let mut task = two_topics(settings());
    push(&task, 0, 0, 1_000, 99);
    push(&task, 0, 1, 30, 0);
    push(&task, 1, 0, 20, 0);
    task.inbox(0).reached_end();
    task.inbox(1).reached_end();
    task.run(NOW).unwrap();
    assert_eq!(times(&mut task), [20, 25, 30]);
}

#[test]
fn an_input_at_its_end_is_waited_for_as_long_as_max_task_idle_says() {
    let mut task = two_topics(TaskSettings {
        max_task_idle: 100,
        ..settings()
    });
    push(&task, 0, 0, 30, 0);
    task.inbox(1).reached_end();
    let at = |mono| Now { mono, ..NOW };
    assert_eq!(task.run(at(5)).unwrap().events, 0);
    assert_eq!(task.next_wake(), Some(105));
    assert!(task.waits_for_more());
    push(&task, 1, 0, 20, 0);
    task.inbox(0).reached_end();
    task.inbox(1).reached_end();
    assert_eq!(
        task.run(at(50)).unwrap().events,
        1,
        "what was on its way comes first"
    );
    assert_eq!(task.run(at(149)).unwrap().events, 0);
    assert_eq!(task.run(at(150)).unwrap().events, 1);
    assert_eq!(times(&mut task), [20, 30]);
    assert_eq!(task.next_wake(), None);
    assert!(!task.waits_for_more());
}
