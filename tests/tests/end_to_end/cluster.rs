//! Three nodes of Apache Kafka, of which one goes and comes back.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use tests::client::{self, Isolation};
use tests::cluster::Cluster;
use tests::data;
use tests::feed::{Feed, Meters, Outgoing};
use tests::http;
use tests::orders;
use tests::progress::Progress;
use tests::voltage::App;

const MINUTES: Duration = Duration::from_secs(240);
const INPUT: &str = "voltage_input";
/// The readings are of 2006: a broker that keeps a week would delete them at once.
const FOREVER: &[(&str, &str)] = &[("retention.ms", "-1")];

#[test]
fn each_hour_comes_once_while_the_node_that_leads_most_is_killed_and_comes_back() {
    let Some(mut cluster) = Cluster::start_or_skip() else {
        return;
    };
    let bootstrap = cluster.bootstrap();
    let app = App::voltage(&bootstrap);
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let meters = Meters {
        readings: data::readings(&data::sample()).unwrap(),
        meters: 8,
    };
    let feed = meters.feed(&bootstrap, INPUT, 45);
    let progress = Progress::of(&bootstrap, "voltage", INPUT);
    let mut worker = app.start(&app.impatient());
    progress.wait_for_more();
    let coordinator = cluster.coordinates_group("voltage").unwrap();
    let transactions = cluster.coordinates_transactions("voltage").unwrap();
    let leader = cluster.leads_most("voltage").unwrap();
    println!("leader {leader}, coordinator {coordinator}, of transactions {transactions}");

    cluster.kill(leader);
    // Others take over what it led, once it is missed.
    let until = Instant::now() + MINUTES;
    while cluster.leads_most("voltage").unwrap() == leader {
        assert!(Instant::now() < until, "node {leader} is dead and leads");
        std::thread::sleep(Duration::from_millis(100));
    }
    progress.wait_for_more();
    cluster.restart(leader).unwrap();
    cluster.wait_until_whole(MINUTES).unwrap();
    feed.finish().unwrap();
    progress.wait_for_all();
    assert!(worker.ended().is_none(), "{}", worker.output());
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(MINUTES).unwrap().success(),
        "{}",
        worker.output()
    );

    app.run(&app.until_caught_up(), MINUTES).unwrap();
    data::assert_same(&app.averages().unwrap(), &meters.expected());
}

/// A sink that wants three copies while one of three nodes is away takes nothing, and Kafka does not end a transaction
/// that sends there: the worker is not ready, and nothing is lost or doubled when the node is back.
#[test]
fn a_worker_whose_sink_is_below_its_min_isr_is_not_ready_and_loses_nothing() {
    let Some(mut cluster) = Cluster::start_or_skip() else {
        return;
    };
    let bootstrap = cluster.bootstrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_faulty")), &bootstrap);
    for topic in ["orders", "strict_orders"] {
        client::create_topic(&bootstrap, topic, 2, &[]).unwrap();
    }
    let all = [("min.insync.replicas", "3")];
    client::create_topic(&bootstrap, "strict_totals", 2, &all).unwrap();
    orders::send(&bootstrap, orders::records(2, 1, 3));
    app.run(&app.until_caught_up(), MINUTES).unwrap();

    let mut worker = app.start(&["worker", "--web-port", "0", "--threads", "1"]);
    let address = http::address_of(&mut worker).unwrap();
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < MINUTES, "{what}: {}", worker.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let ready = || http::get(&address, "/ready").unwrap();
    until("ready", &|| ready().status == 200);
    // Not the one that coordinates: nothing else is to be away.
    let busy = [
        cluster.coordinates_group("faulty").unwrap(),
        cluster.coordinates_transactions("faulty").unwrap(),
    ];
    let spare = (0..3).find(|node| !busy.contains(node)).unwrap();
    cluster.kill(spare);
    let strict = Outgoing {
        key: "s".into(),
        value: orders::order(5, ""),
        partition: None,
    };
    { Feed::start(&bootstrap, "strict_orders", [strict], u64::MAX).finish() }.unwrap();
    until("not ready", &|| ready().status == 503);
    orders::send_one(&bootstrap, "0-0", 7, 0);
    cluster.restart(spare).unwrap();
    cluster.wait_until_whole(MINUTES).unwrap();
    until("ready again", &|| ready().status == 200);
    let sent = || client::read_all(&bootstrap, "strict_totals", Isolation::Committed).unwrap();
    until("what waited", &|| !sent().is_empty());
    worker.signal("TERM").unwrap();
    let ended = worker.wait(MINUTES).unwrap();
    assert!(ended.success(), "{}", worker.output());
    assert_eq!(sent().len(), 1, "once: {:?}", sent());
    orders::assert_each_counted_once(&bootstrap);
}
