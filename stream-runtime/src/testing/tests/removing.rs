//! Rows that are removed, of every kind of table.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::prelude::*;
use crate::testing::{Random, Sent, seeds};
use crate::testing::{TestApp, at};

#[record(timestamp = at)]
#[derive(Clone)]
struct Act {
    at: DateTime<Utc>,
    /// 0: count; 1: forget the key; 2: forget the window of `of`.
    kind: u8,
    of: DateTime<Utc>,
}

#[record]
struct Told {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    n: u64,
}

#[table(tumbling = "10s", grace = "1h")]
#[derive(Clone, Default)]
struct Tens {
    n: u64,
}

#[table(hopping = "10s", step = "4s", grace = "1h")]
#[derive(Clone, Default)]
struct Hops {
    n: u64,
}

#[table(session = "5s", grace = "1h")]
#[derive(Clone, Default)]
struct Bursts {
    n: u64,
}

impl Merge for Bursts {
    fn merge(&mut self, later: Self) {
        self.n += later.n;
    }
}

#[table(sliding = "10s", grace = "1h")]
#[derive(Clone, Default)]
struct Slides {
    n: u64,
}

#[agent(topic = "acts")]
async fn act(
    act: Event<Act>,
    mut tens: Table<Tens>,
    mut hops: Table<Hops>,
    mut bursts: Table<Bursts>,
    mut slides: Table<Slides>,
) {
    let key = act.key();
    match act.kind {
        0 => {
            tens.update(key, |row| row.n += 1);
            hops.update(key, |row| row.n += 1);
            bursts.update(key, |row| row.n += 1);
            slides.update(key, |row| row.n += 1);
        }
        1 => {
            // What is removed is what could be read.
            assert_eq!(tens.windows(key).len(), tens.remove(key).len());
            assert_eq!(hops.windows(key).len(), hops.remove(key).len());
            assert_eq!(bursts.windows(key).len(), bursts.remove(key).len());
            assert_eq!(slides.windows(key).len(), slides.remove(key).len());
            assert!(tens.windows(key).is_empty() && slides.windows(key).is_empty());
        }
        _ => {
            let there = tens.at(key, act.of).is_some();
            assert_eq!(tens.remove_at(act.of, key).is_some(), there);
            hops.remove_at(act.of, key);
            bursts.remove_at(act.of, key);
            assert!(bursts.at(key, act.of).is_none());
        }
    }
}

macro_rules! tells {
    ($($agent:ident $table:ident $sink:literal)*) => {$(
        #[agent(on_close = $table, sink = $sink)]
        async fn $agent(window: Closed<$table>) -> Told {
            Told { start: window.start(), end: window.end(), n: window.n }
        }
    )*};
}
tells!(tens_over Tens "tens" hops_over Hops "hops" bursts_over Bursts "bursts" slides_over Slides "slides");

fn second(n: i64) -> DateTime<Utc> {
    at("2026-01-01T00:00:00Z") + TimeDelta::seconds(n)
}

/// Start, end and count of each window of a key, by its end.
type Windows = BTreeMap<(String, i64), (i64, u64)>;

const SECOND: i64 = 1000;

/// What must be told of each sink, from what was done, each key in its order.
fn expected(acts: &[(String, i64, u8, i64)]) -> BTreeMap<&'static str, Windows> {
    let (mut tens, mut hops) = (Windows::new(), Windows::new());
    // Of each key the sessions as (first, last, count), and the times of its records.
    let mut bursts: BTreeMap<&String, Vec<(i64, i64, u64)>> = BTreeMap::new();
    let mut times: BTreeMap<&String, Vec<i64>> = BTreeMap::new();
    let starts = |time: i64, step: i64| {
        (-30..120)
            .map(move |n| n * step)
            .filter(move |start| (*start..start + 10 * SECOND).contains(&time))
    };
    for (key, time, kind, of) in acts {
        let sessions = bursts.entry(key).or_default();
        match kind {
            0 => {
                for (windows, step) in [(&mut tens, 10 * SECOND), (&mut hops, 4 * SECOND)] {
                    for start in starts(*time, step) {
                        let window = windows.entry((key.clone(), start + 10 * SECOND));
                        window.or_insert((start, 0)).1 += 1;
                    }
                }
                let near = |(first, last, _): &(i64, i64, u64)| {
                    time - last <= 5 * SECOND && first - time <= 5 * SECOND
                };
                let mut joined = (*time, *time, 1);
                for (first, last, n) in sessions.iter().filter(|s| near(s)) {
                    joined = (joined.0.min(*first), joined.1.max(*last), joined.2 + n);
                }
                sessions.retain(|session| !near(session));
                sessions.push(joined);
                times.entry(key).or_default().push(*time);
            }
            1 => {
                tens.retain(|(of, _), _| of != key);
                hops.retain(|(of, _), _| of != key);
                sessions.clear();
                times.remove(key);
            }
            _ => {
                for (windows, step) in [(&mut tens, 10 * SECOND), (&mut hops, 4 * SECOND)] {
                    if let Some(start) = starts(*of, step).next_back() {
                        windows.remove(&(key.clone(), start + 10 * SECOND));
                    }
                }
                sessions.retain(|(first, last, _)| !(*first..last + 5 * SECOND + 1).contains(of));
            }
        }
    }
    let mut sessions = Windows::new();
    for (key, all) in bursts {
        for (first, last, n) in all {
            sessions.insert((key.clone(), last + 5 * SECOND + 1), (first, n));
        }
    }
    let mut slides = Windows::new();
    for (key, times) in times {
        let ends = times.iter().flat_map(|t| [*t, t + 10 * SECOND + 1]);
        for end in ends {
            let start = end - 10 * SECOND;
            let n = times.iter().filter(|t| (start..=end).contains(*t)).count();
            if n > 0 {
                slides.insert((key.clone(), end + 1), (start, n as u64));
            }
        }
    }
    [
        ("tens", tens),
        ("hops", hops),
        ("bursts", sessions),
        ("slides", slides),
    ]
    .into()
}

#[test]
fn removed_rows_stay_removed_and_do_not_close_whatever_fails_meanwhile() {
    for seed in seeds(30) {
        let acts = RefCell::new(Vec::new());
        let app = TestApp::only((act, tens_over, hops_over, bursts_over, slides_over))
            .partitions(2)
            .workers(2);
        let input = |app: &mut TestApp, random: &mut Random| {
            let key = format!("k{}", random.u8(..3));
            let (time, of) = (random.i64(0..60), random.i64(0..60));
            let kind = match random.u8(..100) {
                0..75 => 0,
                75..85 => 1,
                _ => 2,
            };
            let act = Act {
                at: second(time),
                kind,
                of: second(of),
            };
            app.send("acts", key.as_str(), act);
            acts.borrow_mut()
                .push((key, time * SECOND, kind, of * SECOND));
        };
        TestApp::simulate(seed)
            .app(app)
            .steps(150)
            .input(input)
            .check(|app| {
                app.close_until(second(20_000));
                let zero = second(0).timestamp_millis();
                for (sink, windows) in expected(&acts.borrow()) {
                    let told: Vec<_> = app.sent::<Told>(sink);
                    let found: Windows = told
                        .iter()
                        .map(|told| {
                            let ms = |time: DateTime<Utc>| time.timestamp_millis() - zero;
                            ((told.key(), ms(told.end)), (ms(told.start), told.n))
                        })
                        .collect();
                    assert_eq!(found, windows, "{sink} after {:?}", acts.borrow());
                    assert_eq!(told.len(), windows.len(), "{sink}: each once");
                }
            });
    }
}

#[table(tumbling = "10s", retention = "1h")]
#[derive(Clone, Default)]
struct Kept {
    n: u64,
}

#[table(value = u64)]
struct Plains;

/// Counts; what is not counted asks for all to be forgotten.
#[agent(topic = "kept-acts", sink = "read")]
async fn keep(
    act: Event<Option<Act>>,
    mut kept: Table<Kept>,
    mut plain: Table<Plains>,
) -> Option<String> {
    let Some(_) = &*act else {
        let gone = kept.remove(act.key());
        let row: Option<u64> = plain.remove(act.key());
        return Some(format!(
            "{:?} {row:?} left {:?} {:?}",
            gone.iter().map(|window| window.value.n).collect::<Vec<_>>(),
            kept.windows(act.key()).len(),
            plain.get(act.key())
        ));
    };
    kept.update(act.key(), |row| row.n += 1);
    plain.update(act.key(), |n| *n += 1);
    None
}

#[agent(on_close = Kept, sink = "kept-over")]
async fn kept_over(window: Closed<Kept>) -> Told {
    Told {
        start: window.start(),
        end: window.end(),
        n: window.n,
    }
}

#[test]
fn windows_that_have_closed_are_removed_too_and_for_good() {
    for disturb in [
        (|_| ()) as fn(&mut TestApp),
        TestApp::crash,
        TestApp::restart_with_empty_disk,
        TestApp::fail_next_commit,
        |app| {
            app.store();
            app.crash();
        },
    ] {
        let mut app = TestApp::only((keep, kept_over));
        for (key, time) in [("ann", 1), ("ann", 2), ("bob", 3), ("ann", 12), ("ann", 25)] {
            let act = Act {
                at: second(time),
                kind: 0,
                of: second(0),
            };
            app.send("kept-acts", key, act);
        }
        app.settle();
        disturb(&mut app);
        app.send_raw("kept-acts", Some(b"ann"), None);
        let read: Vec<String> = app
            .sent("read")
            .into_iter()
            .map(|r: Sent<String>| r.into_value())
            .collect();
        assert_eq!(read, ["[2, 1, 1] Some(4) left 0 None"]);
        disturb(&mut app);
        app.send_raw("kept-acts", Some(b"ann"), None);
        app.send_raw("kept-acts", Some(b"bob"), None);
        let read: Vec<String> = app
            .sent("read")
            .into_iter()
            .map(|r: Sent<String>| r.into_value())
            .collect();
        assert_eq!(
            read[1..],
            ["[] None left 0 None", "[1] Some(1) left 0 None"]
        );
        app.close_until(second(100));
        let told: Vec<_> = app.sent::<Told>("kept-over");
        let told: Vec<(String, u64)> = told.iter().map(|told| (told.key(), told.n)).collect();
        // [20, 30) was open: it does not close.
        assert_eq!(
            told,
            [("ann".into(), 2), ("bob".into(), 1), ("ann".into(), 1)]
        );
    }
}
