//! The app of the simulation, and what must become of its input.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::prelude::*;
use crate::topology::SubTopology;

#[record(timestamp = time)]
pub(super) struct Reading {
    pub(super) time: i64,
    pub(super) value: i64,
}

/// All values of a key.
#[table]
#[derive(Clone, Default)]
struct Totals {
    count: u64,
    sum: i64,
    min: i64,
    max: i64,
}

/// The values of seven milliseconds.
#[table(tumbling = "7ms", grace = "3ms")]
#[derive(Clone, Default)]
struct Sums {
    count: u64,
    sum: i64,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Total {
    pub(super) count: u64,
    pub(super) sum: i64,
    pub(super) min: i64,
    pub(super) max: i64,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sum {
    pub(super) start: i64,
    pub(super) count: u64,
    pub(super) sum: i64,
}

#[agent(topic = "in", sink = "totals")]
async fn total(reading: Event<Reading>, mut totals: Table<Totals>) -> Total {
    let value = reading.value;
    let total = totals.update(reading.key(), |all| {
        if all.count == 0 {
            (all.min, all.max) = (value, value);
        }
        all.count += 1;
        all.sum += value;
        (all.min, all.max) = (all.min.min(value), all.max.max(value));
        Total {
            count: all.count,
            sum: all.sum,
            min: all.min,
            max: all.max,
        }
    });
    gate().await;
    total
}

#[agent(topic = "in")]
async fn collect(mut readings: Stream<Reading>, mut sums: Table<Sums>) {
    while let Some(reading) = readings.next().await {
        sums.update(reading.key(), |sum| {
            sum.count += 1;
            sum.sum += reading.value;
        });
    }
}

#[agent(on_close = Sums, sink = "sums")]
async fn close(sum: Closed<Sums>) -> Sum {
    gate().await;
    Sum {
        start: sum.start().timestamp_millis(),
        count: sum.count,
        sum: sum.sum,
    }
}

thread_local! {
    static OPEN: Cell<bool> = const { Cell::new(true) };
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Waits while the gate is closed, as a handler waits for a slow service.
async fn gate() {
    poll_fn(|cx| {
        if OPEN.get() {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|waiting| waiting.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// Opens or closes the gate of this thread.
pub(super) fn set_gate(open: bool) {
    OPEN.set(open);
    if open {
        WAITING.take().into_iter().for_each(Waker::wake);
    }
}

/// The one task of the app.
pub(super) fn topology() -> Arc<SubTopology> {
    let mut plan = App::new("simulated")
        .scope(module_path!())
        .plan()
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(plan.topologies.len(), 1);
    Arc::new(plan.topologies.remove(0))
}

/// An output: topic, key, value.
pub(super) type Output = (String, String, String);

/// Rows of a table: key, window's end (plain tables: 0), value.
pub(super) type Rows = BTreeMap<(i64, String), String>;

/// What must become of an input.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Outputs of each topic in order.
    pub(super) totals: Vec<Output>,
    pub(super) sums: Vec<Output>,
    /// Rows of `totals` and `sums` at the end.
    pub(super) rows: [Rows; 2],
}

/// By the definition of windows and lateness, sharing nothing with the task.
pub(super) fn expected(input: &[(String, i64, i64)]) -> Expected {
    let mut expected = Expected::default();
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    let mut open: BTreeMap<(i64, &str), (u64, i64)> = BTreeMap::new();
    let mut stream_time = i64::MIN / 2;
    for (key, time, value) in input {
        let total = totals.entry(key).or_insert(Total {
            count: 0,
            sum: 0,
            min: *value,
            max: *value,
        });
        total.count += 1;
        total.sum += value;
        (total.min, total.max) = (total.min.min(*value), total.max.max(*value));
        expected
            .totals
            .push(("totals".into(), key.clone(), json(total)));
        let end = time.div_euclid(7) * 7 + 7;
        if end + 3 > stream_time {
            let (count, sum) = open.entry((end, key)).or_default();
            *count += 1;
            *sum += value;
        }
        stream_time = stream_time.max(*time);
        while let Some(first) = open.first_entry() {
            if first.key().0 + 3 > stream_time {
                break;
            }
            let ((end, key), (count, sum)) = first.remove_entry();
            let start = end - 7;
            expected
                .sums
                .push(("sums".into(), key.into(), json(&Sum { start, count, sum })));
        }
    }
    let rows = |(key, total): (&str, Total)| ((0, key.to_owned()), json(&total));
    expected.rows[0] = totals.into_iter().map(rows).collect();
    let rows = |((end, key), (count, sum)): ((i64, &str), (u64, i64))| {
        let row = serde_json::json!({"count": count, "sum": sum});
        ((end, key.to_owned()), row.to_string())
    };
    expected.rows[1] = open.into_iter().map(rows).collect();
    expected
}

/// A value as JSON with its fields sorted.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).expect("plain").to_string()
}
