//! One fault a test: what it does to a worker, what the worker says, and that nothing is lost or doubled.

mod changelog;
pub mod closings;
mod coordinators;
mod disk;
mod foreign;
mod members;
mod offsets;
mod recovery;
mod settings;
mod transactions;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::broker::Broker;
use tests::client;
use tests::leash::Leashed;
use tests::orders::{self, CHANGELOG, INPUT};
use tests::voltage::App;

const MINUTE: Duration = Duration::from_secs(60);
const GROUP: &str = "faulty";

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_faulty")),
        &broker.bootstrap(),
    )
}

/// What a worker says that works off what there is and ends badly, with exit code 1.
fn ends_badly(app: &App) -> String {
    let mut worker = app.start(&app.until_caught_up());
    let status = worker.wait(MINUTE).unwrap();
    let output = worker.output();
    assert_eq!(status.code(), Some(1), "{output}");
    output
}

#[track_caller]
fn names(output: &str, all: &[&str]) {
    for named in all {
        assert!(output.contains(named), "{named:?} is not in:\n{output}");
    }
}

/// Twenty orders of one key in each of two partitions, counted.
fn counted(broker: &Broker, app: &App) {
    let bootstrap = broker.bootstrap();
    orders::create(&bootstrap, 2);
    orders::send(&bootstrap, orders::records(2, 1, 20));
    app.run(&app.until_caught_up(), MINUTE).unwrap();
}

/// After the cure everything there is in the input is counted again, from nothing: so many in each partition.
fn is_cured_by_reset(broker: &Broker, app: &App, last: (i64, i64)) {
    let before = orders::totals(&broker.bootstrap());
    app.run(&["reset", "--yes"], MINUTE).unwrap();
    app.run(&app.until_caught_up(), MINUTE).unwrap();
    let totals = orders::totals(&broker.bootstrap());
    for key in ["0-0", "1-0"] {
        let again = &totals[key][before.get(key).map_or(0, Vec::len)..];
        assert_eq!(again.first().map(|total| total.0), Some(1), "{key}");
        assert_eq!(again.last(), Some(&last), "{key}");
    }
}

/// Ends a worker in order.
fn stop(worker: &mut Leashed) {
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(MINUTE).unwrap().success(),
        "{}",
        worker.output()
    );
}

fn wait_until(what: &str, within: Duration, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + within;
    while !done() {
        assert!(Instant::now() < until, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a key's last total is this.
fn has_total(broker: &Broker, key: &str, total: (i64, i64)) -> bool {
    let totals = orders::totals(&broker.bootstrap());
    totals.get(key).and_then(|totals| totals.last()) == Some(&total)
}
