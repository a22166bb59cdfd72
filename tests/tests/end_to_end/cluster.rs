//! Three nodes of Apache Kafka, of which one goes and comes back.

use std::time::{Duration, Instant};
use tests::client;
use tests::cluster::Cluster;
use tests::data;
use tests::feed::Meters;
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
