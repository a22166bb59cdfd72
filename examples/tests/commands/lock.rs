//! `plan.lock`: what `plan --write` keeps, `plan --check` and a worker compare.

use std::fs;

use serde_json::Value;

use crate::program::Program;

/// Changes the file as another version of the app would have written it.
fn edit(app: &Program, change: impl FnOnce(&mut Value)) {
    edit_at(app, "plan.lock", change);
}

fn edit_at(app: &Program, name: &str, change: impl FnOnce(&mut Value)) {
    let path = app.dir().join(name);
    let mut lock: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut lock["apps"]["voltage"]);
    fs::write(&path, serde_json::to_string_pretty(&lock).unwrap()).unwrap();
}

#[test]
fn a_plan_that_was_kept_is_compared_by_check_and_by_a_worker() {
    let app = Program::voltage();
    let none = app.run(&["plan", "--check"]);
    assert_eq!(none.code, Some(1));
    assert!(none.err.contains("there is no plan.lock"), "{}", none.err);

    app.ok(&["plan", "--write"]);
    let said = app.ok(&["plan", "--check"]);
    assert!(said.contains("plan.lock is up to date"), "{said}");
    let kept = fs::read_to_string(app.dir().join("plan.lock")).unwrap();
    for text in [
        "voltage-hourly_voltage-changelog",
        "\"voltage\": \"f64\"",
        "main.rs:",
    ] {
        assert!(kept.contains(text), "no {text} in {kept}");
    }

    edit(&app, |lock| {
        let tables = lock["tables"].as_object_mut().unwrap();
        let table = tables.remove("hourly_voltage").unwrap();
        tables.insert("hours".to_owned(), table);
        let mut gone = lock["agents"]["average"].clone();
        gone["sink"] = "elsewhere".into();
        gone["place"] = "src/gone.rs:7".into();
        lock["agents"]["gone"] = gone;
    });
    for command in [&["plan", "--check"][..], &["worker", "--until-caught-up"]] {
        let done = app.run(command);
        assert_eq!(done.code, Some(1), "{command:?}: {}{}", done.out, done.err);
        for text in [
            "table `hours` was renamed to `hourly_voltage`",
            "agent `gone` vanished",
            "then: plan.lock:",
            "from src/gone.rs:7",
            "now:  examples/src/bin/voltage/main.rs:",
            "`plan --write`",
        ] {
            assert!(
                done.err.contains(text),
                "{command:?}: no {text} in {}",
                done.err
            );
        }
    }
    assert!(
        !app.dir().join(".stream").exists(),
        "the worker began nothing"
    );

    app.ok(&["plan", "--write"]);
    app.ok(&["plan", "--check"]);
}

#[test]
fn a_row_that_grew_and_a_file_that_is_none_are_refused() {
    let app = Program::voltage();
    app.ok(&["plan", "--write"]);
    edit(&app, |lock| {
        let row = &mut lock["tables"]["hourly_voltage"]["row"];
        row["fields"].as_object_mut().unwrap().remove("sum");
        row["fingerprint"] = "0".into();
    });
    let done = app.run(&["plan", "--check"]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.err
            .contains("field `sum` is new and has no `#[serde(default)]`"),
        "{}",
        done.err
    );
    fs::write(app.dir().join("plan.lock"), "# mine").unwrap();
    let done = app.run(&["worker", "--until-caught-up"]);
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("is not a plan.lock"), "{}", done.err);
}

#[test]
fn on_the_development_broker_a_worker_keeps_the_plan_by_itself_and_compares_at_each_start() {
    const KEPT: &str = ".stream/voltage/plan.lock";
    let app = Program::voltage();
    let _broker = app.broker();
    let worker = ["worker", "--until-caught-up"];
    app.ok(&worker);
    assert!(app.dir().join(KEPT).exists());
    edit_at(&app, KEPT, |lock| {
        lock["tables"]["hourly_voltage"]["windows"] = "Tumbling { size: 600000 }".into();
        let mut gone = lock["agents"]["average"].clone();
        gone["place"] = "src/gone.rs:7".into();
        lock["agents"]["gone"] = gone;
    });
    let done = app.run(&worker);
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    for text in [
        "the windows of table `hourly_voltage` were Tumbling { size: 600000 }",
        "now:  examples/src/bin/voltage/main.rs:",
        KEPT,
        "`plan --write`",
    ] {
        assert!(done.err.contains(text), "no {text} in {}", done.err);
    }
    assert!(
        !done.err.contains("agent `gone`"),
        "agents come and go: {}",
        done.err
    );
    // One of their own wins.
    app.ok(&["plan", "--write"]);
    app.ok(&worker);
    fs::remove_file(app.dir().join("plan.lock")).unwrap();
    app.ok(&worker);
    app.ok(&["reset", "--yes"]);
    assert!(
        !app.dir().join(KEPT).exists(),
        "what starts again is compared with nothing"
    );
    app.ok(&worker);
}

#[test]
fn a_start_without_a_kept_plan_on_a_named_broker_says_in_one_line_what_it_would_guard_against() {
    let host = Program::voltage();
    let _broker = host.broker();
    let app = Program::voltage();
    let address = host.address().unwrap();
    let worker = ["worker", "--until-caught-up", "--broker", &address];
    let done = app.run(&worker);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let said = |err: &str| {
        err.lines()
            .filter(|line| line.contains("plan.lock"))
            .count()
    };
    assert_eq!(said(&done.err), 1, "{}", done.err);
    assert!(done.err.contains("`plan --write` makes it"), "{}", done.err);
    assert!(!app.dir().join(".stream/voltage/plan.lock").exists());
    app.ok(&["plan", "--write"]);
    assert_eq!(said(&app.run(&worker).err), 0, "once there is one");
}
