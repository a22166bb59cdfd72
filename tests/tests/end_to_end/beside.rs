//! What runs beside the streams, in real workers: timers, crontabs, tasks, the leader.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::broker::Broker;
use tests::voltage::{App, Line};

const WITHIN: Duration = Duration::from_secs(60);

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_beside")),
        &broker.bootstrap(),
    )
}

/// What was seen under a key: words and processes, in order.
fn seen(lines: &[Line], key: &str) -> Vec<(String, u32)> {
    let of_key = lines.iter().filter(|line| line.key.as_deref() == Some(key));
    of_key
        .map(|line| {
            let what = line.value["what"].as_str().unwrap().to_owned();
            (what, line.value["process"].as_u64().unwrap() as u32)
        })
        .collect()
}

/// Looks at a topic until what is there is enough.
fn until(app: &App, topic: &str, enough: impl Fn(&[Line]) -> bool) -> Vec<Line> {
    let start = Instant::now();
    loop {
        // The topic may not be there yet.
        let lines = app.tail(topic).unwrap_or_default();
        if enough(&lines) {
            return lines;
        }
        assert!(
            start.elapsed() < WITHIN + Duration::from_secs(30),
            "{lines:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ticks are counted in the table and reported in the same transaction: no number is missing or there twice.
fn check_ticks(app: &App) -> u64 {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for line in app.tail("beside_ticks").unwrap() {
        let n = next.entry(line.key.clone().unwrap()).or_default();
        *n += 1;
        assert_eq!(
            line.value["what"].as_str().unwrap(),
            n.to_string(),
            "{line:?}"
        );
    }
    next.values().sum()
}

#[test]
fn timers_tasks_and_crontabs_run_beside_the_streams() {
    let broker = Broker::embedded();
    let app = app(&broker);
    for _ in 0..3 {
        app.run(&["send", "beside_words", "the", "--key", "the"], WITHIN)
            .unwrap();
    }
    let mut worker = app.start(&["worker"]);
    let lines = until(&app, "beside_seen", |lines| {
        let has = |key| !seen(lines, key).is_empty();
        let read = seen(lines, "read").iter().any(|(what, _)| what == "3");
        has("begin") && has("crowned") && has("lead") && has("trouble") && has("minute") && read
    });
    assert_eq!(seen(&lines, "begin"), [("hello".to_owned(), worker.pid())]);
    assert_eq!(seen(&lines, "crowned").len(), 1);
    let (second, _) = seen(&lines, "minute")[0].clone();
    assert!(
        second.parse::<u32>().unwrap() < 10,
        "the minute came at second {second}"
    );
    let log = worker.output();
    assert!(log.contains("timer `trouble` failed: no luck"), "{log}");
    assert!(
        log.contains("timer `trouble` failed: panicked: worse luck"),
        "{log}"
    );
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(WITHIN).unwrap().success(),
        "{}",
        worker.output()
    );
    let lines = app.tail("beside_seen").unwrap();
    let end = seen(&lines, "end");
    assert!(
        end.len() == 1 && end[0].0.contains("table `counts`"),
        "{end:?}"
    );
    assert!(check_ticks(&app) > 2);
}

#[test]
fn the_leader_is_one_and_another_follows() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let first = app.impatient();
    let mut workers = [app.start(&first), app.start(&first)];
    let lines = until(&app, "beside_seen", |lines| seen(lines, "lead").len() > 5);
    let leader = seen(&lines, "lead").last().unwrap().1;
    let at = workers
        .iter()
        .position(|worker| worker.pid() == leader)
        .unwrap();
    workers[at].kill();
    let follower = workers[1 - at].pid();
    let lines = until(&app, "beside_seen", |lines| {
        seen(lines, "lead")
            .iter()
            .filter(|(_, process)| *process == follower)
            .count()
            > 3
    });
    // Never back and forth: the dead one does not lead again, and each was crowned once.
    let led: Vec<u32> = seen(&lines, "lead")
        .iter()
        .map(|(_, process)| *process)
        .collect();
    let handed = led.iter().rposition(|process| *process == leader).unwrap();
    assert!(led[handed + 1..].iter().all(|process| *process == follower));
    let crowned: Vec<u32> = seen(&lines, "crowned")
        .iter()
        .map(|(_, process)| *process)
        .collect();
    assert!(
        crowned.contains(&leader) && crowned.contains(&follower),
        "{crowned:?}"
    );
    workers[1 - at].signal("TERM").unwrap();
    assert!(workers[1 - at].wait(WITHIN).unwrap().success());
    check_ticks(&app);
}

/// Minutes since 1970.
fn minute() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() / 60
}

/// The minutes that were called, by partition: each once, none left out, counted in the table.
fn check_calls(app: &App) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in app.tail("beside_calls").unwrap_or_default() {
        let minutes = all.entry(line.key.clone().unwrap()).or_default();
        let (minute, n) = line.value["what"]
            .as_str()
            .unwrap()
            .split_once(' ')
            .unwrap();
        minutes.push(minute.parse().unwrap());
        assert_eq!(n, minutes.len().to_string(), "{line:?}");
    }
    for (partition, minutes) in &all {
        let gaps = minutes.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        assert_eq!(gaps.count(), 0, "{partition}: {minutes:?}");
    }
    all
}

// G15: A call of a crontab per partition is made once for its time, also if its worker is killed.
#[test]
fn a_crontab_is_called_once_at_its_time_and_after_its_worker_was_killed() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let args = app.impatient();
    let mut workers = [app.start(&args), app.start(&args)];
    let led = |lines: &[Line]| -> Vec<(u64, u32)> {
        let led = seen(lines, "led").into_iter();
        led.map(|(minute, process)| (minute.parse().unwrap(), process))
            .collect()
    };
    // A minute that both workers see from its begin to its end.
    until(&app, "beside_seen", |lines| {
        workers.iter().all(|w| {
            seen(lines, "read")
                .iter()
                .any(|(_, process)| *process == w.pid())
        })
    });
    let from = minute();
    let lines = until(&app, "beside_seen", |lines| {
        led(lines).iter().any(|(minute, _)| *minute > from)
    });
    let (first, leader) = *led(&lines)
        .iter()
        .find(|(minute, _)| *minute > from)
        .unwrap();
    let again = led(&app.tail("beside_seen").unwrap());
    let calls = again.iter().filter(|(minute, _)| *minute == first).count();
    assert_eq!(calls, 1, "once over both: {again:?}");
    let calls = until_called(&app, first);
    assert_eq!(calls.len(), 2, "both partitions: {calls:?}");

    // The leader dies, and its partitions are the other's.
    let at = workers
        .iter()
        .position(|worker| worker.pid() == leader)
        .unwrap();
    workers[at].kill();
    let follower = workers[1 - at].pid();
    let lines = until(&app, "beside_seen", |lines| {
        led(lines)
            .iter()
            .any(|(minute, process)| *minute > first && *process == follower)
    });
    let mut minutes: Vec<u64> = led(&lines).iter().map(|(minute, _)| *minute).collect();
    let all = minutes.len();
    minutes.dedup();
    assert_eq!(minutes.len(), all, "none twice: {minutes:?}");
    until_called(&app, *minutes.last().unwrap());

    // Nobody has the partitions at the next minute; who comes then makes up for it.
    workers[1 - at].kill();
    let missed = minute() + 1;
    while minute() < missed {
        std::thread::sleep(Duration::from_millis(500));
    }
    let mut worker = app.start(&args);
    until_called(&app, missed);
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(WITHIN).unwrap().success(),
        "{}",
        worker.output()
    );
    let calls = check_calls(&app);
    assert!(
        calls.values().all(|minutes| minutes.contains(&missed)),
        "{calls:?}"
    );
}

/// Waits until each partition was called for a minute.
fn until_called(app: &App, minute: u64) -> BTreeMap<String, Vec<u64>> {
    let start = Instant::now();
    loop {
        let calls = check_calls(app);
        if calls.len() == 2 && calls.values().all(|minutes| minutes.contains(&minute)) {
            return calls;
        }
        assert!(
            start.elapsed() < WITHIN + Duration::from_secs(30),
            "{minute}: {calls:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_timer_of_each_worker_reads_the_rows_of_both() {
    let broker = Broker::embedded();
    let app = app(&broker);
    app.run(&["send", "beside_words", "the", "--key", "the"], WITHIN)
        .unwrap();
    let one_thread = ["worker", "--threads", "1"];
    let workers = [app.start(&one_thread), app.start(&one_thread)];
    until(&app, "beside_seen", |lines| {
        let read = seen(lines, "read");
        workers
            .iter()
            .all(|worker| read.contains(&("1".to_owned(), worker.pid())))
    });
}

#[test]
fn a_fatal_timer_ends_the_worker_with_its_reason() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let mut command = app.command(&["worker"]);
    command.env("FATAL", "1");
    let text = app.fails(&command, WITHIN);
    // It panics on purpose before.
    let text = text.unwrap_err().to_string();
    assert!(text.contains("timer `trouble`: fatal: enough"), "{text}");
}

#[test]
fn ticks_survive_kills() {
    let broker = Broker::embedded();
    let app = app(&broker);
    let worker = app.impatient();
    for round in 1..=4 {
        let mut process = app.start(&worker);
        let enough = round * 6;
        until(&app, "beside_ticks", |lines| lines.len() > enough);
        process.kill();
        if round == 2 {
            std::fs::remove_dir_all(app.dir().join(".stream")).unwrap();
        }
    }
    app.run(
        &[&worker[..], &["--until-caught-up".into()]].concat(),
        WITHIN,
    )
    .unwrap();
    assert!(check_ticks(&app) > 24);
}
