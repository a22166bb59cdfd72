//! One fault a test: what it does to a worker, what the worker says, and that nothing is lost or doubled.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::broker::Broker;
use tests::client::{self, OpenTransaction};
use tests::leash::Leashed;
use tests::orders::{self, CHANGELOG, INPUT};
use tests::progress::Progress;
use tests::voltage::App;

const MINUTE: Duration = Duration::from_secs(60);
const GROUP: &str = "faulty";

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_faulty")),
        &broker.bootstrap(),
    )
}

fn caught_up(app: &App) -> Vec<String> {
    let mut args = app.impatient();
    args.push("--until-caught-up".into());
    args
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

/// Somebody's transaction is open in a changelog, longer than it may be: the stalled partition is named with table and
/// offsets, tried again while the other runs, and comes back by itself once the transaction is over.
#[test]
fn a_stalled_recovery_names_its_place_and_comes_back_by_itself() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    orders::create(&bootstrap, 2);
    orders::send(&bootstrap, orders::records(2, 1, 20));
    app.run(&caught_up(&app), MINUTE).unwrap();

    let open = OpenTransaction::write(&bootstrap, CHANGELOG, 0, 5 * MINUTE).unwrap();
    // Their next orders: the one of partition 1 is counted at once, the other when its partition is back.
    orders::send_one(&bootstrap, "0-0", 7, 0);
    orders::send_one(&bootstrap, "1-0", 7, 1);
    let mut worker = app.start(&app.impatient());
    wait_until("the other partition's total", MINUTE, || {
        has_total(&broker, "1-0", (21, 217))
    });
    let line = worker.line_with("retrying", MINUTE).unwrap();
    for named in [
        "orders[0]",
        "table `orders`",
        CHANGELOG,
        "at offset",
        "attempt 2",
    ] {
        assert!(line.contains(named), "{named} in {line}");
    }
    assert!(!has_total(&broker, "0-0", (21, 217)));
    open.abort().unwrap();
    wait_until("the stalled partition's total", MINUTE, || {
        has_total(&broker, "0-0", (21, 217))
    });
    stop(&mut worker);
    assert_eq!(orders::assert_each_counted_once(&bootstrap), 42);
}

/// Offsets moved back by hand, without the tables: that partition refuses and names both offsets and the cure, the
/// others are worked off, the exit code says that something is left.
#[test]
fn offsets_reset_by_hand_are_refused_until_the_tables_are_reset_too() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    orders::create(&bootstrap, 2);
    orders::send(&bootstrap, orders::records(2, 1, 20));
    app.run(&caught_up(&app), MINUTE).unwrap();
    client::set_committed(&bootstrap, GROUP, INPUT, 0, 5).unwrap();
    orders::send_one(&bootstrap, "0-0", 7, 0);
    orders::send_one(&bootstrap, "1-0", 7, 1);

    let mut worker = app.start(&caught_up(&app));
    let status = worker.wait(MINUTE).unwrap();
    let output = worker.output();
    assert_eq!(status.code(), Some(1), "{output}");
    for named in ["orders[0]", "offset is 5", "at 20", "reset"] {
        assert!(output.contains(named), "{named} in {output}");
    }
    assert!(has_total(&broker, "1-0", (21, 217)), "the other goes on");
    assert!(
        has_total(&broker, "0-0", (20, 210)),
        "nothing is counted twice"
    );

    // The cure: everything is counted anew, from nothing.
    app.run(&["reset", "--yes"], MINUTE).unwrap();
    app.run(&caught_up(&app), MINUTE).unwrap();
    let totals = orders::totals(&bootstrap);
    for key in ["0-0", "1-0"] {
        let anew = &totals[key][totals[key].len() - 21..];
        assert_eq!(anew.first(), Some(&(1, 1)), "{key}");
        assert_eq!(anew.last(), Some(&(21, 217)), "{key}");
    }
    let progress = Progress::of(&bootstrap, GROUP, INPUT);
    assert_eq!(progress.left(), 0);
}
