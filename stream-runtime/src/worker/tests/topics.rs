//! Topics that are not what the app needs, and topics that change while it runs.

use super::*;
use crate::worker::PartitionState;

const PLACE: &str = module_path!();

/// Counts by key.
mod count {
    use crate::prelude::*;

    #[table(value = u64, name = "grown_count")]
    struct Count;

    #[agent(topic = "grown-count", sink = "grown-counted")]
    async fn count(word: Event<String>, mut count: Table<Count>) -> String {
        count.update(word.key(), |n| {
            *n += 1;
            n.to_string()
        })
    }
}

/// Keeps nothing.
mod copy {
    use crate::prelude::*;

    #[agent(topic = "grown-copy", sink = "grown-copied")]
    async fn copy(word: Event<String>) -> String {
        (*word).clone()
    }
}

/// Takes its time.
mod slow {
    use crate::prelude::*;

    #[agent(topic = "grown-slow")]
    async fn slow(_: Event<String>) {
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    }
}

/// Stands at the records of partitions that are held.
mod stands {
    use std::sync::Mutex;
    use std::time::Duration;

    use crate::prelude::*;

    pub(super) static HELD: Mutex<Vec<i32>> = Mutex::new(Vec::new());

    #[agent(topic = "grown-stands")]
    async fn stands(word: Event<String>) {
        while HELD.lock().unwrap().contains(&word.partition()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

mod meet {
    use crate::prelude::*;

    #[topic("grown-left", value = String)]
    struct Left;

    #[topic("grown-right", value = String)]
    struct Right;

    #[join(left = Left, right = Right, within = "1m", sink = "grown-met")]
    async fn grown_meet(left: String, right: Option<String>) -> String {
        format!("{left} {right:?}")
    }
}

/// Counts by another key.
mod grouped {
    use crate::prelude::*;

    #[table(value = u64, name = "grown_lengths")]
    struct Lengths;

    #[agent(topic = "grown-words", name = "grown", group_by = |word: &String| word.clone(), sink = "grown-lengths")]
    async fn lengths(word: Event<String>, mut lengths: Table<Lengths>) -> String {
        lengths.update(word.key(), |n| {
            *n += 1;
            n.to_string()
        })
    }
}

/// Counts by a key that all have, and notes in which order they come.
mod ahead {
    use std::sync::Mutex;

    use crate::prelude::*;

    pub(super) static ORDER: Mutex<Vec<i32>> = Mutex::new(Vec::new());

    #[record(timestamp = at)]
    struct View {
        #[field(coerce)]
        at: DateTime<Utc>,
        from: i32,
    }

    #[table(value = u64, name = "grown_ahead", tumbling = "1h")]
    struct Hours;

    #[agent(topic = "grown-ahead", name = "ahead", group_by = |_: &View| "all".to_owned())]
    async fn count(view: Event<View>, mut hours: Table<Hours>) {
        ORDER.lock().unwrap().push(view.from);
        hours.update(view.key(), |n| *n += 1);
    }
}

/// Windows by another key.
mod clocked {
    use std::sync::Mutex;

    use crate::prelude::*;

    /// The hours that closed: since 1970, and how many records each had.
    pub(super) static TOLD: Mutex<Vec<(i64, u64)>> = Mutex::new(Vec::new());

    #[record(timestamp = at)]
    struct Beat {
        #[field(coerce)]
        at: DateTime<Utc>,
    }

    #[table(value = u64, name = "grown_beats", tumbling = "1h")]
    struct Hours;

    #[agent(topic = "grown-beats", name = "grown_clock", group_by = |_: &Beat| "all".to_owned())]
    async fn count(beat: Event<Beat>, mut hours: Table<Hours>) {
        hours.update(beat.key(), |n| *n += 1);
    }

    #[agent(on_close = Hours, name = "grown_told")]
    async fn told(hour: Closed<Hours>) {
        let told = (hour.start().timestamp() / 3_600, *hour);
        TOLD.lock().unwrap().push(told);
    }
}

mod prices {
    use crate::prelude::*;

    #[topic("grown-prices", value = String, key = String, compact)]
    struct Prices;

    #[table(name = "grown_prices", global, source = Prices)]
    struct PriceOf;

    #[agent(topic = "grown-orders", sink = "grown-bills")]
    async fn bill(item: Event<String>, prices: GlobalTable<PriceOf>) -> String {
        prices.get(&*item).unwrap_or_default()
    }
}

/// A broker, and an app on it.
pub(super) struct Bed {
    _server: Server,
    properties: Properties,
    admin: Admin,
    app: String,
    module: String,
    dir: tempfile::TempDir,
}

impl Bed {
    fn new(module: &'static str) -> Self {
        Self::of(PLACE, module)
    }

    /// The app is a module of this one.
    pub(super) fn of(place: &str, module: &str) -> Self {
        Self::in_module(format!("{place}::{module}"), "300")
    }

    /// Topics are looked at every so many ms.
    fn looking_every(module: &'static str, ms: &str) -> Self {
        Self::in_module(format!("{PLACE}::{module}"), ms)
    }

    fn in_module(module: String, ms: &str) -> Self {
        let server = Server::start();
        let mut properties = server.properties();
        properties
            .set("topic.metadata.refresh.interval.ms", ms)
            .unwrap();
        Bed {
            admin: Admin::new(&properties, BROKER_TIMEOUT).unwrap(),
            properties,
            _server: server,
            app: unique("grown"),
            module,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn plan(&self) -> Plan {
        let app = App::new(self.app.clone()).scope(self.module.clone());
        app.plan().unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn settings(&self) -> WorkerSettings {
        WorkerSettings {
            threads: 1,
            ..WorkerSettings::new(self.properties.clone(), self.dir.path())
        }
    }

    fn delete(&self, topic: &str) {
        self.admin.delete(&[topic]).unwrap();
        until("the topic's end", || {
            self.admin.topic(topic).unwrap().is_none()
        });
    }

    /// Makes a topic; of another test on the same broker there may be one.
    pub(super) fn make(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        self.delete(topic);
        let config = config.iter();
        let settings = TopicSettings {
            name: topic.to_owned(),
            partitions: Some(partitions),
            replication: None,
            config: config
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        self.admin.create(&[settings]).unwrap();
        until("the topic", || self.admin.topic(topic).unwrap().is_some());
    }

    /// A record in each of these partitions.
    pub(super) fn send(&self, topic: &str, partitions: impl IntoIterator<Item = i32>) {
        let sender = Sender::new(&self.properties).unwrap();
        for partition in partitions {
            let key = format!("key {partition}");
            sender
                .send(Outgoing {
                    topic,
                    partition: Some(partition),
                    key: Some(key.as_bytes()),
                    value: Some(b"word"),
                    timestamp: None,
                    headers: None,
                    slot: 0,
                })
                .unwrap();
        }
        assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
    }

    /// Offsets between what the group has committed and the end of a partition.
    fn lag(&self, topic: &str, partition: i32) -> i64 {
        let place = [(Arc::from(topic), partition)];
        // A broker that has just started makes the group's log first.
        let mut committed = None;
        until("the group's coordinator", || {
            committed = self.admin.committed(&self.app, &place).ok();
            committed.is_some()
        });
        let committed = committed.unwrap()[0].offset;
        self.admin.ends(&place).unwrap()[0] - committed.unwrap_or(0)
    }

    pub(super) fn start(&self) -> Working {
        self.start_with(self.settings())
    }

    fn start_with(&self, settings: WorkerSettings) -> Working {
        let plan = self.plan();
        let handle = WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan));
        let (own, app) = (Arc::clone(&handle), self.app.clone());
        let scope = self.module.clone();
        let thread = std::thread::spawn(move || {
            let again = |names: &[String]| {
                let app = App::new(app.clone()).scope(scope.clone());
                Ok(app.plan_among(names).unwrap_or_else(|p| panic!("{p:?}")))
            };
            run(plan, Arc::default(), settings, &own, &again)
        });
        Working { handle, thread }
    }

    /// The error of a worker that does not begin.
    fn refused(&self) -> Error {
        let settings = WorkerSettings {
            until_caught_up: true,
            ..self.settings()
        };
        let ended = self.start_with(settings).thread.join().unwrap();
        ended.expect_err("it is refused")
    }
}

pub(super) struct Working {
    pub(super) handle: Arc<WorkerHandle>,
    thread: std::thread::JoinHandle<Result<Ended, Error>>,
}

impl Working {
    fn state(&self, partition: i32) -> Option<PartitionState> {
        let all = self.handle.status.snapshot().into_iter();
        let mut of = all.filter(|view| view.task.1 == partition);
        of.next().map(|view| view.state)
    }

    pub(super) fn runs(&self, partition: i32) -> bool {
        self.state(partition) == Some(PartitionState::Running)
    }

    /// The reason why a partition failed or waits, once it does.
    fn why(&self, partition: i32) -> String {
        let mut found = None;
        until("the failure", || {
            found = match self.state(partition) {
                Some(PartitionState::Failed(why)) => Some(why),
                Some(PartitionState::Retrying(retry)) => Some(retry.why),
                _ => None,
            };
            found.is_some()
        });
        found.unwrap()
    }

    pub(super) fn stop(self) -> Ended {
        self.handle.stop.ask();
        self.thread.join().unwrap().unwrap()
    }
}

#[track_caller]
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(40),
            "{what} does not come"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn an_app_and_its_topics_may_begin_with_two_underscores() {
    let server = Server::start();
    let (properties, app) = (server.properties(), unique("__ops"));
    let dir = tempfile::tempdir().unwrap();
    make_input(&properties, &app, 1);
    send(&properties, &app, 0..100);
    let place = PLACE.trim_end_matches("::topics");
    let ended = work_of(&app, place, settings(&properties, &dir, 1)).unwrap();
    assert_eq!(ended.failed, []);
    assert_eq!(added(&totals(&properties, &app)), expected(0..100));
    let topics = Admin::new(&properties, BROKER_TIMEOUT)
        .unwrap()
        .topics()
        .unwrap();
    assert!(topics.contains_key(&format!("{app}-in")));
    assert!(!topics.contains_key("__consumer_offsets"));
}

#[test]
fn a_changelog_made_by_hand_that_deletes_its_rows_is_refused_at_start() {
    let bed = Bed::new("count");
    bed.make("grown-count", 2, &[]);
    bed.send("grown-count", 0..2);
    let changelog = format!("{}-grown_count-changelog", bed.app);
    for policy in ["delete", "compact,delete"] {
        bed.make(&changelog, 2, &[("cleanup.policy", policy)]);
        let error = bed.refused();
        assert!(error.is_configuration(), "{error}");
        names(
            &error.to_string(),
            &[
                &format!(
                    "topic `{changelog}`, the changelog of table `grown_count`, has `cleanup.policy={policy}`"
                ),
                "`retention.ms=604800000` and must have `cleanup.policy=compact`",
                &format!(
                    "--alter --entity-type topics --entity-name {changelog} --add-config cleanup.policy=compact"
                ),
            ],
        );
    }
    bed.make(&changelog, 2, &[("cleanup.policy", "compact")]);
    let worker = bed.start();
    until("the records", || bed.lag("grown-count", 1) == 0);
    assert_eq!(worker.stop().failed, []);
}

#[test]
fn a_repartition_topic_made_by_hand_that_may_lose_unread_records_is_refused_at_start() {
    let bed = Bed::new("grouped");
    bed.make("grown-words", 2, &[]);
    let plan = bed.plan();
    let hop = plan.repartition_topics().next().unwrap().topic.clone();
    bed.make(&hop, 2, &[("message.timestamp.type", "LogAppendTime")]);
    names(
        &bed.refused().to_string(),
        &[
            &hop,
            "has `retention.ms=604800000`, `message.timestamp.type=LogAppendTime` and must have",
            "--add-config retention.ms=-1,message.timestamp.type=CreateTime",
        ],
    );
}

#[test]
fn topics_that_the_worker_makes_have_what_it_asks_of_others() {
    for module in ["count", "grouped", "meet", "copy"] {
        let bed = Bed::new(module);
        let plan = bed.plan();
        let inputs = plan.topologies.iter().flat_map(|topology| &topology.inputs);
        let inputs: Vec<String> = inputs
            .filter(|input| !input.is_repartition())
            .map(|input| input.topic.clone())
            .collect();
        // Another test on the same broker may have left some.
        inputs.iter().for_each(|topic| bed.delete(topic));
        let worker = bed.start();
        until("the worker", || worker.handle.has_recovered());
        assert_eq!(worker.stop().failed, []);
        for must in crate::worker::musts(&plan) {
            let config = bed.admin.config(&must.topic).unwrap();
            assert_eq!(must.wrong(&config), [], "{}", must.topic);
            for (name, value) in must.settings() {
                assert_eq!(config[*name], *value, "{} of {}", name, must.topic);
            }
            assert!(!inputs.contains(&must.topic));
        }
    }
}

#[test]
fn a_setting_that_goes_wrong_while_the_worker_runs_stops_its_partitions_until_it_is_right() {
    let bed = Bed::new("count");
    bed.make("grown-count", 1, &[]);
    let worker = bed.start();
    until("the partition", || worker.runs(0));
    let letters = format!("{}-count-dead-letters", bed.app);
    bed.make(&letters, 1, &[("cleanup.policy", "compact")]);
    names(
        &worker.why(0),
        &[
            &letters,
            "`cleanup.policy=compact`",
            "`cleanup.policy=delete`",
        ],
    );
    assert!(!worker.handle.is_ready());
    bed.make(&letters, 1, &[]);
    bed.send("grown-count", [0]);
    until("the partition", || worker.runs(0));
    until("the record", || bed.lag("grown-count", 0) == 0);
    assert_eq!(worker.stop().failed, []);
}

#[test]
fn partitions_added_to_the_input_of_a_table_fail_with_their_reason_and_the_others_go_on() {
    let bed = Bed::new("count");
    bed.make("grown-count", 2, &[]);
    bed.send("grown-count", 0..2);
    let worker = bed.start();
    until("the partitions", || worker.runs(0) && worker.runs(1));
    bed.admin.add_partitions("grown-count", 4).unwrap();
    let changelog = format!("{}-grown_count-changelog", bed.app);
    for partition in [2, 3] {
        names(
            &worker.why(partition),
            &[
                "`grown-count` has grown from 2 to 4 partitions while the worker runs",
                &format!("the changelog `{changelog}` of table `grown_count` has 2"),
                "Kafka takes no partitions away",
                "`reset`",
            ],
        );
    }
    assert!(!worker.handle.is_ready());
    bed.send("grown-count", 0..4);
    for partition in [0, 1] {
        until("the record", || bed.lag("grown-count", partition) == 0);
        assert!(worker.runs(partition));
    }
    let failed = worker.stop().failed;
    assert_eq!(failed.len(), 2, "{failed:?}");
    let error = bed.refused();
    assert!(error.is_configuration(), "{error}");
    names(&error.to_string(), &["Kafka takes no partitions away"]);
}

#[test]
fn partitions_added_to_an_input_without_tables_are_read() {
    let bed = Bed::new("copy");
    bed.make("grown-copy", 1, &[]);
    bed.send("grown-copy", [0]);
    let worker = bed.start();
    until("the partition", || worker.runs(0));
    bed.admin.add_partitions("grown-copy", 3).unwrap();
    until("the partitions", || worker.runs(1) && worker.runs(2));
    bed.send("grown-copy", 0..3);
    until("the records", || {
        (0..3).all(|p| bed.lag("grown-copy", p) == 0)
    });
    assert!(worker.handle.is_ready());
    assert_eq!(worker.stop().failed, []);
}

#[test]
fn a_join_of_which_one_input_grows_names_it() {
    let bed = Bed::new("meet");
    bed.make("grown-left", 2, &[]);
    bed.make("grown-right", 2, &[]);
    let worker = bed.start();
    until("the partitions", || worker.runs(0) && worker.runs(1));
    bed.admin.add_partitions("grown-right", 3).unwrap();
    names(
        &worker.why(2),
        &[
            "`grown-right` has grown from 2 to 3 partitions while the worker runs",
            "`grown-left` (of 2 partitions) and `grown-right` (of 3)",
        ],
    );
    until("the others, which go on", || {
        worker.runs(0) && worker.runs(1)
    });
    assert_eq!(worker.stop().failed.len(), 1);
}

#[test]
fn a_global_table_reads_the_partitions_that_its_topic_is_given() {
    let bed = Bed::new("prices");
    bed.make("grown-prices", 1, &[("cleanup.policy", "compact")]);
    bed.send("grown-prices", [0]);
    let worker = bed.start();
    let rows = || {
        worker
            .handle
            .replicas
            .get("grown_prices")
            .map_or(0, |r| r.rows())
    };
    until("the row", || rows() == 1);
    bed.admin.add_partitions("grown-prices", 3).unwrap();
    bed.send("grown-prices", 1..3);
    until("the rows of the new partitions", || rows() == 3);
    assert_eq!(worker.stop().failed, []);
}

#[test]
fn a_repartition_topic_keeps_its_partitions_when_its_source_grows() {
    let bed = Bed::new("grouped");
    bed.make("grown-words", 2, &[]);
    bed.send("grown-words", 0..2);
    let worker = bed.start();
    until("the partitions", || worker.runs(0) && worker.runs(1));
    bed.admin.add_partitions("grown-words", 4).unwrap();
    until("the partitions", || worker.runs(2) && worker.runs(3));
    bed.send("grown-words", 0..4);
    let hop = bed
        .plan()
        .repartition_topics()
        .next()
        .unwrap()
        .topic
        .clone();
    let all = [("grown-words", 4), (&*hop, 2)];
    let read = |(topic, count): &(&str, i32)| (0..*count).all(|p| bed.lag(topic, p) == 0);
    until("the records", || all.iter().all(read));
    assert_eq!(worker.stop().failed, []);
    assert_eq!(bed.admin.topic(&hop).unwrap().unwrap().partitions, 2);
    // And at the next start.
    bed.send("grown-words", 0..4);
    let settings = WorkerSettings {
        until_caught_up: true,
        ..bed.settings()
    };
    let ended = bed.start_with(settings).thread.join().unwrap().unwrap();
    assert_eq!(ended.failed, []);
    assert!(all.iter().all(read));
}

#[test]
fn a_partition_that_a_source_was_given_holds_the_time_behind_its_hop_too() {
    let bed = Bed::new("clocked");
    bed.make("grown-beats", 2, &[]);
    let beat = |partition: i32, minutes: i64| {
        let value = format!(r#"{{"at":{}}}"#, minutes * 60_000);
        let sender = Sender::new(&bed.properties).unwrap();
        sender
            .send(Outgoing {
                topic: "grown-beats",
                partition: Some(partition),
                key: Some(b"k"),
                value: Some(value.as_bytes()),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
        assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
    };
    let mut settings = bed.settings();
    settings.time.source_idle = None;
    let worker = bed.start_with(settings);
    until("the partitions", || worker.runs(0) && worker.runs(1));
    beat(0, 30);
    beat(1, 30);
    bed.admin.add_partitions("grown-beats", 4).unwrap();
    until("the partitions", || worker.runs(2) && worker.runs(3));
    beat(2, 70);
    beat(3, 190);
    until("the records", || {
        (0..4).all(|p| bed.lag("grown-beats", p) == 0)
    });
    beat(0, 190);
    beat(1, 190);
    let told = || clocked::TOLD.lock().unwrap().clone();
    until("the first hour", || !told().is_empty());
    assert_eq!(
        told(),
        [(0, 2)],
        "the third partition is in the second hour"
    );
    beat(2, 190);
    until("the second hour", || told().len() > 1);
    assert_eq!(told(), [(0, 2), (1, 1)]);
    assert_eq!(worker.stop().failed, []);
}

#[test]
fn a_source_that_is_far_ahead_of_another_sits_out_turns() {
    const VIEWS: usize = 20_000;
    let bed = Bed::new("ahead");
    bed.make("grown-ahead", 2, &[]);
    let sender = Sender::new(&bed.properties).unwrap();
    // Of the one a view a second, of the other one a minute: each turn takes it through days.
    for (from, step) in [(0, 1_000), (1, 60_000)] {
        for view in 0..VIEWS {
            let value = format!(r#"{{"at":{},"from":{from}}}"#, view * step);
            let out = Outgoing {
                topic: "grown-ahead",
                partition: Some(from),
                key: Some(b"user"),
                value: Some(value.as_bytes()),
                timestamp: None,
                headers: None,
                slot: 0,
            };
            sender.send(out).unwrap();
        }
    }
    assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
    let settings = WorkerSettings {
        until_caught_up: true,
        ..bed.settings()
    };
    let ended = bed.start_with(settings).thread.join().unwrap().unwrap();
    assert_eq!(ended.failed, []);
    let order = ahead::ORDER.lock().unwrap();
    assert_eq!(order.len(), 2 * VIEWS);
    let last = order.iter().rposition(|from| *from == 0).unwrap();
    let before = order[..last].iter().filter(|from| **from == 1).count();
    assert!(before < VIEWS / 2, "{before} of {VIEWS}");
}

#[test]
fn a_worker_does_not_join_one_that_takes_watermarks_for_bad_records() {
    let bed = Bed::new("grouped");
    bed.make("grown-words", 1, &[]);
    let directory = format!("{}-workers", bed.app);
    bed.make(&directory, 1, &[]);
    let sender = Sender::new(&bed.properties).unwrap();
    let tell = |value: Option<&str>| {
        sender
            .send(Outgoing {
                topic: &directory,
                partition: Some(0),
                key: Some(b"worker-of-before"),
                value: value.map(str::as_bytes),
                timestamp: None,
                headers: None,
                slot: 0,
            })
            .unwrap();
        assert_eq!(sender.flush(Duration::from_secs(20)).unwrap().failed, 0);
    };
    tell(Some(
        r#"{"format":1,"address":"127.0.0.1:9","version":"0.1.0","generation":3,"tables":{},"at":0}"#,
    ));
    let start = || {
        bed.start_with(WorkerSettings {
            address: Some("127.0.0.1:1".into()),
            ..bed.settings()
        })
    };
    let refused = start().thread.join().unwrap().expect_err("it is refused");
    let parts = [
        "worker-of-before",
        "127.0.0.1:9",
        "stop all workers of app `",
    ];
    names(&refused.to_string(), &parts);
    // It has ended.
    tell(None);
    let worker = start();
    until("the partition", || worker.runs(0));
    assert_eq!(worker.stop().failed, []);
}

#[test]
fn a_worker_is_not_caught_up_before_what_another_worker_has_is_read() {
    let bed = Bed::new("stands");
    bed.make("grown-stands", 2, &[]);
    *stands::HELD.lock().unwrap() = vec![0, 1];
    bed.send("grown-stands", [0, 1]);
    let stands = bed.start();
    until("both partitions", || (0..2).all(|p| stands.runs(p)));
    let other = tempfile::tempdir().unwrap();
    let caught_up = bed.start_with(WorkerSettings {
        until_caught_up: true,
        ..WorkerSettings::new(bed.properties.clone(), other.path())
    });
    until("its share", || (0..2).any(|p| caught_up.runs(p)));
    let (own, others) = if caught_up.runs(0) { (0, 1) } else { (1, 0) };
    *stands::HELD.lock().unwrap() = vec![others];
    until("its share's end", || bed.lag("grown-stands", own) == 0);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!caught_up.thread.is_finished());
    assert_eq!(bed.lag("grown-stands", others), 1);
    stands::HELD.lock().unwrap().clear();
    assert_eq!(caught_up.thread.join().unwrap().unwrap().failed, []);
    assert!((0..2).all(|p| bed.lag("grown-stands", p) == 0));
    assert_eq!(stands.stop().failed, []);
}

#[test]
fn a_worker_is_not_caught_up_before_partitions_that_were_added_are_read() {
    // The group learns of them long after everything else is done.
    let bed = Bed::looking_every("slow", "6000");
    bed.make("grown-slow", 1, &[]);
    bed.send("grown-slow", [0]);
    let settings = WorkerSettings {
        until_caught_up: true,
        ..bed.settings()
    };
    let worker = bed.start_with(settings);
    until("the partition", || worker.runs(0));
    bed.admin.add_partitions("grown-slow", 2).unwrap();
    bed.send("grown-slow", [1]);
    assert_eq!(worker.thread.join().unwrap().unwrap().failed, []);
    assert_eq!(bed.lag("grown-slow", 1), 0);
}
