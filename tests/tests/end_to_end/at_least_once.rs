//! At-least-once: nothing missing after a crash, and nothing repeated without one.

use std::time::Duration;
use tests::broker::Broker;
use tests::chaos::Chaos;
use tests::client;
use tests::data;
use tests::feed::Meters;
use tests::progress::Progress;
use tests::voltage::{self, App};

const MINUTES: Duration = Duration::from_secs(240);
const INPUT: &str = "voltage_input";
/// The readings are of 2006: a broker that keeps a week would delete them at once.
const FOREVER: &[(&str, &str)] = &[("retention.ms", "-1")];

fn worker(app: &App, guarantee: &str, more: &[&str]) -> Vec<String> {
    let mut args = app.impatient();
    args.extend(["--processing-guarantee".to_owned(), guarantee.to_owned()]);
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    args
}

fn meters() -> Meters {
    let (rows, _) = data::household();
    Meters {
        readings: data::readings(&rows).unwrap(),
        meters: 8,
    }
}

#[test]
fn a_kill_loses_nothing() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let (app, mut chaos, meters) = (App::voltage(&bootstrap), Chaos::new(), meters());
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let feed = meters.feed(&bootstrap, INPUT, 20);
    let progress = Progress::of(&bootstrap, "voltage", INPUT);
    for _ in 0..3 {
        let before = progress.committed();
        let mut killed = app.start(&worker(&app, "at_least_once", &[]));
        progress.wait_past(before);
        chaos.sleep(Duration::from_millis(1000));
        killed.kill();
        assert!(feed.goes_on(), "the input ended before the kill");
    }
    feed.finish().unwrap();
    app.run(
        &worker(&app, "at_least_once", &["--until-caught-up"]),
        MINUTES,
    )
    .unwrap();
    // Of an hour emitted twice the last counts; it may have counted the records after a commit twice, never too few.
    let mut last = std::collections::BTreeMap::new();
    for line in app.tail("voltage_avg").unwrap() {
        let (start, mean) = voltage::average(&line).unwrap();
        last.insert((line.key.unwrap(), start), mean.count);
    }
    let mut hours = 0;
    for (meter, expected) in meters.expected() {
        for (start, mean) in expected {
            let count = last.get(&(meter.clone(), start)).copied();
            assert!(
                count >= Some(mean.count),
                "{meter} {start}: {count:?} of {}",
                mean.count
            );
            hours += 1;
        }
    }
    assert_eq!(last.len(), hours, "hours that nobody sent");
}

/// Stopped in order in the middle of the input, again and again: not even at-least-once repeats anything.
fn orderly_restarts_repeat_nothing(guarantee: &str) {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let (app, mut chaos, meters) = (App::voltage(&bootstrap), Chaos::new(), meters());
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let feed = meters.feed(&bootstrap, INPUT, 20);
    for signal in ["TERM", "INT", "TERM", "INT"] {
        let mut stopped = app.start(&worker(&app, guarantee, &[]));
        // Before its first line a program has no handler of signals.
        stopped.line_with("", Duration::from_secs(10)).unwrap();
        chaos.sleep(Duration::from_millis(3000));
        stopped.signal(signal).unwrap();
        assert!(feed.goes_on(), "the input ended before the worker");
        assert!(
            stopped.wait(Duration::from_secs(15)).unwrap().success(),
            "{}",
            stopped.output()
        );
    }
    feed.finish().unwrap();
    app.run(&worker(&app, guarantee, &["--until-caught-up"]), MINUTES)
        .unwrap();
    data::assert_same(&app.averages().unwrap(), &meters.expected());
}

#[test]
fn at_least_once_repeats_nothing_without_a_crash() {
    orderly_restarts_repeat_nothing("at_least_once");
}

// G4: A restart in order repeats nothing.
#[test]
fn exactly_once_repeats_nothing_without_a_crash() {
    orderly_restarts_repeat_nothing("exactly_once");
}
