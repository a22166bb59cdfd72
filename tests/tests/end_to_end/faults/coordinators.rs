//! Coordinators that are not there, are elsewhere, still load or are still busy, for as long as a test wants: the wire
//! to the broker refuses what a coordinator would. And answers that get lost.

use super::*;
use kafka_protocol::messages::ApiKey;
use std::collections::BTreeMap;
use tests::between::Between;
use tests::broker::SharedApache;
use tests::progress::Progress;

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const CONCURRENT_TRANSACTIONS: i16 = 51;

/// A session and transactions that outlast what is refused for a while; commits all the time.
const PATIENT: &str =
    "session.timeout.ms=20000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=20000\n";

/// Requests of a commit.
const COMMIT: [ApiKey; 4] = [
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];

/// A worker behind such a wire, with its input, of which some is left for a while.
struct Trial<'a> {
    broker: &'a Broker,
    app: App,
    wire: Between,
    feed: tests::feed::Feed,
}

impl<'a> Trial<'a> {
    fn new(broker: &'a Broker) -> Self {
        let bootstrap = broker.bootstrap();
        let wire = Between::to(&bootstrap).unwrap();
        let app = App::of(
            PathBuf::from(env!("CARGO_BIN_EXE_faulty")),
            &wire.bootstrap(),
        );
        orders::create(&bootstrap, 2);
        let feed = orders::feed(&bootstrap, 2, 500);
        Self {
            broker,
            app,
            wire,
            feed,
        }
    }

    fn worker(&self, properties: &str) -> Leashed {
        let properties = self.app.file("patient.properties", properties);
        let words = ["worker", "--threads", "1", "--commit-interval", "10ms"];
        self.app
            .start(&[&words[..], &["--config", &properties]].concat())
    }

    /// Refuses these for a while, until some were, and lets them pass.
    fn refuse(&self, requests: &[ApiKey], error: i16, lasts: Duration) {
        self.wire.refuse(requests, error);
        println!("{error}: refused {:?}", self.until_seen(requests, lasts));
    }

    /// Loses the answer to one of these.
    fn lose(&self, requests: &[ApiKey]) {
        self.wire.lose(requests);
        println!("lost {:?}", self.until_seen(requests, Duration::ZERO));
    }

    fn until_seen(&self, requests: &[ApiKey], lasts: Duration) -> BTreeMap<i16, u64> {
        let until = Instant::now() + lasts;
        wait_until(&format!("{requests:?}"), MINUTE, || {
            let refused = self.wire.refused();
            Instant::now() >= until && !refused.is_empty()
        });
        self.wire.pass()
    }

    fn progress(&self) -> Progress {
        Progress::of(&self.broker.bootstrap(), GROUP, INPUT)
    }

    fn finish(self, mut worker: Leashed) {
        let bootstrap = self.broker.bootstrap();
        self.feed.stop().unwrap();
        Progress::of(&bootstrap, GROUP, INPUT).wait_for_all();
        stop(&mut worker);
        let compared = orders::assert_each_counted_once(&bootstrap);
        println!("{compared} totals compared");
    }
}

/// Every request of a commit is refused by every error that its coordinator may answer, while there is work: the same
/// call is made again until it passes. Nothing is aborted for that, and nobody leaves the group.
fn commits_go_on(broker: &Broker) {
    let trial = Trial::new(broker);
    let worker = trial.worker(PATIENT);
    trial.progress().wait_for_more();
    let while_ = Duration::from_millis(400);
    for request in COMMIT {
        let of_group = request == ApiKey::TxnOffsetCommit;
        for error in [
            COORDINATOR_LOAD_IN_PROGRESS,
            COORDINATOR_NOT_AVAILABLE,
            NOT_COORDINATOR,
            CONCURRENT_TRANSACTIONS,
        ] {
            if of_group && error == CONCURRENT_TRANSACTIONS {
                continue;
            }
            trial.refuse(&[request], error, while_);
            trial.progress().wait_for_more();
        }
    }
    let output = worker.output();
    for never in ["the commit failed", "lost", "panicked"] {
        assert!(!output.contains(never), "{never}:\n{output}");
    }
    trial.finish(worker);
}

#[test]
fn commits_wait_for_their_coordinators_on_the_embedded_broker() {
    commits_go_on(&Broker::embedded());
}

#[test]
fn commits_wait_for_their_coordinators_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        commits_go_on(&broker);
    }
}

/// The broker has done what it was asked for, and nobody hears of it: to ask again changes nothing.
fn lost_answers_are_asked_for_again(broker: &Broker) {
    let trial = Trial::new(broker);
    let worker = trial.worker(PATIENT);
    trial.progress().wait_for_more();
    for request in COMMIT.into_iter().chain([
        ApiKey::Produce,
        ApiKey::EndTxn,
        ApiKey::Heartbeat,
        ApiKey::Fetch,
    ]) {
        trial.lose(&[request]);
        trial.progress().wait_for_more();
    }
    trial.finish(worker);
}

#[test]
fn answers_that_are_lost_double_nothing_on_the_embedded_broker() {
    lost_answers_are_asked_for_again(&Broker::embedded());
}

#[test]
fn answers_that_are_lost_double_nothing_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        lost_answers_are_asked_for_again(&broker);
    }
}

/// The coordinators are away for longer than session and transaction last: the partitions are lost, the transaction is
/// aborted by the broker, and the worker comes back and does the work again.
fn the_worker_comes_back(broker: &Broker) {
    let trial = Trial::new(broker);
    let worker = trial.worker(tests::voltage::IMPATIENT);
    trial.progress().wait_for_more();
    let mut all = COMMIT.to_vec();
    all.extend([ApiKey::Heartbeat, ApiKey::JoinGroup, ApiKey::SyncGroup]);
    for error in [NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS] {
        trial.refuse(&all, error, Duration::from_secs(5));
        trial.progress().wait_for_more();
    }
    trial.finish(worker);
}

#[test]
fn a_worker_outlasts_coordinators_that_are_away_for_long_on_the_embedded_broker() {
    the_worker_comes_back(&Broker::embedded());
}

#[test]
fn a_worker_outlasts_coordinators_that_are_away_for_long_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        the_worker_comes_back(&broker);
    }
}

/// No coordinator yet when a worker starts: it waits for each of them and begins.
fn a_worker_begins_when_they_are_there(broker: &Broker) {
    let trial = Trial::new(broker);
    let first = [
        ApiKey::FindCoordinator,
        ApiKey::InitProducerId,
        ApiKey::JoinGroup,
        ApiKey::SyncGroup,
        ApiKey::OffsetFetch,
    ];
    trial.wire.refuse(&first[..1], COORDINATOR_NOT_AVAILABLE);
    let worker = trial.worker(PATIENT);
    trial.refuse(
        &first[..1],
        COORDINATOR_NOT_AVAILABLE,
        Duration::from_secs(1),
    );
    for request in &first[1..] {
        let error = COORDINATOR_LOAD_IN_PROGRESS;
        trial.refuse(&[*request], error, Duration::from_millis(300));
    }
    trial.progress().wait_for_more();
    trial.finish(worker);
}

#[test]
fn a_worker_starts_when_its_coordinators_have_loaded_on_the_embedded_broker() {
    a_worker_begins_when_they_are_there(&Broker::embedded());
}

#[test]
fn a_worker_starts_when_its_coordinators_have_loaded_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_worker_begins_when_they_are_there(&broker);
    }
}

/// Found by the verifier: a broker that went while a starting worker asked for its topics' settings ended the worker
/// with exit code 1, asked to end or not.
#[test]
fn a_worker_whose_questions_at_start_are_lost_asks_again_or_ends_well() {
    let broker = Broker::embedded();
    let trial = Trial::new(&broker);
    for question in [ApiKey::CreateTopics, ApiKey::DescribeConfigs] {
        trial.wire.lose(&[question]);
        let mut worker = trial.worker(PATIENT);
        let again = |wanted| {
            let text = format!("{question:?}, {wanted} times");
            wait_until(&text, MINUTE, || {
                trial.wire.refused().values().sum::<u64>() >= wanted
            });
        };
        again(2);
        assert!(worker.ended().is_none(), "{}", worker.output());
        worker.signal("TERM").unwrap();
        let status = worker.wait(MINUTE);
        let output = worker.output();
        assert!(status.is_ok_and(|status| status.success()), "{output}");
    }
    let mut worker = trial.worker(PATIENT);
    trial.until_seen(&[ApiKey::DescribeConfigs], Duration::from_secs(2));
    trial.progress().wait_for_more();
    assert!(worker.ended().is_none(), "{}", worker.output());
    trial.finish(worker);
}

/// Found by an ordinary restart of three brokers in turn: a call that librdkafka did not come back from was waited for
/// without end, and `/ready` said yes. After two thirds of the transaction's time a commit has another producer.
fn a_commit_that_does_not_come_back_is_made_again(broker: &Broker) {
    let trial = Trial::new(broker);
    let hasty =
        "session.timeout.ms=20000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=9000\n";
    let worker = trial.worker(hasty);
    trial.progress().wait_for_more();
    for request in COMMIT {
        trial.wire.hold(&[request]);
        trial.until_seen(&[request], Duration::ZERO);
        let began = Instant::now();
        trial.progress().wait_for_more();
        let silence = began.elapsed();
        println!("{request:?} was not answered: silent for {silence:?}");
        assert!(silence < Duration::from_secs(20), "{request:?}");
    }
    let output = worker.output();
    assert!(output.contains("a commit has waited 5 s"), "{output}");
    trial.finish(worker);
}

#[test]
fn a_commit_that_does_not_come_back_is_made_again_on_the_embedded_broker() {
    a_commit_that_does_not_come_back_is_made_again(&Broker::embedded());
}

#[test]
fn a_commit_that_does_not_come_back_is_made_again_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_commit_that_does_not_come_back_is_made_again(&broker);
    }
}

/// Offsets that are committed at-least-once, and the proof before them, are waited for with a bound too: the worker
/// says what it waits for, is not ready, and goes on with another connection.
fn offsets_that_are_not_answered_are_committed_again(broker: &Broker) {
    let trial = Trial::new(broker);
    let hasty = "session.timeout.ms=20000\nheartbeat.interval.ms=500\n";
    let properties = trial.app.file("hasty.properties", hasty);
    let mut worker = trial.app.start(&[
        "worker",
        "--threads",
        "1",
        "--commit-interval",
        "10ms",
        "--processing-guarantee",
        "at-least-once",
        "--config",
        &properties,
    ]);
    trial.progress().wait_for_more();
    trial.wire.hold(&[ApiKey::OffsetCommit]);
    wait_until("what it waits for", MINUTE, || {
        worker.output().contains("a commit has waited 5 s")
    });
    let output = worker.output();
    assert!(
        output.contains("for the group's coordinator to take the offsets"),
        "{output}"
    );
    trial.wire.pass();
    let began = Instant::now();
    trial.progress().wait_for_more();
    let silence = began.elapsed();
    println!("committed again after {silence:?}");
    // The session, and what another connection takes.
    assert!(silence < Duration::from_secs(30), "{silence:?}");
    let bootstrap = trial.broker.bootstrap();
    trial.feed.stop().unwrap();
    Progress::of(&bootstrap, GROUP, INPUT).wait_for_all();
    stop(&mut worker);
    orders::assert_none_lost(&bootstrap);
}

#[test]
fn offsets_that_are_not_answered_are_committed_again_on_the_embedded_broker() {
    offsets_that_are_not_answered_are_committed_again(&Broker::embedded());
}

#[test]
fn offsets_that_are_not_answered_are_committed_again_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        offsets_that_are_not_answered_are_committed_again(&broker);
    }
}

/// A session of two seconds, and transactions of a minute.
const LEFT_OPEN: &str =
    "session.timeout.ms=2000\nheartbeat.interval.ms=500\ntransaction.timeout.ms=60000\n";

/// A worker is killed while its transaction holds the offsets of its partitions. Who takes these does not wait until
/// the transaction's time is up.
fn a_transaction_that_a_killed_worker_left_open_is_ended(broker: &Broker) {
    let trial = Trial::new(broker);
    let mut worker = trial.worker(LEFT_OPEN);
    trial.progress().wait_for_more();
    trial
        .wire
        .refuse(&[ApiKey::EndTxn], CONCURRENT_TRANSACTIONS);
    wait_until("a commit", MINUTE, || !trial.wire.refused().is_empty());
    worker.kill();
    let killed = Instant::now();
    trial.wire.pass();
    let properties = trial.app.file("open.properties", LEFT_OPEN);
    let dir = trial.app.dir().join("successor").display().to_string();
    let successor = trial.app.start(&[
        "worker",
        "--threads",
        "2",
        "--commit-interval",
        "10ms",
        "--config",
        &properties,
        "--data-dir",
        &dir,
    ]);
    trial.progress().wait_for_more();
    let took = killed.elapsed();
    println!("committed again after {took:?}");
    assert!(
        took < Duration::from_secs(25),
        "{took:?}\n{}",
        successor.output()
    );
    trial.finish(successor);
}

#[test]
fn a_transaction_that_a_killed_worker_left_open_is_ended_on_the_embedded_broker() {
    a_transaction_that_a_killed_worker_left_open_is_ended(&Broker::embedded());
}

#[test]
fn a_transaction_that_a_killed_worker_left_open_is_ended_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_transaction_that_a_killed_worker_left_open_is_ended(&broker);
    }
}

/// Found by a verifier's `tail` on three nodes: a node that has just started may answer that there are topics and no
/// brokers. librdkafka then lets all of its brokers go, and looks for none any more.
#[test]
fn clients_that_were_told_of_no_broker_come_back() {
    const LEADER_NOT_AVAILABLE: i16 = 5;
    let broker = Broker::embedded();
    let trial = Trial::new(&broker);
    let often = ["--kafka", "topic.metadata.refresh.interval.ms=300"];
    let command = [&["tail", INPUT, "--from-beginning", "--raw"][..], &often].concat();
    let mut tail = trial.app.start(&command);
    let mut worker = trial.worker(&format!(
        "{PATIENT}topic.metadata.refresh.interval.ms=300\n"
    ));
    trial.progress().wait_for_more();
    let lasts = Duration::from_secs(2);
    trial.refuse(&[ApiKey::Metadata], LEADER_NOT_AVAILABLE, lasts);
    trial.progress().wait_for_more();
    assert!(worker.ended().is_none(), "{}", worker.output());
    let shown = |tail: &Leashed| tail.stdout().lines().count();
    let before = shown(&tail);
    wait_until("the tail goes on", MINUTE, || shown(&tail) > before);
    assert!(tail.ended().is_none(), "{}", tail.output());
    drop(tail);
    trial.finish(worker);
}
