//! Transactions that do not come to their end.

use super::*;
use tests::broker::SharedApache;
use tests::client::Isolation;
use tests::progress::Progress;

/// A session much longer than a transaction, and commits all the time: whoever stops it stops it within one.
const BUSY: &str =
    "session.timeout.ms=45000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=2000\n";

fn busy(app: &App) -> Vec<String> {
    let properties = app.file("busy.properties", BUSY);
    let args = [
        "worker",
        "--threads",
        "1",
        "--commit-interval",
        "1ms",
        "--config",
        &properties,
    ];
    args.map(str::to_owned).into()
}

fn finish(broker: &Broker, app: &App, feed: tests::feed::Feed, mut worker: Leashed) {
    feed.stop().unwrap();
    Progress::of(&broker.bootstrap(), GROUP, INPUT).wait_for_all();
    stop(&mut worker);
    app.run(&app.until_caught_up(), MINUTE).unwrap();
    let compared = orders::assert_each_counted_once(&broker.bootstrap());
    println!("{compared} totals compared");
}

/// Whether a transaction with changes of the table is open.
fn in_transaction(bootstrap: &str) -> bool {
    let ends = |isolation| client::end_offsets(bootstrap, CHANGELOG, isolation).unwrap();
    ends(Isolation::Committed) != ends(Isolation::Uncommitted)
}

/// Frozen in mid-transaction for longer than it may take: the broker aborts it. The worker is still a member; it does
/// the work again, with a new producer.
fn a_transaction_aborted_by_its_timeout_is_done_again(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, 2);
    let feed = orders::feed(&bootstrap, 2, 1_000);
    let progress = Progress::of(&bootstrap, GROUP, INPUT);
    let mut worker = app.start(&busy(&app));
    progress.wait_for_more();
    let mut aborted = false;
    for attempt in 0..300 {
        worker.signal("STOP").unwrap();
        // What it had sent has arrived by then: a commit that was under way is made.
        std::thread::sleep(Duration::from_millis(100));
        if !in_transaction(&bootstrap) {
            worker.signal("CONT").unwrap();
            std::thread::sleep(Duration::from_millis(3 + attempt * 7 % 20));
            continue;
        }
        let before = progress.committed();
        std::thread::sleep(Duration::from_secs(4));
        worker.signal("CONT").unwrap();
        let until = Instant::now() + MINUTE;
        while progress.committed() <= before {
            assert!(Instant::now() < until, "it hangs:\n{}", worker.output());
            std::thread::sleep(Duration::from_millis(20));
        }
        aborted = worker.output().contains("the commit failed");
        if aborted {
            break;
        }
    }
    assert!(aborted, "no transaction was open:\n{}", worker.output());
    finish(broker, &app, feed, worker);
}

#[test]
fn a_transaction_is_aborted_by_its_timeout_on_the_embedded_broker() {
    a_transaction_aborted_by_its_timeout_is_done_again(&Broker::embedded());
}

#[test]
fn a_transaction_is_aborted_by_its_timeout_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_transaction_aborted_by_its_timeout_is_done_again(&broker);
    }
}

/// The broker is killed in mid-transaction and comes back: coordinators move, load, and forget nothing.
fn a_broker_that_restarts_in_mid_transaction(broker: &mut Broker, times: u32) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, 2);
    let feed = orders::feed(&bootstrap, 2, 1_000);
    let worker = app.start(&busy(&app));
    for at in 0..times {
        let progress = Progress::of(&bootstrap, GROUP, INPUT);
        progress.wait_for_more();
        std::thread::sleep(Duration::from_millis(300 + u64::from(at) * 37));
        broker.kill();
        std::thread::sleep(Duration::from_millis(500));
        broker.restart();
    }
    Progress::of(&bootstrap, GROUP, INPUT).wait_for_more();
    names(&worker.output(), &["Connection refused"]);
    finish(broker, &app, feed, worker);
}

#[test]
fn the_embedded_broker_restarts_in_mid_transaction() {
    a_broker_that_restarts_in_mid_transaction(&mut Broker::embedded(), 4);
}

#[test]
fn apache_kafka_restarts_in_mid_transaction() {
    if let Some(mut broker) = SharedApache::take() {
        a_broker_that_restarts_in_mid_transaction(&mut broker, 2);
    }
}

/// The broker is away while a worker starts, and its coordinators are new: it waits and begins.
#[test]
fn a_worker_that_starts_while_the_broker_is_away_waits_for_it() {
    let mut broker = Broker::embedded();
    let app = app(&broker);
    counted(&broker, &app);
    orders::send_one(&broker.bootstrap(), "0-0", 7, 0);
    broker.kill();
    let mut worker = app.start(&app.impatient());
    worker.line_with("trying again", MINUTE).unwrap();
    broker.restart();
    wait_until("the total", MINUTE, || has_total(&broker, "0-0", (21, 217)));
    stop(&mut worker);
    assert_eq!(orders::assert_each_counted_once(&broker.bootstrap()), 41);
}

/// The broker goes away in mid-transaction, and the worker is asked to end: it ends in order and in time, though
/// neither commit nor abort can succeed. What it had not committed is done by the next.
fn a_worker_asked_to_end_while_the_broker_is_away_ends(broker: &mut Broker) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, 2);
    let feed = orders::feed(&bootstrap, 2, 700);
    let mut args = app.impatient();
    args.extend(["--shutdown-timeout".to_owned(), "2s".to_owned()]);
    for away in [Duration::ZERO, Duration::from_millis(3_500)] {
        let progress = Progress::of(&bootstrap, GROUP, INPUT);
        let mut worker = app.start(&args);
        progress.wait_for_more();
        broker.kill();
        // With the second, the transaction's time is over and its abort is waited for.
        std::thread::sleep(away);
        worker.signal("TERM").unwrap();
        let asked = Instant::now();
        let status = worker.wait(Duration::from_secs(20));
        let output = worker.output();
        assert!(status.is_ok_and(|status| status.success()), "{output}");
        println!("ended after {:?}", asked.elapsed());
        broker.restart();
    }
    feed.stop().unwrap();
    app.run(&app.until_caught_up(), MINUTE).unwrap();
    let compared = orders::assert_each_counted_once(&bootstrap);
    println!("{compared} totals compared");
}

#[test]
fn a_worker_ends_while_the_embedded_broker_is_away() {
    a_worker_asked_to_end_while_the_broker_is_away_ends(&mut Broker::embedded());
}

#[test]
fn a_worker_ends_while_apache_kafka_is_away() {
    if let Some(mut broker) = SharedApache::take() {
        a_worker_asked_to_end_while_the_broker_is_away_ends(&mut broker);
    }
}

/// Found by the verifier: it ended with exit code 1.
#[test]
fn a_worker_asked_to_end_while_it_looks_for_its_broker_ends_well() {
    let mut broker = Broker::embedded();
    let app = app(&broker);
    broker.kill();
    let mut worker = app.start(&app.impatient());
    worker.line_with("Connection refused", MINUTE).unwrap();
    worker.signal("TERM").unwrap();
    let status = worker.wait(MINUTE);
    let output = worker.output();
    assert!(status.is_ok_and(|status| status.success()), "{output}");
}
