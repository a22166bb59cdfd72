//! Rows of all workers from each of them: by any key, all at once, while workers come, go, die and stand still.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::broker::Broker;
use tests::http::{self, Answer};
use tests::leash::Leashed;
use tests::voltage::{App, Line};

use crate::lookups::{self, BEGIN, MINUTE, NAMES};

pub const WITHIN: Duration = Duration::from_secs(90);
/// Enough for both partitions of the app to have some.
const WORDS: u64 = 12;

fn beside(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_beside")),
        &broker.bootstrap(),
    )
}

fn word(n: u64) -> String {
    format!("word-{n}")
}

/// Starts a worker with one thread; a dead one is missed after two seconds.
pub fn start(app: &App, more: &[&str]) -> (Leashed, String) {
    let mut args = app.impatient();
    args.extend(["--threads", "1", "--web-port", "0"].map(str::to_owned));
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let mut worker = app.start(&args);
    let address = http::address_of(&mut worker).unwrap();
    (worker, address)
}

pub fn until(what: &str, address: &str, path: &str, good: impl Fn(&Answer) -> bool) -> Answer {
    until_or(|| what.to_owned(), address, path, good)
}

/// As `until`; `what` is asked for when the time is over.
fn until_or(
    what: impl FnOnce() -> String,
    address: &str,
    path: &str,
    good: impl Fn(&Answer) -> bool,
) -> Answer {
    let start = Instant::now();
    loop {
        let answer = http::get(address, path).unwrap();
        if good(&answer) {
            return answer;
        }
        if start.elapsed() > WITHIN {
            panic!("{}: {path}: {answer:?}", what());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends the first words once more, word `n` `n + 1` times.
fn send(address: &str) {
    for n in 0..WORDS {
        let path = format!("/count/{}", word(n));
        let answer = http::request(address, "POST", &path, &(n + 1).to_string()).unwrap();
        // Once more after a failure may be twice.
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
    }
}

fn every_worker_answers_for_every_key(broker: &Broker) {
    let app = beside(broker);
    let workers: Vec<(Leashed, String)> = (0..3).map(|_| start(&app, &[])).collect();
    for (_, address) in &workers {
        until("ready", address, "/ready", |answer| answer.status == 200);
    }
    send(&workers[0].1);
    // Two partitions: one of the workers has none.
    for (_, address) in &workers {
        for n in 0..WORDS {
            let path = format!("/count/{}", word(n));
            let good = |answer: &Answer| answer.body == (n + 1).to_string();
            until("a row", address, &path, good);
        }
        let nothing = http::get(address, "/count/nothing").unwrap();
        assert_eq!((nothing.status, nothing.body.as_str()), (200, "null"));
    }
    let all: BTreeMap<String, u64> = (0..WORDS).map(|n| (word(n), n + 1)).collect();
    for (_, address) in &workers {
        let found = http::get(address, "/all").unwrap();
        let mut found: BTreeMap<String, u64> = serde_json::from_str(&found.body).unwrap();
        found.retain(|word, _| !word.starts_with("tick-"));
        assert_eq!(found, all);
    }
}

#[test]
fn every_worker_answers_for_every_key_on_the_embedded_broker() {
    every_worker_answers_for_every_key(&Broker::embedded());
}

#[test]
fn every_worker_answers_for_every_key_on_apache_kafka() {
    if let Some(broker) = Broker::apache() {
        every_worker_answers_for_every_key(&broker);
    }
}

/// Counts only grow: what anybody has read, nobody may read less of afterwards.
#[derive(Default)]
struct Seen(BTreeMap<u64, u64>);

impl Seen {
    fn look(&mut self, who: &str, address: &str, n: u64) -> bool {
        let least = self.0.get(&n).copied().unwrap_or(0);
        let Ok(answer) = http::get(address, &format!("/count/{}", word(n))) else {
            return false;
        };
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{who}: {answer:?}");
            return false;
        }
        let found: Option<u64> = serde_json::from_str(&answer.body).unwrap();
        let found = found.unwrap_or(0);
        assert!(
            found >= least,
            "{who}: {} was {least}, now {found}",
            word(n)
        );
        self.0.insert(n, found);
        true
    }
}

// G12: A read of another worker's rows may be late, and is never wrong.
#[test]
fn a_read_during_rebalances_may_be_late_and_is_never_wrong() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    let (first, address) = start(&app, &[]);
    until("ready", &address, "/ready", |answer| answer.status == 200);
    let mut seen = Seen::default();
    let mut rounds = 0;
    for turn in 0..3 {
        let (mut other, its) = start(&app, &[]);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(4) {
            send(&address);
            rounds += 1;
            for n in 0..WORDS {
                seen.look("the first", &address, n);
                seen.look("the other", &its, n);
            }
        }
        if turn == 1 {
            other.kill();
        } else {
            other.signal("TERM").unwrap();
            assert!(other.wait(WITHIN).unwrap().success(), "{}", other.output());
        }
    }
    for n in 0..WORDS {
        let truth = ((n + 1) * rounds).to_string();
        let path = format!("/count/{}", word(n));
        until_or(
            || format!("the end, {truth} to come: {}", first.output()),
            &address,
            &path,
            |answer| answer.body == truth,
        );
    }
}

#[test]
fn a_worker_that_stood_still_answers_only_when_the_group_has_confirmed_it() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    let (mut frozen, its) = start(&app, &[]);
    let (_other, address) = start(&app, &[]);
    let mut seen = Seen::default();
    for at in [&its, &address] {
        until("ready", at, "/ready", |answer| answer.status == 200);
    }
    send(&address);
    for n in 0..WORDS {
        let good = |answer: &Answer| answer.body == (n + 1).to_string();
        // Of both: so that the one that will stand still has been confirmed just now.
        for at in [&its, &address] {
            until("before", at, &format!("/count/{}", word(n)), good);
        }
        assert!(seen.look("before", &its, n));
    }
    frozen.signal("STOP").unwrap();
    // Questions that wait for it to go on.
    let mut waiting: Vec<(u64, TcpStream)> = Vec::new();
    for n in 0..WORDS {
        let mut stream = TcpStream::connect(&its).unwrap();
        write!(stream, "GET /count/{} HTTP/1.0\r\n\r\n", word(n)).unwrap();
        waiting.push((n, stream));
    }
    send(&address);
    for n in 0..WORDS {
        let twice = (2 * (n + 1)).to_string();
        let path = format!("/count/{}", word(n));
        until("meanwhile", &address, &path, |answer| answer.body == twice);
        assert!(seen.look("meanwhile", &address, n));
    }
    frozen.signal("CONT").unwrap();
    for n in 0..WORDS {
        seen.look("just thawed", &its, n);
    }
    for (n, mut stream) in waiting {
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let good = head.starts_with("HTTP/1.0 200") && body == (2 * (n + 1)).to_string();
        assert!(good || head.starts_with("HTTP/1.0 503"), "{answer}");
    }
    for n in 0..WORDS {
        let twice = (2 * (n + 1)).to_string();
        let path = format!("/count/{}", word(n));
        until("thawed", &its, &path, |answer| answer.body == twice);
    }
}

#[test]
fn a_row_of_a_dead_worker_names_where_it_was_until_another_has_it() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    // The group waits longer for the dead one than a reader does.
    let patient = ["--kafka", "session.timeout.ms=12000"];
    let (mut dead, its) = start(&app, &patient);
    let (_other, address) = start(&app, &patient);
    for at in [&its, &address] {
        until("ready", at, "/ready", |answer| answer.status == 200);
    }
    send(&address);
    for n in 0..WORDS {
        let path = format!("/count/{}", word(n));
        let good = |answer: &Answer| answer.body == (n + 1).to_string();
        until("before", &address, &path, good);
    }
    dead.kill();
    let mut named = 0;
    // Of the dead one's rows one is asked for: each takes as long as a reader waits.
    for n in 0..WORDS {
        let answer = http::get(&address, &format!("/count/{}", word(n))).unwrap();
        if answer.status == 503 {
            let text = answer.body;
            assert!(text.contains(&its) && text.contains("partition"), "{text}");
            named += 1;
            break;
        }
    }
    assert_eq!(named, 1, "nothing was with the dead worker");
    for n in 0..WORDS {
        let path = format!("/count/{}", word(n));
        let good = |answer: &Answer| answer.body == (n + 1).to_string();
        until("after", &address, &path, good);
    }
}

#[test]
fn a_worker_without_pages_still_answers_the_others() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    let (_one, address) = start(&app, &[]);
    let mut args = app.impatient();
    args.extend(["--threads", "1", "--without-web"].map(str::to_owned));
    let mut silent = app.start(&args);
    silent.line_with("running", WITHIN).unwrap();
    until("ready", &address, "/ready", |answer| answer.status == 200);
    send(&address);
    for n in 0..WORDS {
        let path = format!("/count/{}", word(n));
        let good = |answer: &Answer| answer.body == (n + 1).to_string();
        until("a row", &address, &path, good);
    }
    assert!(!silent.output().contains("web"), "{}", silent.output());
}

#[test]
fn rows_and_metrics_want_the_token_and_health_does_not() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    let (right, wrong) = (app.file("right", "s3cret\n"), app.file("wrong", "other\n"));
    let (one, address) = start(&app, &["--web-token-file", &right]);
    let (two, its) = start(&app, &["--web-token-file", &right]);
    for at in [&address, &its] {
        until("ready", at, "/ready", |answer| answer.status == 200);
        assert_eq!(http::get(at, "/health").unwrap().status, 200);
        for path in ["/metrics", "/"] {
            assert_eq!(http::get(at, path).unwrap().status, 401, "{path}");
            let shown = http::authorized(at, path, "s3cret").unwrap();
            assert_eq!(shown.status, 200, "{path}");
            let guessed = http::authorized(at, path, "s3cre").unwrap();
            assert_eq!(guessed.status, 401, "{path}");
        }
        let asked = http::request(at, "POST", "/_stream/read", "").unwrap();
        assert_eq!(asked.status, 401, "{asked:?}");
    }
    // The app's own pages are its own matter; what they read of the other worker is asked for with the token.
    send(&address);
    for at in [&address, &its] {
        for n in 0..WORDS {
            let path = format!("/count/{}", word(n));
            let good = |answer: &Answer| answer.body == (n + 1).to_string();
            until("a row", at, &path, good);
        }
    }
    let total = (WORDS * (WORDS + 1) / 2).to_string();
    let said = app.run(&["total", "--web-token-file", &right], WITHIN);
    assert!(said.unwrap().stdout().contains(&total));
    let command = app.command(&["total", "--web-token-file", &wrong]);
    let said = app.fails(&command, WITHIN).unwrap();
    assert!(said.contains("wants another token"), "{said}");
    for worker in [one, two] {
        assert!(!worker.output().contains("s3cret"), "{}", worker.output());
    }
}

#[test]
fn a_web_server_for_everybody_without_a_token_is_refused_with_the_cure() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    let command = app.command(&["worker", "--web-bind", "0.0.0.0", "--web-port", "0"]);
    let said = app.fails(&command, WITHIN).unwrap();
    assert!(
        said.contains("--web-bind 0.0.0.0") && said.contains("--web-token-file"),
        "{said}"
    );
}

#[test]
fn a_command_reads_rows_of_the_workers_and_says_when_there_are_none() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    let said = app.fails(&app.command(&["total"]), WITHIN).unwrap();
    assert!(said.contains("no worker of beside is running"), "{said}");
    let workers: Vec<(Leashed, String)> = (0..2).map(|_| start(&app, &[])).collect();
    until("ready", &workers[0].1, "/ready", |answer| {
        answer.status == 200
    });
    send(&workers[0].1);
    let total = (WORDS * (WORDS + 1) / 2).to_string();
    let start = Instant::now();
    loop {
        let said = app.run(&["total"], WITHIN).unwrap().stdout();
        if said.trim() == total {
            break;
        }
        assert!(start.elapsed() < WITHIN, "{said}");
    }
}

/// What a page of the app `readings` says.
fn page(address: &str, path: &str) -> serde_json::Value {
    let answer = http::get(address, path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn windows_are_read_by_time_by_key_and_all_at_once_from_every_worker() {
    let broker = Broker::embedded();
    let app = lookups::readings(&broker);
    let workers = lookups::two_workers(&app);
    let minute = |minute: i64| BEGIN + minute * MINUTE;
    let hours = json!([[minute(0), minute(60), 2]]);
    let leaps = json!([[minute(-30), minute(30), 2], [minute(0), minute(60), 2]]);
    let visits = json!([[minute(5), minute(37) + 1, 2]]);
    let slides = json!([
        [minute(-5), minute(5) + 1, 1],
        [minute(-3), minute(7) + 1, 2],
        [minute(5) + 1, minute(15) + 2, 1],
    ]);
    for (_, address) in &workers {
        for n in 0..NAMES {
            let at = |time: i64| page(address, &format!("/at/name%20{n}%2F/{}", minute(time)));
            assert_eq!(at(6), json!([2, 2]));
            // In the newest window that holds the time there is nothing, whatever an older one has.
            assert_eq!(at(40), json!([2, null]));
            assert_eq!(at(-10), json!([null, 2]));
            assert_eq!(at(100), json!([null, null]));
            let windows = page(address, &format!("/windows/name%20{n}%2F"));
            assert_eq!(windows, json!([visits, slides]));
        }
        assert_eq!(page(address, "/windows/nobody"), json!([[], []]));
        let all = page(address, "/all");
        for (table, expected) in [
            ("hours", &hours),
            ("leaps", &leaps),
            ("visits", &visits),
            ("slides", &slides),
        ] {
            let of = |n: i64| (format!("name {n}/"), expected.clone());
            let expected: serde_json::Map<_, _> = (0..NAMES).map(of).collect();
            assert_eq!(all[table], serde_json::Value::Object(expected), "{table}");
        }
    }
}

/// The reports of the example `daily_report` on the whole, in their order: shops, sales, cents.
fn reports(app: &App) -> Vec<[u64; 3]> {
    let lines = app.tail("reports").unwrap_or_default();
    let so_far = lines.iter().filter(|l| l.key.as_deref() == Some("so far"));
    let of = |line: &Line| ["shops", "sales", "cents"].map(|n| line.value[n].as_u64().unwrap());
    so_far.map(of).collect()
}

/// With one, two and three workers after each other, on what the ones before have left; a leader that dies is followed
/// by the next one.
fn the_daily_report_is_of_all_shops(broker: &Broker) {
    let app = App::of(
        tests::bins::example("daily_report").unwrap(),
        &broker.bootstrap(),
    );
    let shops = ["berlin", "paris", "rome", "oslo", "wien", "bern", "prag"];
    let sale = |n: usize| {
        let (shop, cents) = (shops[n % 7], 100 + n);
        format!("{{\"shop\":\"{shop}\",\"cents\":{cents}}}\n")
    };
    let file = app.file("sales.jsonl", &(0..21).map(sale).collect::<String>());
    for count in 1..=3 {
        let mut seen = reports(&app).len();
        app.run(&["send", "sales", "--file", &file], WITHIN)
            .unwrap();
        let sold = count as u64;
        let all = [7, 21 * sold, (21 * 100 + 210) * sold];
        let mut workers: Vec<(Leashed, String)> = (0..count).map(|_| start(&app, &[])).collect();
        loop {
            let began = Instant::now();
            loop {
                let reports = reports(&app);
                // Sales only come, and nobody reports more than all of them.
                let right = reports.is_sorted() && reports.iter().all(|report| *report <= all);
                assert!(right, "{count} workers: {reports:?}");
                if reports.len() > seen + 1 && reports.last() == Some(&all) {
                    seen = reports.len();
                    break;
                }
                assert!(began.elapsed() < WITHIN, "{count} workers: {reports:?}");
            }
            if workers.len() == 1 {
                break;
            }
            let leads = |(_, at): &(Leashed, String)| {
                let home = http::get(at, "/").unwrap().body;
                home.contains("the leader")
            };
            // The others take over, and the rows of the dead one as well.
            if let Some(leader) = workers.iter().position(leads) {
                workers.remove(leader).0.kill();
            }
        }
        for (mut worker, _) in workers {
            worker.signal("TERM").unwrap();
            assert!(worker.wait(WITHIN).unwrap().success());
            let log = worker.output();
            assert!(!log.contains("belongs to"), "{count} workers: {log}");
        }
    }
}

#[test]
fn the_daily_report_is_of_all_shops_with_one_two_and_three_workers() {
    the_daily_report_is_of_all_shops(&Broker::embedded());
}

#[test]
fn the_daily_report_is_of_all_shops_with_one_two_and_three_workers_on_apache_kafka() {
    if let Some(broker) = Broker::apache() {
        the_daily_report_is_of_all_shops(&broker);
    }
}
