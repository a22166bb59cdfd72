//! Members of the group that freeze, come and go.

use super::*;
use tests::broker::SharedApache;
use tests::progress::Progress;

const PARTITIONS: i32 = 4;

fn feed(broker: &Broker) -> tests::feed::Feed {
    orders::feed(&broker.bootstrap(), PARTITIONS, 1_200)
}

fn finish(broker: &Broker, app: &App, feed: tests::feed::Feed, workers: &mut [Leashed]) {
    feed.stop().unwrap();
    let bootstrap = broker.bootstrap();
    Progress::of(&bootstrap, GROUP, INPUT).wait_for_all();
    workers.iter_mut().for_each(stop);
    app.run(&app.until_caught_up(), MINUTE).unwrap();
    let compared = orders::assert_each_counted_once(&bootstrap);
    println!("{compared} totals compared");
}

/// Frozen past its session and its transaction's timeout, under load, then continued: another has its partitions, and
/// it writes nothing more in their name. It joins again.
fn a_zombie_writes_nothing(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, PARTITIONS);
    let feed = feed(broker);
    let progress = Progress::of(&bootstrap, GROUP, INPUT);
    // One thread: with more, the first partitions may just move between them when it is stopped.
    let alone = [
        &app.impatient()[..],
        &["--threads".to_owned(), "1".to_owned()],
    ]
    .concat();
    let mut zombie = app.start(&alone);
    progress.wait_for_more();
    zombie.line_with("running", MINUTE).unwrap();
    zombie.signal("STOP").unwrap();
    let heir = app.start(&app.impatient());
    for partition in 0..PARTITIONS {
        let taken = format!("\"orders[{partition}]\"");
        wait_until("its heir", MINUTE, || {
            let output = heir.output();
            output
                .lines()
                .any(|line| line.contains("running") && line.contains(&taken))
        });
    }
    let before = progress.committed();
    progress.wait_past(before);
    zombie.signal("CONT").unwrap();
    zombie.line_with("lost", MINUTE).unwrap();
    finish(broker, &app, feed, &mut [zombie, heir]);
}

#[test]
fn a_zombie_writes_nothing_on_the_embedded_broker() {
    a_zombie_writes_nothing(&Broker::embedded());
}

// G3: A worker that was frozen and has lost its partitions writes nothing more of them.
#[test]
fn a_zombie_writes_nothing_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_zombie_writes_nothing(&broker);
    }
}

/// One, two, three workers, then one again, all under load: every partition is handed over whole.
#[test]
fn workers_that_join_and_leave_under_load_hand_over_whole() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    orders::create(&bootstrap, PARTITIONS);
    let feed = feed(&broker);
    let progress = Progress::of(&bootstrap, GROUP, INPUT);
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(app.start(&app.impatient()));
        let joined = workers.last_mut().unwrap();
        // Six threads share four partitions: the last worker may be given none.
        joined.line_with(" assigned: ", MINUTE).unwrap();
        progress.wait_for_more();
    }
    for mut leaver in workers.drain(..2) {
        stop(&mut leaver);
        progress.wait_for_more();
    }
    finish(&broker, &app, feed, &mut workers);
}

/// A session of ten seconds: longer than a restart takes.
const SESSION: &str =
    "session.timeout.ms=10000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=3000\n";

/// A worker with an instance id and a directory of its own.
fn named(app: &App, id: &str, dir: &str) -> Leashed {
    let properties = app.file("session.properties", SESSION);
    app.start(&[
        "worker",
        "--threads",
        "1",
        "--config",
        &properties,
        "--instance-id",
        id,
        "--data-dir",
        dir,
    ])
}

/// How often it was given partitions.
fn assignments(worker: &Leashed) -> usize {
    worker.output().matches(" assigned: orders").count()
}

/// Killed and back within its session: it has its own partitions again, and nobody else's have moved.
fn a_static_member_comes_back_without_a_rebalance(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, PARTITIONS);
    let feed = feed(broker);
    let mut stays = named(&app, "stays", "one");
    stays.line_with("running", MINUTE).unwrap();
    let mut goes = named(&app, "goes", "two");
    goes.line_with("running", MINUTE).unwrap();
    wait_until("both", MINUTE, || {
        assignments(&stays) == 2 && stays.output().matches("running, ").count() > 2
    });
    let before = assignments(&stays);
    goes.kill();
    let start = Instant::now();
    let mut back = named(&app, "goes", "two");
    back.line_with("running", MINUTE).unwrap();
    println!("running {:?} after its start", start.elapsed());
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "after its session"
    );
    assert_eq!(assignments(&stays), before, "{}", stays.output());
    finish(broker, &app, feed, &mut [stays, back]);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_on_the_embedded_broker() {
    a_static_member_comes_back_without_a_rebalance(&Broker::embedded());
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_static_member_comes_back_without_a_rebalance(&broker);
    }
}

/// Two workers with one instance id: the first is fenced, says which id it is, and does not end; when the other has
/// gone it takes its place again.
fn a_taken_instance_id_is_named_and_waited_for(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, PARTITIONS);
    let feed = feed(broker);
    let mut first = named(&app, "same", "one");
    first.line_with("running", MINUTE).unwrap();
    let mut second = named(&app, "same", "two");
    let line = first.line_with("give each its own", MINUTE).unwrap();
    assert!(line.contains("same-0"), "{line}");
    second.line_with("running", MINUTE).unwrap();
    second.kill();
    let before = assignments(&first);
    wait_until("its partitions", MINUTE, || assignments(&first) > before);
    finish(broker, &app, feed, &mut [first]);
}

#[test]
fn a_taken_instance_id_on_the_embedded_broker() {
    a_taken_instance_id_is_named_and_waited_for(&Broker::embedded());
}

#[test]
fn a_taken_instance_id_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_taken_instance_id_is_named_and_waited_for(&broker);
    }
}
