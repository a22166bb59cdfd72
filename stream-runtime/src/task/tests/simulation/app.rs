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

/// The values of a burst, at most four milliseconds apart.
#[table(session = "4ms", grace = "3ms")]
#[derive(Clone, Default)]
struct Bursts {
    count: u64,
    sum: i64,
}

impl Merge for Bursts {
    fn merge(&mut self, later: Self) {
        self.count += later.count;
        self.sum += later.sum;
    }
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

/// What a reading of this value removes instead of being counted: all of its key.
const REMOVES_ALL: i64 = -9;
/// The same: its key's window of its time, and all of a table without windows.
const REMOVES_ONE: i64 = -8;

/// Whether it removes rows.
fn removes(value: i64) -> bool {
    value == REMOVES_ALL || value == REMOVES_ONE
}

#[agent(topic = "in", sink = "totals")]
async fn total(reading: Event<Reading>, mut totals: Table<Totals>) -> Option<Total> {
    let value = reading.value;
    if removes(value) {
        totals.remove(reading.key());
        gate().await;
        return None;
    }
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
    Some(total)
}

#[agent(topic = "in")]
async fn collect(mut readings: Stream<Reading>, mut sums: Table<Sums>) {
    while let Some(reading) = readings.next().await {
        match reading.value {
            REMOVES_ALL => {
                sums.remove(reading.key());
            }
            REMOVES_ONE => {
                sums.remove_at(reading.time(), reading.key());
            }
            _ => {}
        }
        if removes(reading.value) {
            continue;
        }
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

#[agent(topic = "in")]
async fn burst(reading: Event<Reading>, mut bursts: Table<Bursts>) {
    match reading.value {
        REMOVES_ALL => {
            bursts.remove(reading.key());
        }
        REMOVES_ONE => {
            bursts.remove_at(reading.time(), reading.key());
        }
        _ => {}
    }
    if removes(reading.value) {
        return;
    }
    bursts.update(reading.key(), |burst| {
        burst.count += 1;
        burst.sum += reading.value;
    });
}

#[agent(on_close = Bursts, sink = "bursts")]
async fn burst_over(burst: Closed<Bursts>) -> Sum {
    gate().await;
    Sum {
        start: burst.start().timestamp_millis(),
        count: burst.count,
        sum: burst.sum,
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
    pub(super) bursts: Vec<Output>,
    /// Rows of `totals` and `sums` at the end.
    pub(super) rows: [Rows; 2],
}

/// By the definition of windows and lateness, sharing nothing with the task.
pub(super) fn expected(input: &[(String, i64, i64)]) -> Expected {
    let mut expected = Expected::default();
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    let mut open: BTreeMap<(i64, &str), (u64, i64)> = BTreeMap::new();
    let mut bursts = Open::default();
    let mut stream_time = i64::MIN / 2;
    for (key, time, value) in input {
        let end = time.div_euclid(7) * 7 + 7;
        if removes(*value) {
            totals.remove(key.as_str());
            match *value {
                REMOVES_ALL => open.retain(|(_, of), _| of != key),
                _ => {
                    open.remove(&(end, key));
                }
            }
            bursts.remove(key, (*value == REMOVES_ONE).then_some(*time));
        } else {
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
            if end + 3 > stream_time {
                let (count, sum) = open.entry((end, key)).or_default();
                *count += 1;
                *sum += value;
            }
            bursts.take(key, *time, *value, stream_time);
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
        bursts.close(stream_time, &mut expected.bursts);
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

/// Bursts that go on, by end and key.
#[derive(Default)]
struct Open(BTreeMap<(i64, String), Sum>);

impl Open {
    fn take(&mut self, key: &str, time: i64, value: i64, stream_time: i64) {
        let belongs = |(end, of): &(i64, String), sum: &Sum| {
            of == key && time >= sum.start - 4 && time < *end
        };
        let own = self.0.iter().filter(|(place, sum)| belongs(place, sum));
        let own: Vec<(i64, String)> = own.map(|(place, _)| place.clone()).collect();
        let end = own.iter().map(|(end, _)| *end).fold(time + 5, i64::max);
        if end + 3 <= stream_time {
            return;
        }
        let mut merged = Sum {
            start: time,
            count: 1,
            sum: value,
        };
        for burst in own.iter().filter_map(|place| self.0.remove(place)) {
            merged.start = merged.start.min(burst.start);
            merged.count += burst.count;
            merged.sum += burst.sum;
        }
        self.0.insert((end, key.to_owned()), merged);
    }

    /// Removes the bursts of a key, or the one that goes on at a time.
    fn remove(&mut self, key: &str, at: Option<i64>) {
        let goes_on = |end: i64, sum: &Sum| at.is_none_or(|time| sum.start <= time && time < end);
        self.0
            .retain(|(end, of), sum| of != key || !goes_on(*end, sum));
    }

    fn close(&mut self, stream_time: i64, out: &mut Vec<Output>) {
        while let Some(first) = self.0.first_entry() {
            if first.key().0 + 3 > stream_time {
                return;
            }
            let ((_, key), sum) = first.remove_entry();
            out.push(("bursts".into(), key, json(&sum)));
        }
    }
}

/// A value as JSON with its fields sorted.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).expect("plain").to_string()
}
