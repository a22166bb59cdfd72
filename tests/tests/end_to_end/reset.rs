//! `reset`: the app starts again, and what its agents write for each other is not counted twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tests::broker::{Broker, SharedApache};
use tests::client::{self, Isolation};
use tests::voltage::App;

const MINUTE: Duration = Duration::from_secs(60);
/// Topics that nobody of the app reads.
const SINKS: [&str; 4] = ["word-counts", "length-counts", "note-counts", "met"];

fn app(broker: &Broker) -> App {
    App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_resetting")),
        &broker.bootstrap(),
    )
}

fn lines(app: &App) -> String {
    let words = ["a", "be", "sea", "deed", "eagle", "a", "deed"];
    let line = |n: usize| {
        let text: Vec<&str> = (0..n % 5 + 1).map(|at| words[(n + at) % 7]).collect();
        format!(
            "{{\"key\":\"k{}\",\"at\":\"2026-01-01T00:00:{:02}Z\",\"text\":\"{}\"}}\n",
            n % 4,
            n % 60,
            text.join(" ")
        )
    };
    app.file("lines.jsonl", &(0..90).map(line).collect::<String>())
}

/// What each key of a topic has in the order of its partition.
type Of = BTreeMap<String, Vec<i64>>;

fn sunk(broker: &Broker) -> BTreeMap<&'static str, Of> {
    let of = |topic: &str| {
        let mut all = Of::new();
        for record in client::read_all(&broker.bootstrap(), topic, Isolation::Committed).unwrap() {
            let key = format!("{:?}", record.key);
            all.entry(key)
                .or_default()
                .push(record.json()["n"].as_i64().unwrap());
        }
        all
    };
    SINKS.map(|topic| (topic, of(topic))).into()
}

fn times(of: &BTreeMap<&'static str, Of>, n: usize) -> BTreeMap<&'static str, Of> {
    let mut of = of.clone();
    for values in of.values_mut().flat_map(BTreeMap::values_mut) {
        *values = values.repeat(n);
    }
    of
}

fn work(app: &App) {
    app.run(&app.until_caught_up(), MINUTE).unwrap();
}

fn a_reset_and_a_run_give_the_first_run_s_results_once_more(broker: &Broker) {
    let app = app(broker);
    client::create_topic(&broker.bootstrap(), "lines", 2, &[]).unwrap();
    let send = [
        "send",
        "lines",
        "--file",
        &lines(&app),
        "--key-field",
        "key",
    ];
    app.run(&send, MINUTE).unwrap();
    work(&app);
    let first = sunk(broker);
    for (topic, of) in &first {
        assert!(!of.is_empty(), "nothing in {topic}");
    }
    let words = client::end_offsets(&broker.bootstrap(), "words", Isolation::Committed).unwrap();

    // A topic that agents and a command write: not without the user's word.
    let refused = app
        .fails(&app.command(&["reset", "--yes"]), MINUTE)
        .unwrap();
    for part in [
        "notes",
        "agent `long`",
        "command `note`",
        "--to-end notes",
        "--from-beginning notes",
    ] {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    // A dry run says what would be done, and does nothing.
    let dry = ["reset", "--dry-run", "--to-end", "notes", "-o", "json"];
    let dry: Value = serde_json::from_str(&app.run(&dry, MINUTE).unwrap().stdout()).unwrap();
    assert_eq!(dry["inputs"], serde_json::json!(["lines"]));
    assert_eq!(dry["to_end"], serde_json::json!(["notes", "words"]));
    assert_eq!(dry["repartition_topics"].as_array().unwrap().len(), 1);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["workers_topic"], "resetting-workers");
    let text = app
        .run(&["reset", "-n", "--to-end", "notes"], MINUTE)
        .unwrap()
        .stdout();
    assert!(
        text.contains("offsets to the end: words (written again by agent `split`)")
            && text.contains("offsets back to the beginning: lines")
            && text.contains("made again by the next worker: resetting-workers")
            && text.contains("Nothing was changed"),
        "{text}"
    );
    work(&app);
    assert_eq!(sunk(broker), first, "nothing was reset");

    for n in [2, 3] {
        app.run(&["reset", "--yes", "--to-end", "notes"], MINUTE)
            .unwrap();
        work(&app);
        assert_eq!(sunk(broker), times(&first, n), "run {n}");
    }
    let all = client::end_offsets(&broker.bootstrap(), "words", Isolation::Committed).unwrap();
    assert!(
        all.iter().zip(&words).all(|(all, first)| all >= first),
        "what is between the agents stays: {all:?} {words:?}"
    );
}

#[test]
fn a_reset_does_not_double_topics_between_agents() {
    a_reset_and_a_run_give_the_first_run_s_results_once_more(&Broker::embedded());
}

#[test]
fn a_reset_does_not_double_topics_between_agents_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        a_reset_and_a_run_give_the_first_run_s_results_once_more(&broker);
    }
}

// G14: A `reset` that was killed is finished by the next one, and no worker that starts in between is wrong.
/// Wherever it is killed: run again, it finishes.
#[test]
fn a_reset_that_was_killed_is_finished_by_the_next() {
    let broker = Broker::embedded();
    let app = app(&broker);
    client::create_topic(&broker.bootstrap(), "lines", 2, &[]).unwrap();
    let send = [
        "send",
        "lines",
        "--file",
        &lines(&app),
        "--key-field",
        "key",
    ];
    app.run(&send, MINUTE).unwrap();
    work(&app);
    let first = sunk(&broker);
    let reset = ["reset", "--yes", "--to-end", "notes"];
    let mut killed = 0;
    for after in (20..300).step_by(20) {
        let mut process = app.start(&reset);
        std::thread::sleep(Duration::from_millis(after));
        killed += u32::from(process.ended().is_none());
        process.kill();
    }
    println!("killed {killed} times");
    assert!(killed > 0, "every one had ended before");
    app.run(&reset, MINUTE).unwrap();
    work(&app);
    assert_eq!(sunk(&broker), times(&first, 2));
}
