//! Time behind `group_by` and a join's `on`, in real workers: a day that lies there when they start comes to what it
//! would have come to live.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::broker::Broker;
use tests::client;
use tests::http;
use tests::leash::Leashed;
use tests::voltage::App;

const WITHIN: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 4;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;
const VIEWS: i64 = 3_000;
const ORDERS: i64 = 480;

/// Views of one day in the order of time: user, page, time.
fn day() -> Vec<(String, String, i64)> {
    let view = |i: i64| {
        let (user, page) = (
            format!("user-{}", i * 31 % 97),
            format!("page-{}", i * 7 % 13),
        );
        (user, page, BEGIN + i * 24 * HOUR / VIEWS)
    };
    (0..VIEWS).map(view).collect()
}

/// Views by page and hour, of the hours that are over when all have come.
type Counts = BTreeMap<(String, i64), u64>;

fn truth() -> Counts {
    let day = day();
    let last = day.last().map_or(0, |(_, _, at)| *at);
    let mut counts = Counts::new();
    for (_, page, at) in day {
        let hour = at.div_euclid(HOUR);
        if (hour + 1) * HOUR + 60_000 <= last {
            *counts.entry((page, hour)).or_default() += 1;
        }
    }
    counts
}

/// Views of all pages by parts of the day, of so many hours, whose hours are over when all have come; each with its
/// first hour.
fn parts(hours: i64) -> BTreeMap<i64, u64> {
    let mut parts = BTreeMap::new();
    for (_, _, at) in day() {
        let from = at.div_euclid(hours * HOUR) * hours;
        if from < BEGIN / HOUR + 24 - hours {
            *parts.entry(from).or_default() += 1;
        }
    }
    parts
}

struct Clicks(App);

impl Clicks {
    fn new(broker: &Broker) -> Self {
        let bootstrap = broker.bootstrap();
        for topic in ["views", "orders", "payments"] {
            client::create_topic(&bootstrap, topic, PARTITIONS, &[]).unwrap();
        }
        let program = PathBuf::from(env!("CARGO_BIN_EXE_clicks"));
        Clicks(App::of(program, &bootstrap))
    }

    fn send(&self, topic: &str, lines: &str) {
        let file = self.0.file(&format!("{topic}.jsonl"), lines);
        self.0
            .run(&["send", topic, "--file", &file], WITHIN)
            .unwrap();
    }

    fn send_views(&self, views: &[(String, String, i64)]) {
        let mut lines = String::new();
        for (user, page, at) in views {
            let _ = writeln!(lines, r#"{{"user":"{user}","page":"{page}","at":{at}}}"#);
        }
        self.send("views", &lines);
    }

    /// An order every three minutes; its payment comes five minutes after it, from somebody else.
    fn send_orders(&self) {
        let (mut orders, mut payments) = (String::new(), String::new());
        for i in 0..ORDERS {
            let at = BEGIN + i * 180_000;
            let _ = writeln!(orders, r#"{{"id":"order-{i}","at":{at}}}"#);
            let (payer, at) = (i * 17 % 41, at + 300_000);
            let _ = writeln!(
                payments,
                r#"{{"payer":"payer-{payer}","order":"order-{i}","at":{at}}}"#
            );
        }
        self.send("orders", &orders);
        self.send("payments", &payments);
    }

    fn start(&self) -> Leashed {
        let mut args = self.0.impatient();
        args.extend(["--threads", "2"].map(str::to_owned));
        let mut command = self.0.command(&args);
        // Hours of event time arrive at once: an idle source would be overtaken, and its records late.
        command.env("CLICKS_SOURCES_ARE_NEVER_IDLE", "1");
        self.0.start_command(&command)
    }

    /// Returns what was told of hours, each once.
    fn told(&self) -> Counts {
        let mut counts = Counts::new();
        for line in self.0.tail("page_hours").unwrap_or_default() {
            let page = line.value["page"].as_str().unwrap().to_owned();
            let hour = line.value["hour"].as_i64().unwrap();
            let views = line.value["views"].as_u64().unwrap();
            let before = counts.insert((page, hour), views);
            assert_eq!(before, None, "{line:?} was told twice");
        }
        counts
    }

    /// Returns what was told of parts of the day, `quarters` or `thirds`, each once.
    fn told_parts(&self, topic: &str) -> BTreeMap<i64, u64> {
        let mut parts = BTreeMap::new();
        for line in self.0.tail(topic).unwrap_or_default() {
            let from = line.value["from"].as_i64().unwrap();
            let before = parts.insert(from, line.value["views"].as_u64().unwrap());
            assert_eq!(before, None, "{line:?} was told twice");
        }
        parts
    }

    fn paid(&self) -> Vec<i64> {
        let number = |text: &str| text.strip_prefix("order-")?.parse().ok();
        let lines = self.0.tail("paid").unwrap_or_default();
        let mut all: Vec<i64> = lines
            .iter()
            .map(|line| line.value.as_str().and_then(number).unwrap())
            .collect();
        all.sort_unstable();
        all
    }

    fn until_all_is_told(&self, log: impl Fn() -> String) {
        let (start, truth) = (Instant::now(), truth());
        let orders: Vec<i64> = (0..ORDERS).collect();
        loop {
            let (told, paid) = (self.told(), self.paid());
            let (quarters, thirds) = (self.told_parts("quarters"), self.told_parts("thirds"));
            let all = told.len() >= truth.len() && paid.len() >= orders.len();
            if all && quarters.len() >= parts(6).len() && thirds.len() >= parts(8).len() {
                let wrong: Vec<_> = told
                    .iter()
                    .filter(|(at, n)| truth.get(at) != Some(n))
                    .collect();
                assert!(wrong.is_empty() && told.len() == truth.len(), "{wrong:?}");
                assert_eq!(paid, orders);
                assert_eq!(quarters, parts(6), "the second stage");
                assert_eq!(thirds, parts(8), "the second stage by way of a topic");
                return;
            }
            assert!(
                start.elapsed() < WITHIN,
                "{} of {} hours, {} of {ORDERS} orders, quarters {quarters:?}, thirds {thirds:?}\n{}",
                told.len(),
                truth.len(),
                paid.len(),
                log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Nothing was late, and nobody said so.
fn is_in_time(log: &str) {
    assert!(!log.contains("came after their windows"), "{log}");
    assert!(!log.contains("dead letter"), "{log}");
}

fn end(workers: Vec<Leashed>) {
    for mut worker in workers {
        worker.signal("TERM").unwrap();
        assert!(worker.wait(WITHIN).unwrap().success());
        is_in_time(&worker.output());
    }
}

// G8: Behind a `group_by`, a backlog comes to what it would have come to live.
#[test]
fn a_backlog_behind_a_hop_comes_to_what_it_would_have_live() {
    let broker = Broker::embedded();
    let clicks = Clicks::new(&broker);
    clicks.send_views(&day());
    clicks.send_orders();
    // Caught up is: all sources have said that they have nothing more, and all of it is taken.
    let worker = clicks.0.run(&clicks.0.until_caught_up(), WITHIN).unwrap();
    is_in_time(&worker.output());
    clicks.until_all_is_told(String::new);
    let shown = clicks.0.tail("clicks-count-page-repartition").unwrap();
    assert!(shown.iter().all(|line| line.key.is_some()), "no watermarks");
    let args = ["tail", "clicks-count-page-repartition", "--from-beginning"];
    let with = [&args[..], &["--until-end", "--watermarks", "-p", "0"]].concat();
    let with = clicks.0.run(&with, WITHIN).unwrap().output();
    assert!(with.contains("(watermark: partition"), "{with}");
}

/// Before the first start lies most of a day, the rest comes while workers are killed.
fn workers_that_are_killed(broker: &Broker, count: usize) {
    let clicks = Clicks::new(broker);
    let day = day();
    let (backlog, live) = day.split_at(day.len() * 2 / 3);
    clicks.send_views(backlog);
    clicks.send_orders();
    let mut workers: Vec<Leashed> = (0..count).map(|_| clicks.start()).collect();
    let mut logs = String::new();
    for (at, some) in live.chunks(live.len().div_ceil(4)).enumerate() {
        clicks.send_views(some);
        if at < 2 {
            std::thread::sleep(Duration::from_millis(700));
            let mut killed = workers.remove(0);
            killed.kill();
            logs += &killed.output();
            workers.push(clicks.start());
        }
    }
    is_in_time(&logs);
    clicks.until_all_is_told(|| {
        let outputs: Vec<String> = workers.iter().map(Leashed::output).collect();
        outputs.join("\n---\n")
    });
    end(workers);
}

#[test]
fn three_workers_that_are_killed_behind_a_hop_count_all_in_time() {
    workers_that_are_killed(&Broker::embedded(), 3);
}

#[test]
fn two_workers_that_are_killed_behind_a_hop_count_all_in_time_on_apache_kafka() {
    if let Some(broker) = Broker::apache() {
        workers_that_are_killed(&broker, 2);
    }
}

/// Records of one partition of the views have gone before they were read, which stops it: what is behind the hop waits,
/// says for whom, and goes on after `hold`.
fn a_source_that_has_failed(guarantee: &str) {
    let broker = Broker::embedded();
    let clicks = Clicks::new(&broker);
    let bootstrap = broker.bootstrap();
    let with = |args: Vec<String>| {
        let more = ["--processing-guarantee", guarantee].map(str::to_owned);
        [args, more.to_vec()].concat()
    };
    let views = day();
    let (first, rest) = views.split_at(VIEWS as usize / 2);
    clicks.send_views(first);
    clicks
        .0
        .run(&with(clicks.0.until_caught_up()), WITHIN)
        .unwrap();
    let before = clicks.told();
    assert!(before.len() > 100, "{} hours", before.len());
    let read = client::end_offsets(&bootstrap, "views", client::Isolation::Committed).unwrap();
    clicks.send_views(rest);
    client::delete_records(&bootstrap, "views", 0, read[0] + 2).unwrap();

    let mut args = with(clicks.0.impatient());
    args.extend(["--threads", "2", "--web-port", "0"].map(str::to_owned));
    let mut command = clicks.0.command(&args);
    command.env("CLICKS_HOLD_MS", "8000");
    let mut worker = clicks.0.start_command(&command);
    let address = http::address_of(&mut worker).unwrap();
    let start = Instant::now();
    let held = "by views[0]: stopped";
    let page = loop {
        let page = http::get(&address, "/").unwrap().body;
        if page.contains(held) {
            break page;
        }
        assert!(start.elapsed() < WITHIN, "{page}\n{}", worker.output());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(page.contains("time held back for"), "{page}");
    let metrics = http::get(&address, "/metrics").unwrap().body;
    assert!(metrics.contains("stream_time_held_seconds{"), "{metrics}");
    assert_eq!(
        clicks.told(),
        before,
        "windows wait rather than being wrong"
    );
    worker
        .line_with(
            "stream time goes on without views[0], which has failed",
            WITHIN,
        )
        .unwrap();
    let start = Instant::now();
    // Some windows have had views of that partition alone.
    while clicks.told().len() < truth().len() - 10 {
        assert!(start.elapsed() < WITHIN, "{}", worker.output());
        std::thread::sleep(Duration::from_millis(200));
    }
    let ready = http::get(&address, "/ready").unwrap();
    assert_eq!(ready.status, 503, "a partition has failed");
    worker.signal("TERM").unwrap();
    worker.wait(WITHIN).unwrap();
}

#[test]
fn a_source_that_has_failed_is_waited_for_and_then_left_out() {
    a_source_that_has_failed("exactly-once");
}

#[test]
fn at_least_once_a_source_that_has_failed_is_left_out_too() {
    a_source_that_has_failed("at-least-once");
}
