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
