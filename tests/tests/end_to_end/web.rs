//! The worker's web server: the app's pages, health, metrics, ports.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tests::broker::{Broker, SharedApache};
use tests::client::{self, Isolation};
use tests::feed::{Feed, Outgoing};
use tests::http::{self, Answer};
use tests::leash::Leashed;
use tests::orders;
use tests::voltage::App;

const WITHIN: Duration = Duration::from_secs(60);

fn beside(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_beside")),
        &broker.bootstrap(),
    )
}

/// The app `faulty`, with three orders in each of two partitions behind it.
fn counted(broker: &Broker) -> App {
    let bootstrap = broker.bootstrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_faulty")), &bootstrap);
    client::create_topic(&bootstrap, "orders", 2, &[]).unwrap();
    orders::send(&bootstrap, orders::records(2, 1, 3));
    app.run(&app.until_caught_up(), WITHIN).unwrap();
    app
}

/// Asks until the answer is as it should be.
fn until(address: &str, path: &str, good: impl Fn(&Answer) -> bool) -> Answer {
    let start = Instant::now();
    loop {
        let answer = http::get(address, path).unwrap_or_else(|error| panic!("{path}: {error}"));
        if good(&answer) {
            return answer;
        }
        assert!(start.elapsed() < WITHIN, "{path}: {answer:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The worker sends so many records, and each once. Its partitions come back one by one after a failure: who is ready
/// has not done all that waited.
fn ends_with(worker: Leashed, bootstrap: &str, topic: &str, count: usize) {
    let sent = || client::read_all(bootstrap, topic, Isolation::Committed).unwrap();
    let began = Instant::now();
    while sent().len() < count {
        assert!(began.elapsed() < WITHIN, "{}", worker.output());
        thread::sleep(Duration::from_millis(100));
    }
    ends_well(worker);
    assert_eq!(sent().len(), count, "each once: {:?}", sent());
}

fn ends_well(mut worker: Leashed) {
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(WITHIN).unwrap().success(),
        "{}",
        worker.output()
    );
}

/// The value of a line of `/metrics`.
fn metric(text: &str, begins: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn pages_answer_from_committed_rows_and_send() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    for _ in 0..2 {
        app.run(&["send", "beside_words", "the", "--key", "the"], WITHIN)
            .unwrap();
    }
    let mut worker = app.start(&["worker", "--web-port", "0"]);
    let address = http::address_of(&mut worker).unwrap();
    assert_eq!(http::get(&address, "/health").unwrap().status, 200);
    until(&address, "/ready", |answer| answer.status == 200);
    until(&address, "/count/the", |answer| {
        answer.status == 200 && answer.body == "2"
    });
    assert_eq!(http::get(&address, "/count/nothing").unwrap().body, "null");

    let sent = http::request(&address, "POST", "/count/an%20apple", "3").unwrap();
    assert_eq!((sent.status, sent.body.as_str()), (202, "hello, an apple"));
    until(&address, "/count/an%20apple", |answer| answer.body == "3");
    let bad = http::request(&address, "POST", "/count/apple", "many").unwrap();
    assert_eq!(bad.status, 500);
    assert!(bad.body.contains("invalid digit"), "{bad:?}");
    assert_eq!(http::get(&address, "/panic").unwrap().status, 500);
    assert_eq!(http::get(&address, "/elsewhere").unwrap().status, 404);
    assert_eq!(
        http::request(&address, "PUT", "/count/the", "")
            .unwrap()
            .status,
        405
    );

    for (method, body, answer) in [
        ("PUT", "new", "put a new"),
        ("PATCH", "newer", "patch a newer"),
        ("DELETE", "", "delete a"),
    ] {
        let said = http::request(&address, method, "/note/a", body).unwrap();
        assert_eq!((said.status, said.body.as_str()), (200, answer));
    }
    assert_eq!(http::get(&address, "/note/a").unwrap().status, 405);

    // The two words sent, and the three of the page, whichever partitions they are in.
    let words = |text: &str| -> f64 {
        let lines = text
            .lines()
            .filter(|line| line.starts_with("stream_records_total{"));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    let metrics = until(&address, "/metrics", |answer| words(&answer.body) == 5.0).body;
    for (begins, value) in [
        (
            "stream_partition_state{task=\"0\",partition=\"0\",state=\"running\"}",
            1.0,
        ),
        (
            "stream_partition_state{task=\"0\",partition=\"0\",state=\"failed\"}",
            0.0,
        ),
        (
            "stream_lag_records{topic=\"beside_words\",partition=\"1\"}",
            0.0,
        ),
        ("stream_beside_failures_total{function=\"panics\"}", 1.0),
    ] {
        assert_eq!(metric(&metrics, begins), Some(value), "{begins}\n{metrics}");
    }
    assert!(metric(&metrics, "stream_commits_total").unwrap() >= 1.0);
    assert!(
        metrics.contains("stream_commit_seconds_bucket"),
        "{metrics}"
    );
    let home = http::get(&address, "/").unwrap().body;
    assert!(
        home.contains("<h2>beside_words</h2>") && home.contains("/count/{word}"),
        "{home}"
    );
    assert!(worker.output().contains("page `panics` /panic failed"));
    ends_well(worker);
}

// G13: A worker of which a partition has failed is not ready, and says why.
/// A partition that only a person can mend stays failed: the worker goes on with the others, is not ready, and says
/// why.
#[test]
fn a_worker_with_a_failed_partition_is_not_ready() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = counted(&broker);
    orders::send(&bootstrap, orders::records(2, 1, 2));
    client::delete_records(&bootstrap, "orders", 0, 4).unwrap();

    let mut worker = app.start(&["worker", "--web-port", "0"]);
    let address = http::address_of(&mut worker).unwrap();
    let answer = until(&address, "/ready", |answer| {
        answer.status == 503 && answer.body.contains("orders[0]: failed")
    });
    assert!(
        answer.body.contains("not ready") && answer.body.contains("were deleted"),
        "{answer:?}"
    );
    assert_eq!(http::get(&address, "/health").unwrap().status, 200);
    worker.signal("TERM").unwrap();
    let status = worker.wait(WITHIN).unwrap();
    assert_eq!(status.code(), Some(1), "{}", worker.output());
}

/// A sink that is deleted under a worker: what goes there waits and says so, the other agent of the same thread goes
/// on, and nothing is lost or doubled when the topic is back.
fn a_sink_that_is_gone_stops_only_what_sends_to_it(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = counted(broker);
    let strict = |amount| {
        let record = Outgoing {
            key: "s".into(),
            value: orders::order(amount, ""),
            partition: None,
        };
        let sent = Feed::start(&bootstrap, "strict_orders", [record], u64::MAX);
        sent.finish().unwrap();
    };
    let mut worker = app.start(&["worker", "--web-port", "0", "--threads", "1"]);
    let address = http::address_of(&mut worker).unwrap();
    until(&address, "/ready", |answer| answer.status == 200);
    client::delete_topics(&bootstrap, &["strict_totals"]).unwrap();
    strict(5);
    until(&address, "/ready", |answer| {
        answer.body.contains("the topic `strict_totals`")
    });
    let before = orders::totals(&bootstrap)["0-0"].len();
    for more in 1..=3 {
        orders::send_one(&bootstrap, "0-0", 7, 0);
        let began = Instant::now();
        while orders::totals(&bootstrap)["0-0"].len() < before + more {
            assert!(began.elapsed() < WITHIN, "{}", worker.output());
            thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(http::get(&address, "/ready").unwrap().status, 503);
    client::create_topic(&bootstrap, "strict_totals", 2, &[]).unwrap();
    until(&address, "/ready", |answer| answer.status == 200);
    ends_with(worker, &bootstrap, "strict_totals", 1);
    orders::assert_each_counted_once(&bootstrap);
}

#[test]
fn a_sink_that_is_gone_stops_only_what_sends_to_it_on_the_embedded_broker() {
    a_sink_that_is_gone_stops_only_what_sends_to_it(&Broker::embedded());
}

#[test]
fn a_sink_that_is_gone_stops_only_what_sends_to_it_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_sink_that_is_gone_stops_only_what_sends_to_it(&broker);
    }
}

/// A sink that is deleted under a worker: nothing is committed, so it is not ready, and says so within 10 s of the
/// commit.
fn a_worker_without_its_sink_is_not_ready(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = counted(broker);
    let mut worker = app.start(&["worker", "--web-port", "0"]);
    let address = http::address_of(&mut worker).unwrap();
    until(&address, "/ready", |answer| answer.status == 200);
    client::delete_topics(&bootstrap, &["totals"]).unwrap();
    orders::send(&bootstrap, orders::records(2, 1, 1));
    let began = Instant::now();
    let answer = until(&address, "/ready", |answer| answer.status == 503);
    assert!(
        began.elapsed() < Duration::from_secs(13),
        "{:?} {answer:?}",
        began.elapsed()
    );
    assert_eq!(http::get(&address, "/health").unwrap().status, 200);
    let metrics = http::get(&address, "/metrics").unwrap().body;
    assert_eq!(metric(&metrics, "stream_ready"), Some(0.0), "{metrics}");
    // It stays so between the attempts, and names the topic.
    let text = "the topic `totals`, which it sends to, does not exist any more";
    let answer = until(&address, "/ready", |answer| answer.body.contains(text));
    assert_eq!(answer.status, 503, "{answer:?}");
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(50));
        assert_eq!(http::get(&address, "/ready").unwrap().status, 503);
    }
    client::create_topic(&bootstrap, "totals", 2, &[]).unwrap();
    until(&address, "/ready", |answer| answer.status == 200);
    ends_with(worker, &bootstrap, "totals", 2);
}

#[test]
fn a_worker_without_its_sink_is_not_ready_on_the_embedded_broker() {
    a_worker_without_its_sink_is_not_ready(&Broker::embedded());
}

#[test]
fn a_worker_without_its_sink_is_not_ready_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_worker_without_its_sink_is_not_ready(&broker);
    }
}

#[test]
fn a_taken_port_is_said_and_the_usual_one_has_neighbours() {
    let broker = Broker::embedded();
    let app = beside(&broker);
    // A worker of another test may have it, and end at any moment: it is waited for. One that stays is as good as ours.
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 6066)).ok();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut held = bind();
    while held.is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
        held = bind();
    }
    let mut worker = app.start(&["worker"]);
    let line = worker.line_with("web: http://", WITHIN).unwrap();
    assert!(line.contains("(6066 is taken)"), "{line}");
    let address = http::address_of(&mut worker).unwrap();
    assert_eq!(http::get(&address, "/health").unwrap().status, 200);

    let port = address.rsplit(':').next().unwrap();
    let command = app.command(&["worker", "--web-port", port]);
    let text = app.fails(&command, WITHIN).unwrap();
    assert!(
        text.contains(&format!("web port {port}")) && text.contains("--without-web"),
        "{text}"
    );
    let mut silent = app.start(&["worker", "--without-web"]);
    silent.line_with("assigned", WITHIN).unwrap();
    assert!(!silent.output().contains("web"), "{}", silent.output());
}

/// A stream thread that does not turn for 10 s is not ready; when it turns again, it is. A handler that blocks it was
/// named before, and is not named twice.
#[test]
fn a_worker_whose_stream_thread_does_not_turn_is_not_ready() {
    let broker = Broker::embedded();
    let faulty = PathBuf::from(env!("CARGO_BIN_EXE_faulty"));
    let app = App::of(faulty, &broker.bootstrap());
    let mut worker = app.start(&["worker", "--threads", "1", "--web-port", "0"]);
    let address = http::address_of(&mut worker).unwrap();
    until(&address, "/ready", |answer| answer.status == 200);
    let order = orders::order(1, "stall");
    app.run(&["send", "strict_orders", &order, "--key", "k"], WITHIN)
        .unwrap();
    let not_ready = until(&address, "/ready", |answer| answer.status == 503);
    for text in ["does not turn", "the handler of agent `strict`, for 10 s"] {
        assert!(not_ready.body.contains(text), "no {text} in {not_ready:?}");
    }
    assert_eq!(http::get(&address, "/health").unwrap().status, 200);
    until(&address, "/ready", |answer| answer.status == 200);
    worker.signal("TERM").unwrap();
    assert!(worker.wait(WITHIN).unwrap().success());
    let output = worker.output();
    let lines = |text: &str| output.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("handler blocks its stream thread"), 1, "{output}");
    assert_eq!(lines("stream thread does not turn"), 0, "{output}");
    assert_eq!(lines("stream thread turns again"), 1, "{output}");
}

/// One that does not turn for as long as the group waits for it may be lost for good: the process is not healthy.
#[test]
fn a_worker_whose_stream_thread_may_be_lost_for_good_is_not_healthy() {
    let broker = Broker::embedded();
    let faulty = PathBuf::from(env!("CARGO_BIN_EXE_faulty"));
    let app = App::of(faulty, &broker.bootstrap());
    let config = app.file("turns.properties", "max.poll.interval.ms=12000\n");
    let mut worker = app.start(&[
        "worker",
        "--threads",
        "1",
        "--web-port",
        "0",
        "--config",
        &config,
    ]);
    let address = http::address_of(&mut worker).unwrap();
    until(&address, "/ready", |answer| answer.status == 200);
    let order = orders::order(1, "stall");
    app.run(&["send", "strict_orders", &order, "--key", "k"], WITHIN)
        .unwrap();
    let lost = until(&address, "/health", |answer| answer.status == 503);
    for text in ["stream thread 0 is lost", "the handler of agent `strict`"] {
        assert!(lost.body.contains(text), "no {text} in {lost:?}");
    }
    // It turns again after all.
    until(&address, "/health", |answer| answer.status == 200);
}
