//! One list of what is refused, asked of `TestApp`, of the embedded broker and of Apache Kafka: each says the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use stream_runtime::App as StreamApp;
use stream_runtime::testing::TestApp;
use tests::broker::{Broker, SharedApache};
use tests::client::{self, Isolation, Sender};
use tests::embedded::Embedded;
use tests::voltage::App;

#[path = "../../src/bin/refusals/app.rs"]
mod app;

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);

/// What goes into one topic, what comes out of the agent that reads it, and what it lets go of.
struct Case {
    agent: &'static str,
    input: &'static str,
    records: Vec<(Option<&'static str>, String)>,
    output: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// Key and what the value begins with, in any order.
    comes: Vec<(Option<&'static str>, String)>,
    /// Offset and what the reason names.
    dead: Vec<(i64, &'static [&'static str])>,
}

/// A record of so many days ago.
fn happened(days: i64) -> String {
    let at = Utc::now() - TimeDelta::days(days);
    format!(r#"{{"at":"{}"}}"#, at.to_rfc3339())
}

/// The same, counted.
fn counted(days: i64, count: u64) -> String {
    let at = Utc::now() - TimeDelta::days(days);
    format!(r#"{{"at":"{}","count":{count}}}"#, at.to_rfc3339())
}

/// Of twelve, taken four at once, the seventh is refused.
fn twelve() -> Vec<(Option<&'static str>, String)> {
    let days = |n| if n == 7 { 9 } else { 0 };
    let all = (1..=12).map(|n| (Some("a"), counted(days(n), n)));
    all.collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn cases() -> Vec<Case> {
    let keyed = |prefix: &str| {
        let all = ["a", "b", "c"].map(|key| (Some(key), format!("{prefix}{key}")));
        all.to_vec()
    };
    let keyless = |prefix: &str| {
        let mut records = keyed(prefix);
        records.insert(1, (None, text("nobody's")));
        records
    };
    const NO_KEY: &[&str] = &["compacted", "without a key", "needs a key"];
    const FOUND: &[&str] = &["found_out", "without a key", "needs a key"];
    vec![
        Case {
            agent: "declared",
            input: "declared",
            records: keyless(""),
            output: "compacted",
            settings: &[("cleanup.policy", "compact")],
            comes: [keyed(""), keyed("by hand h")].concat(),
            dead: vec![(1, NO_KEY)],
        },
        Case {
            agent: "by_hand",
            input: "by_hand",
            records: keyless("h"),
            output: "compacted",
            settings: &[("cleanup.policy", "compact")],
            comes: [keyed(""), keyed("by hand h")].concat(),
            dead: vec![(1, NO_KEY)],
        },
        Case {
            agent: "found",
            input: "found",
            records: keyless(""),
            output: "found_out",
            settings: &[("cleanup.policy", "compact")],
            comes: keyed(""),
            dead: vec![(1, FOUND)],
        },
        Case {
            agent: "recent",
            input: "happened",
            records: [0, 0, 9, 0, 9, 0]
                .map(|days| (Some("a"), happened(days)))
                .to_vec(),
            output: "recent",
            settings: &[("message.timestamp.before.max.ms", "86400000")],
            comes: [1, 2, 3, 4]
                .map(|count| (Some("a"), format!(r#""count":{count}}}"#)))
                .to_vec(),
            dead: vec![
                (2, &["message.timestamp.before.max.ms", "recent"]),
                (4, &["message.timestamp.before.max.ms", "recent"]),
            ],
        },
        Case {
            agent: "gather",
            input: "gather",
            records: twelve(),
            output: "gathered",
            settings: &[("message.timestamp.before.max.ms", "86400000")],
            comes: (1..=12)
                .filter(|n| *n != 7)
                .map(|n| (Some("a"), format!(r#""count":{n}}}"#)))
                .collect(),
            dead: vec![(6, &["message.timestamp.before.max.ms", "gathered"])],
        },
        Case {
            agent: "sized",
            input: "sizes",
            records: ["5", "3000", "6"]
                .map(|size| (Some("a"), text(size)))
                .to_vec(),
            output: "narrow",
            settings: &[("max.message.bytes", "2000")],
            comes: ["xxxxx", "xxxxxx"].map(|x| (Some("a"), text(x))).to_vec(),
            dead: vec![(1, &["`max.message.bytes` of narrow", "3001 bytes"])],
        },
        Case {
            agent: "grow",
            input: "grow",
            records: vec![
                (Some("a"), text("700000")),
                (Some("b"), text("5")),
                (Some("a"), text("700000")),
                (Some("b"), text("6")),
                (Some("a"), text("7")),
            ],
            output: "lengths",
            settings: &[],
            comes: vec![
                (Some("a"), text("700000")),
                (Some("b"), text("5")),
                (Some("b"), text("11")),
                (Some("a"), text("700007")),
            ],
            dead: vec![(2, &["`text`", "\"a\"", "`max.message.bytes` of"])],
        },
    ]
}

/// A record that came out: its key and value.
type Came = (Option<String>, String);

/// What came out of a topic, and the dead letters of an agent: offset and reason.
trait Outcome {
    fn comes(&mut self, topic: &str) -> Vec<Came>;
    fn dead(&mut self, agent: &str) -> Vec<(i64, String)>;
}

fn check(what: &str, cases: &[Case], outcome: &mut dyn Outcome) {
    for case in cases {
        let mut comes = outcome.comes(case.output);
        // A time of its own is no matter here.
        for (_, value) in &mut comes {
            if let Some(at) = value.find(r#""count""#) {
                value.drain(..at);
            }
        }
        let expected = case.comes.iter();
        let mut expected: Vec<Came> = expected
            .map(|(key, value)| (key.map(str::to_owned), value.clone()))
            .collect();
        comes.sort();
        expected.sort();
        assert_eq!(comes, expected, "{what}: {}", case.output);
        let dead = outcome.dead(case.agent);
        let offsets: Vec<i64> = dead.iter().map(|(offset, _)| *offset).collect();
        let expected: Vec<i64> = case.dead.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, expected, "{what}: {}: {dead:?}", case.agent);
        for ((_, reason), (_, named)) in dead.iter().zip(&case.dead) {
            for name in *named {
                assert!(reason.contains(name), "{what}: {name} in {reason}");
            }
        }
    }
}

impl Outcome for TestApp {
    fn comes(&mut self, topic: &str) -> Vec<Came> {
        let records = self.sent::<Bytes>(topic);
        let record = |record: &stream_runtime::testing::Sent<Bytes>| {
            let value = String::from_utf8(record.to_vec()).unwrap();
            (record.key::<Option<String>>(), value)
        };
        records.iter().map(record).collect()
    }

    fn dead(&mut self, agent: &str) -> Vec<(i64, String)> {
        let letters = self.dead_letters(agent);
        let letter = |letter: &stream_runtime::testing::Sent<Option<Bytes>>| {
            assert_eq!(letter.header("attempts"), Some("1"), "at the first try");
            let offset = letter.header("source.offset").unwrap();
            let reason = letter.header("error").unwrap().to_owned();
            (offset.parse().unwrap(), reason)
        };
        letters.iter().map(letter).collect()
    }
}

/// What a worker has left behind on a broker.
struct Left<'b> {
    bootstrap: &'b str,
    isolation: Isolation,
}

impl Outcome for Left<'_> {
    fn comes(&mut self, topic: &str) -> Vec<Came> {
        let records = client::read_all(self.bootstrap, topic, self.isolation).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let came = records
            .iter()
            .map(|record| (record.key.as_deref().map(text), text(record.bytes())));
        came.collect()
    }

    fn dead(&mut self, agent: &str) -> Vec<(i64, String)> {
        let topic = format!("refusals-{agent}-dead-letters");
        let letters = client::read_all(self.bootstrap, &topic, self.isolation).unwrap();
        let mut dead: Vec<(i64, String)> = Vec::new();
        for letter in &letters {
            assert_eq!(letter.header("attempts"), Some("1"), "at the first try");
            let offset = letter.header("source.offset").unwrap();
            let reason = letter.header("error").unwrap().to_owned();
            dead.push((offset.parse().unwrap(), reason));
        }
        dead
    }
}

/// An embedded broker, of the app's own program.
fn embedded() -> Broker {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_refusals"));
    Broker::Embedded(Embedded::of(program).expect("the embedded broker starts"))
}

/// The settings of each output, each once.
fn settings(cases: &[Case]) -> BTreeMap<&'static str, &'static [(&'static str, &'static str)]> {
    let settings = cases.iter().map(|case| (case.output, case.settings));
    settings.collect()
}

#[test]
fn what_is_refused_is_its_event_s_dead_letter_in_a_test_app() {
    let cases = cases();
    let agents = (
        app::declared,
        app::by_hand,
        app::found,
        app::recent,
        app::gather,
        app::sized,
        app::grow,
    );
    let mut test = TestApp::of(StreamApp::new("refusals").only(agents));
    for (topic, settings) in settings(&cases) {
        for (name, value) in settings {
            test = test.topic_setting(topic, name, value);
        }
    }
    test.advance_to(Utc::now());
    for case in &cases {
        for (key, value) in &case.records {
            test.send_raw(case.input, key.map(str::as_bytes), Some(value.as_bytes()));
        }
    }
    check("TestApp", &cases, &mut test);
}

/// All cases in one thread of one worker, so that they share its commits.
fn on_a_broker(broker: &Broker, what: &str, guarantee: &str) {
    let bootstrap = broker.bootstrap();
    let cases = cases();
    for (topic, settings) in settings(&cases) {
        client::create_topic(&bootstrap, topic, 1, settings).unwrap();
    }
    let sender = Sender::new(&bootstrap).unwrap();
    for case in &cases {
        client::create_topic(&bootstrap, case.input, 1, &[]).unwrap();
        for (key, value) in &case.records {
            let key = key.map(str::as_bytes);
            let value = Some(value.as_bytes());
            sender.send(case.input, key, value, Some(0)).unwrap();
        }
    }
    sender.finish().unwrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_refusals")), &bootstrap);
    let mut args = vec!["worker", "--until-caught-up", "--threads", "1"];
    args.extend(["--processing-guarantee", guarantee]);
    let worker = app.run(&args, LONG).unwrap();
    let isolation = match guarantee {
        "exactly-once" => Isolation::Committed,
        _ => Isolation::Uncommitted,
    };
    let bootstrap = &bootstrap;
    let mut left = Left {
        bootstrap,
        isolation,
    };
    check(&format!("{what}, {guarantee}"), &cases, &mut left);
    let output = worker.output();
    let mut letters = output.lines().filter(|line| line.contains("dead letter"));
    let consequence = letters.find(|line| line.contains("Purge") || line.contains("TimedOut"));
    assert_eq!(consequence, None, "is no cause:\n{output}");
}

#[test]
fn what_is_refused_is_its_event_s_dead_letter_on_the_embedded_broker() {
    for guarantee in ["exactly-once", "at-least-once"] {
        on_a_broker(&embedded(), "embedded", guarantee);
    }
}

// G9: What the broker refuses for what it is becomes its own event's dead letter; everything else of the commit is
// kept.
#[test]
fn what_is_refused_is_its_event_s_dead_letter_on_apache_kafka() {
    for guarantee in ["exactly-once", "at-least-once"] {
        let Some(broker) = SharedApache::take() else {
            return;
        };
        on_a_broker(&broker, "Apache", guarantee);
    }
}

/// An output that is larger than a client sends by default, where client and topic were set to take it.
fn an_output_of_three_million_bytes(broker: &Broker, guarantee: &str) {
    let bootstrap = broker.bootstrap();
    let wide = [("max.message.bytes", "4000000")];
    for (topic, settings) in [("narrow", &wide[..]), ("sizes", &[])] {
        client::create_topic(&bootstrap, topic, 1, settings).unwrap();
    }
    let sender = Sender::new(&bootstrap).unwrap();
    for size in ["3000000", "5", "4100000"] {
        let sent = sender.send("sizes", Some(b"a"), Some(size.as_bytes()), Some(0));
        sent.unwrap();
    }
    sender.finish().unwrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_refusals")), &bootstrap);
    let config = app.file("wide.properties", "max.request.size=5000000\n");
    let mut args = vec!["worker", "--until-caught-up", "--config", &config];
    args.extend(["--processing-guarantee", guarantee]);
    let worker = app.run(&args, LONG).unwrap();
    let mut left = Left {
        bootstrap: &bootstrap,
        isolation: Isolation::Committed,
    };
    let lengths: Vec<usize> = left.comes("narrow").iter().map(|(_, x)| x.len()).collect();
    assert_eq!(lengths, [3_000_000, 5], "{}", worker.output());
    let dead = left.dead("sized");
    let named = |(offset, why): &(i64, String)| *offset == 2 && why.contains("of narrow");
    assert!(dead.len() == 1 && dead.iter().all(named), "{dead:?}");
}

#[test]
fn an_output_of_three_million_bytes_comes_out_where_client_and_topic_take_it() {
    for guarantee in ["exactly-once", "at-least-once"] {
        an_output_of_three_million_bytes(&embedded(), guarantee);
    }
    if let Some(broker) = SharedApache::take() {
        an_output_of_three_million_bytes(&broker, "exactly-once");
    }
}

/// What was taken together and delivered with a commit that was refused in part is not sent again one by one.
fn fours_that_were_delivered(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "gathered", 1, NOTHING).unwrap();
    client::create_topic(&bootstrap, "gather", 1, &[]).unwrap();
    let sender = Sender::new(&bootstrap).unwrap();
    for (key, value) in twelve() {
        let key = key.map(str::as_bytes);
        let sent = sender.send("gather", key, Some(value.as_bytes()), Some(0));
        sent.unwrap();
    }
    sender.finish().unwrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_refusals")), &bootstrap);
    let mut args = vec!["worker", "--until-caught-up", "--threads", "1"];
    args.extend(["--processing-guarantee", "at-least-once"]);
    let worker = app.run(&args, LONG).unwrap();
    let sums = client::read_all(&bootstrap, "sums", Isolation::Uncommitted).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut sums: Vec<u64> = sums
        .iter()
        .map(|record| text(record.bytes()).parse().unwrap())
        .collect();
    sums.sort_unstable();
    // 26 went out with the four of which one was refused. These are dispatched one by one then, and of the refused
    // one's two records the other goes out.
    assert_eq!(sums, [5, 6, 7, 8, 10, 26, 42], "{}", worker.output());
}

#[test]
fn what_was_taken_together_and_delivered_is_not_sent_again() {
    fours_that_were_delivered(&embedded());
    if let Some(broker) = SharedApache::take() {
        fours_that_were_delivered(&broker);
    }
}

const NOTHING: &[(&str, &str)] = &[("message.timestamp.before.max.ms", "86400000")];

/// A topic that takes nothing at all is not a fault of the records: its partition fails, and says which setting it is.
fn a_topic_that_takes_nothing(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "only_new", 1, NOTHING).unwrap();
    client::create_topic(&bootstrap, "old", 1, &[]).unwrap();
    let sender = Sender::new(&bootstrap).unwrap();
    for days in 10..20 {
        let value = happened(days);
        let sent = sender.send("old", Some(b"a"), Some(value.as_bytes()), Some(0));
        sent.unwrap();
    }
    sender.finish().unwrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_refusals")), &bootstrap);
    let args = ["worker", "--until-caught-up", "--threads", "1"];
    let output = app.fails(&app.command(&args), MINUTE).unwrap();
    for named in ["only_new", "message.timestamp.before.max.ms", "old[0]"] {
        assert!(output.contains(named), "{named}:\n{output}");
    }
    let dead = client::read_all(
        &bootstrap,
        "refusals-old-dead-letters",
        Isolation::Committed,
    );
    let dead = dead.unwrap().len();
    assert_eq!(
        dead, 0,
        "let go of before it was known that the topic takes nothing:\n{output}"
    );
}

#[test]
fn a_topic_that_takes_nothing_fails_the_partition_with_the_setting() {
    a_topic_that_takes_nothing(&embedded());
    if let Some(broker) = SharedApache::take() {
        a_topic_that_takes_nothing(&broker);
    }
}

/// What a test sends meets the settings of its topic, as what a producer sends does.
#[test]
fn a_record_without_a_key_for_a_compacted_input_is_refused_in_a_test_app_as_by_a_broker() {
    let refused = |topic: &str, setting: bool| {
        let topic = topic.to_owned();
        std::panic::catch_unwind(move || {
            let mut test = TestApp::only((app::old,));
            if setting {
                test = test.topic_setting(&topic, "cleanup.policy", "compact");
            }
            let value = text(&happened(0));
            test.send(&topic, None::<String>, value);
        })
    };
    assert!(refused("old", false).is_ok());
    let why = refused("old", true).unwrap_err();
    let why = why.downcast_ref::<String>().unwrap();
    assert!(why.contains("a compacted topic needs a key"), "{why}");
}

#[test]
#[should_panic(expected = "message.timestamp.before.max.ms")]
fn a_topic_that_takes_nothing_fails_a_test_as_well() {
    let (name, value) = NOTHING[0];
    let mut test = TestApp::only((app::old,)).topic_setting("only_new", name, value);
    test.advance_to(Utc::now());
    for days in 10..20 {
        test.send_raw("old", Some(b"a"), Some(happened(days).as_bytes()));
    }
    test.sent::<Bytes>("only_new");
}
