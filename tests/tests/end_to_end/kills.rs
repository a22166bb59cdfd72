//! Workers killed at random moments while input keeps coming: every hour comes out once, and right.

use std::time::{Duration, Instant};
use tests::broker::{Broker, SharedApache};
use tests::chaos::Chaos;
use tests::client::{self, Isolation};
use tests::data::{self, Hours};
use tests::feed::Meters;
use tests::progress::Progress;
use tests::voltage::App;

const MINUTES: Duration = Duration::from_secs(240);
const INPUT: &str = "voltage_input";
/// The readings are of 2006: a broker that keeps a week would delete them at once.
const FOREVER: &[(&str, &str)] = &[("retention.ms", "-1")];

/// Returns the file of the tutorial's readings.
fn rows() -> std::path::PathBuf {
    data::household().0
}

fn readings() -> Vec<data::Reading> {
    data::readings(&rows()).unwrap()
}

/// One worker, killed ten times while `produce --rate` feeds it: half of the times at any moment from its start on,
/// half of them at any moment after it has made progress.
fn ten_kills(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let (app, mut chaos) = (App::voltage(&bootstrap), Chaos::new());
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    // Enough for a minute, whatever the file's length.
    let rate = (readings().len() / 60).to_string();
    let mut producer = app.start(&["produce", rows().to_str().unwrap(), "--rate", &rate]);
    let (mut kills, progress) = (0, Progress::of(&bootstrap, "voltage", INPUT));
    while kills < 10 {
        assert!(
            producer.ended().is_none(),
            "the input ended after {kills} kills:\n{}",
            producer.output()
        );
        let before = progress.committed();
        let mut worker = app.start(&app.impatient());
        if kills % 2 == 0 {
            progress.wait_past(before);
        }
        chaos.sleep(Duration::from_millis(1500));
        assert!(
            worker.ended().is_none(),
            "the worker ended by itself:\n{}",
            worker.output()
        );
        worker.kill();
        if producer.ended().is_none() || progress.left() > 0 {
            kills += 1;
        }
    }
    assert!(
        producer.wait(MINUTES).unwrap().success(),
        "{}",
        producer.output()
    );
    finish(
        &app,
        [("power".to_owned(), data::hourly(readings()))].into(),
    );
}

/// A last worker works off what is left, and all is compared.
fn finish(app: &App, expected: std::collections::BTreeMap<String, Hours>) {
    app.run(&app.until_caught_up(), MINUTES).unwrap();
    data::assert_same(&app.averages().unwrap(), &expected);
}

#[test]
fn ten_kills_on_the_embedded_broker() {
    ten_kills(&Broker::embedded());
}

// G1: Whatever crashes, every record counts once in every table, and every result is read once by those who read what
// is committed.
#[test]
fn ten_kills_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    ten_kills(&broker);
}

/// Two workers share four partitions; one of them is killed, comes back, and then the other is.
fn one_of_two(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let (app, mut chaos) = (App::voltage(&bootstrap), Chaos::new());
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let meters = Meters {
        readings: readings(),
        meters: 8,
    };
    let feed = meters.feed(&bootstrap, INPUT, 25);
    let progress = Progress::of(&bootstrap, "voltage", INPUT);
    let mut workers = [app.start(&app.impatient()), app.start(&app.impatient())];
    for victim in [0, 1, 0] {
        wait_for_members(&bootstrap, 2);
        progress.wait_for_more();
        chaos.sleep(Duration::from_millis(1500));
        assert!(
            workers[victim].ended().is_none(),
            "it ended by itself:\n{}",
            workers[victim].output()
        );
        workers[victim].kill();
        assert!(feed.goes_on(), "the input ended before the kill");
        // The other one goes on with all partitions.
        progress.wait_for_more();
        workers[victim] = app.start(&app.impatient());
    }
    feed.finish().unwrap();
    let [first, mut second] = workers;
    drop(first);
    second.signal("TERM").unwrap();
    assert!(
        second.wait(Duration::from_secs(20)).unwrap().success(),
        "{}",
        second.output()
    );
    finish(&app, meters.expected());
}

/// Waits until so many processes are in the group: each stream thread is a member.
fn wait_for_members(bootstrap: &str, workers: usize) {
    let threads = std::thread::available_parallelism().unwrap().get();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (state, members) = client::group(bootstrap, "voltage").unwrap();
        // More than four threads have nothing to read, and need not join.
        if state == "Stable" && members >= (workers * threads).min(4) {
            return;
        }
        assert!(
            Instant::now() < until,
            "the group is {state} with {members} members"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn one_of_two_workers_killed_on_the_embedded_broker() {
    one_of_two(&Broker::embedded());
}

#[test]
fn one_of_two_workers_killed_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    one_of_two(&broker);
}

/// The broker itself is killed while everything runs; it keeps what it acknowledged.
#[test]
fn the_broker_killed_three_times() {
    let mut broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let (app, mut chaos) = (App::voltage(&bootstrap), Chaos::new());
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let meters = Meters {
        readings: readings(),
        meters: 8,
    };
    let feed = meters.feed(&bootstrap, INPUT, 20);
    let progress = Progress::of(&bootstrap, "voltage", INPUT);
    let mut worker = app.start(&app.impatient());
    for _ in 0..3 {
        progress.wait_for_more();
        chaos.sleep(Duration::from_millis(1500));
        assert!(feed.goes_on(), "the input ended before the kill");
        broker.kill();
        chaos.sleep(Duration::from_millis(1500));
        broker.restart();
    }
    feed.finish().unwrap();
    let kept: i64 = client::end_offsets(&bootstrap, INPUT, Isolation::Uncommitted)
        .unwrap()
        .iter()
        .sum();
    assert_eq!(
        kept,
        meters.records().len() as i64,
        "the broker keeps every acknowledged record once"
    );
    assert!(
        worker.ended().is_none(),
        "the worker ended by itself:\n{}",
        worker.output()
    );
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(Duration::from_secs(20)).unwrap().success(),
        "{}",
        worker.output()
    );
    finish(&app, meters.expected());
}
