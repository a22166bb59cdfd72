//! The examples at work.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use crate::program::{Program, SAMPLE};

/// Count and mean of every hour of the sample, computed here from its text.
fn hours() -> BTreeMap<String, (u64, f64)> {
    let mut hours: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    for line in fs::read_to_string(SAMPLE).unwrap().lines().skip(1) {
        let columns: Vec<&str> = line.split(';').collect();
        let date: Vec<&str> = columns[0].split('/').collect();
        let hour = format!(
            "{}-{}-{}T{}:00:00Z",
            date[2],
            date[1],
            date[0],
            &columns[1][..2]
        );
        let (count, sum) = hours.entry(hour).or_default();
        *count += 1;
        *sum += columns[4].parse::<f64>().unwrap();
    }
    hours
        .into_iter()
        .map(|(hour, (count, sum))| (hour, (count, sum / count as f64)))
        .collect()
}

fn assert_hours(found: BTreeMap<String, (u64, f64)>) {
    let expected = hours();
    assert_eq!(expected.len(), 77);
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (hour, (count, mean)) in found {
        assert_eq!(count, expected[&hour].0, "{hour}");
        assert!(
            (mean - expected[&hour].1).abs() < 1e-6,
            "{hour}: {mean}, expected {}",
            expected[&hour].1
        );
    }
}

#[test]
fn the_demo_prints_the_hourly_means() {
    let app = Program::voltage();
    let out = app.ok(&["demo"]);
    let row = |line: &str| {
        let columns: Vec<&str> = line.split(',').collect();
        let [hour, count, mean] = columns[..] else {
            return None;
        };
        Some((hour.to_owned(), (count.parse().ok()?, mean.parse().ok()?)))
    };
    let rows: Vec<_> = out.lines().filter_map(row).collect();
    assert_eq!(rows.len(), 77, "each once");
    assert_hours(rows.into_iter().collect());
    assert!(out.contains("cargo run --release -- produce"), "{out}");
    assert!(
        !app.dir().join(".stream").exists(),
        "it leaves nothing behind"
    );
}

#[test]
fn a_worker_catches_up_and_starts_again_after_a_reset() {
    let app = Program::voltage();
    let _broker = app.broker();
    let said = app.ok(&["produce", SAMPLE]);
    assert!(
        said.contains("Sent 4596 readings of power to voltage_input; 0 "),
        "{said}"
    );
    let means = |app: &Program| -> Vec<(String, (u64, f64))> {
        let rows = app.values("voltage_avg").into_iter();
        rows.map(|(key, value)| {
            assert_eq!(key.as_deref(), Some("power"));
            let (count, mean) = (
                value["count"].as_u64().unwrap(),
                value["mean"].as_f64().unwrap(),
            );
            (
                value["start_time"].as_str().unwrap().to_owned(),
                (count, mean),
            )
        })
        .collect()
    };
    app.ok(&["worker", "--until-caught-up"]);
    assert_eq!(means(&app).len(), 77, "each once");
    assert_hours(means(&app).into_iter().collect());
    app.ok(&["worker", "--until-caught-up"]);
    assert_eq!(means(&app).len(), 77, "a restart repeats nothing");

    let topics: serde_json::Value =
        serde_json::from_str(&app.ok(&["topics", "-o", "json"])).unwrap();
    let input = topics
        .as_array()
        .unwrap()
        .iter()
        .find(|topic| topic["topic"] == "voltage_input")
        .unwrap();
    assert_eq!(
        (&input["offsets"], &input["lag"]),
        (&json!(4596), &json!(0))
    );

    let asked = app.run(&["reset"]);
    assert_eq!(asked.code, Some(2));
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    app.ok(&["reset", "--yes"]);
    app.ok(&["worker", "--until-caught-up"]);
    assert_eq!(means(&app).len(), 2 * 77, "all of it again");
    assert_hours(means(&app).into_iter().collect());
}

#[test]
fn a_reset_waits_for_no_worker() {
    let app = Program::voltage();
    let broker = app.broker();
    let worker = app.start(&["worker"]);
    crate::program::eventually("the worker has its partitions", || {
        worker.errors().contains("assigned")
    });
    let done = app.run(&["reset", "--yes"]);
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("stop all workers"), "{}", done.err);
    assert_eq!(worker.interrupt(), Some(0));
    assert_eq!(broker.interrupt(), Some(0));
}

#[test]
fn words_are_counted() {
    let app = Program::word_count();
    let _broker = app.broker();
    app.ok(&["send", "sentences", "the quick brown fox"]);
    app.ok(&["send", "sentences", "and The lazy dog, the same"]);
    app.ok(&["worker", "--until-caught-up"]);
    app.ok(&["send", "sentences", "the end"]);
    app.ok(&["worker", "--until-caught-up"]);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (key, value) in app.values("word_counts") {
        assert_eq!(key.as_deref(), value["word"].as_str());
        let count = counts.entry(key.unwrap()).or_default();
        *count = (*count).max(value["count"].as_u64().unwrap());
    }
    let expected = [
        ("and", 1),
        ("brown", 1),
        ("dog", 1),
        ("end", 1),
        ("fox", 1),
        ("lazy", 1),
        ("quick", 1),
        ("same", 1),
        ("the", 4),
    ];
    assert_eq!(
        counts,
        expected
            .map(|(word, count)| (word.to_owned(), count))
            .into()
    );
}
