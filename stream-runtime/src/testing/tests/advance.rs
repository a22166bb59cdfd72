//! The clock in one step and in many: both come to the same, over any number of stages.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::*;

#[record(timestamp = at)]
struct Click {
    at: i64,
}

#[table(session = "10m", grace = "1m", idle = "5s")]
#[derive(Clone, Default)]
struct AdvanceVisit {
    clicks: u64,
}

impl Merge for AdvanceVisit {
    fn merge(&mut self, later: Self) {
        self.clicks += later.clicks;
    }
}

#[agent(topic = "advance-clicks")]
async fn visit(click: Event<Click>, mut visits: Table<AdvanceVisit>) {
    visits.update(click.key(), |visit| visit.clicks += 1);
}

#[agent(on_close = AdvanceVisit, sink = "advance-visits")]
async fn visited(visit: Closed<AdvanceVisit>) -> String {
    format!("{} {}", visit.key(), visit.clicks)
}

/// Fed through a topic, and repartitioned: "k7 3" by its last digit.
#[table(tumbling = "1h", grace = "2m", idle = "7s", value = u64)]
struct AdvanceHour;

fn last_digit(visit: &str) -> String {
    visit.chars().last().unwrap_or('0').to_string()
}

#[agent(topic = "advance-visits", group_by = |visit: &String| last_digit(visit), name = "advance_hour")]
async fn hour(visit: Event<String>, mut hours: Table<AdvanceHour>) {
    hours.update(visit.key(), |n| *n += 1);
}

#[agent(on_close = AdvanceHour, sink = "advance-hours")]
async fn houred(hour: Closed<AdvanceHour>) -> String {
    format!("{} {}", hour.key(), *hour)
}

#[table(hopping = "3h", step = "1h", grace = "3m", idle = "3s", value = u64)]
struct AdvanceTop;

#[agent(topic = "advance-hours")]
async fn top(hour: Event<String>, mut tops: Table<AdvanceTop>) {
    tops.update(hour.key(), |n| *n += 1);
}

#[agent(on_close = AdvanceTop, sink = "advance-tops")]
async fn topped(top: Closed<AdvanceTop>) -> String {
    format!("{} {} {}", top.key(), top.start(), *top)
}

#[join(
    left = "advance-visits",
    right = "advance-other",
    within = "20m",
    grace = "1m",
    idle = "4s",
    sink = "advance-joined"
)]
async fn joined(visit: Option<String>, other: Option<String>) -> String {
    format!("{visit:?} {other:?}")
}

/// What has been tried once in this app.
#[derive(Clone, Default)]
struct Tried(Arc<Mutex<HashSet<String>>>);

impl Tried {
    fn first(&self, what: String) -> Result<()> {
        if self.0.lock().unwrap().insert(what) {
            Err("not at once")?;
        }
        Ok(())
    }
}

#[agent(topic = "advance-hours", sink = "advance-slow", backoff = "40s")]
async fn slow(hour: Event<String>, tried: State<Tried>) -> Result<String> {
    tried.first(format!("{} {}", hour.partition(), hour.offset()))?;
    Ok(hour.to_uppercase())
}

#[topic("advance-other", value = String)]
struct AdvanceOther;

#[timer("17m")]
async fn beat(due: Due, others: Producer<AdvanceOther>) -> Result<()> {
    others.send("k1", due.to_rfc3339()).await?;
    Ok(())
}

#[timer("13m", per = "partition")]
async fn tick(due: Due, hours: Table<AdvanceHour>, others: Topic<AdvanceOther>) -> Result<()> {
    let rows = hours.at("1", *due).unwrap_or_default();
    others.send("k2", format!("{due:?} {rows}")).await?;
    Ok(())
}

#[crontab("*/20 * * * *", backoff = "30s")]
async fn cron(due: Due, tried: State<Tried>, others: Producer<AdvanceOther>) -> Result<()> {
    tried.first(due.to_rfc3339())?;
    others.send("k3", due.to_rfc3339()).await?;
    Ok(())
}

const OUT: [&str; 6] = [
    "advance-visits",
    "advance-hours",
    "advance-tops",
    "advance-joined",
    "advance-slow",
    "advance-other",
];

struct Both {
    /// Advances in one step, and in many.
    apps: [TestApp; 2],
    random: fastrand::Rng,
    now: i64,
}

impl Both {
    fn advance(&mut self, by: i64) {
        let date = |ms: i64| DateTime::from_timestamp_millis(ms).unwrap();
        let (from, to) = (self.now, self.now + by);
        self.now = to;
        self.apps[0].advance_to(date(to));
        let mut at = from;
        while at < to {
            at = (at + self.random.i64(1..600_000)).min(to);
            self.apps[1].advance_to(date(at));
        }
    }

    fn send(&mut self, key: &str, at: i64) {
        self.now = self.now.max(at);
        for app in &mut self.apps {
            app.send("advance-clicks", key, Click { at });
        }
    }

    fn sent(&mut self) -> [Vec<String>; 2] {
        self.apps.each_mut().map(|app| {
            let mut all = vec![format!("late {}", app.late())];
            for topic in OUT {
                for sent in app.sent::<String>(topic) {
                    let (partition, time) = (sent.partition(), sent.timestamp());
                    let key = sent.key::<Option<String>>();
                    all.push(format!("{topic}[{partition}] {time} {key:?} {}", *sent));
                }
            }
            all
        })
    }
}

#[test]
fn the_clock_in_one_step_comes_to_the_same_as_in_many() {
    let mut results = 0;
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let partitions = random.i32(1..4);
        let workers = random.usize(1..3);
        let app = || {
            let agents = (
                visit, visited, hour, houred, top, topped, joined, slow, beat, tick, cron,
            );
            TestApp::only(agents)
                .partitions(partitions)
                .workers(workers)
                .state(Tried::default())
        };
        let start = 1_166_289_840_000 + random.i64(0..3_600_000);
        let mut both = Both {
            apps: [app(), app()],
            random,
            now: start,
        };
        // The clock starts here, and not in 1970.
        both.send("k0", start);
        for _ in 0..10 {
            for _ in 0..both.random.usize(0..4) {
                let key = format!("k{}", both.random.u8(0..4));
                let at = both.now + both.random.i64(-400_000..900_000);
                both.send(&key, at);
            }
            let by = match both.random.u8(0..4) {
                0 => both.random.i64(1..60_000),
                1 | 2 => both.random.i64(1..3 * 3_600_000),
                _ => both.random.i64(1..9 * 3_600_000),
            };
            both.advance(by);
        }
        let [one, many] = both.sent();
        assert_eq!(one, many, "seed {seed}");
        results += one.len();
    }
    assert!(results > 2_000, "{results}");
}

#[test]
fn a_day_in_one_step_closes_every_stage_in_its_time() {
    let mut app = TestApp::only((visit, visited, hour, houred, top, topped));
    let start = at("2026-01-01T08:00:00Z").timestamp_millis();
    for (key, minute) in [("a", 0), ("a", 5), ("b", 40), ("a", 50), ("c", 125)] {
        let at = start + minute * 60_000;
        app.send("advance-clicks", key, Click { at });
    }
    app.advance_to(at("2026-01-02T08:00:00Z"));
    let texts = |app: &mut TestApp, topic: &str| -> Vec<String> {
        let sent = app.sent::<String>(topic);
        sent.iter().map(|text| (**text).clone()).collect()
    };
    assert_eq!(
        texts(&mut app, "advance-visits"),
        ["a 2", "b 1", "a 1", "c 1"]
    );
    // Those of 8:15, 8:50 and 9:00, and that of 10:15.
    assert_eq!(app.late(), 0);
    assert_eq!(
        texts(&mut app, "advance-hours"),
        ["1 1", "2 1", "1 1", "1 1"]
    );
    assert_eq!(texts(&mut app, "advance-tops").len(), 8);
}
