//! What topics say of themselves; topics that do not exist: an external one is waited for, one that is asked for by
//! name is an error.

use std::path::PathBuf;
use std::time::Duration;

use tests::broker::Broker;
use tests::client;
use tests::voltage::App;

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn an_external_topic_is_named_and_waited_for() {
    let broker = Broker::embedded();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_external"));
    let app = App::of(program, &broker.bootstrap());
    let mut worker = app.start(&["worker", "--until-caught-up"]);
    let line = worker.line_with("do not exist", WITHIN).unwrap();
    assert!(line.contains("elsewhere"), "{line}");
    client::create_topic(&broker.bootstrap(), "elsewhere", 1, &[]).unwrap();
    assert!(worker.wait(WITHIN).unwrap().success());
    app.run(&["send", "elsewhere", "hello", "--key", "k"], WITHIN)
        .unwrap();
    app.run(&["worker", "--until-caught-up"], WITHIN).unwrap();
    assert_eq!(app.tail("copied").unwrap().len(), 1);
}

#[test]
fn a_topic_that_does_not_exist_is_an_error_with_a_next_step() {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    let command = app.command(&["tail", "nowhere", "--until-end"]);
    let text = app.fails(&command, WITHIN).unwrap();
    assert!(text.contains("there is no topic nowhere"), "{text}");
    assert!(text.contains("topics"), "{text}");
}

/// The values of `heard`.
fn heard(app: &App) -> Vec<String> {
    let lines = app.tail("heard").unwrap_or_default();
    lines
        .iter()
        .map(|line| line.value.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn a_topic_s_own_start_and_on_gap_win_over_the_app_s() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_own_start")), &bootstrap);
    let send = |text: &str| {
        app.run(&["send", "own_start", text, "--key", "k"], WITHIN)
            .unwrap()
    };
    send("before");
    let mut worker = app.start(&["worker"]);
    let start = std::time::Instant::now();
    // What comes before the worker has its partition is before its start.
    while heard(&app).is_empty() {
        assert!(start.elapsed() < WITHIN, "{}", worker.output());
        send("after");
    }
    worker.signal("INT").unwrap();
    worker.wait(WITHIN).unwrap();
    let all = heard(&app);
    assert!(all.iter().all(|text| text == "after"), "{all:?}");

    app.run(&["worker", "--until-caught-up"], WITHIN).unwrap();
    let before = heard(&app).len();
    send("lost");
    send("kept");
    let lines = app.tail("own_start").unwrap();
    let end = lines.iter().map(|line| line.offset).max().unwrap();
    client::delete_records(&bootstrap, "own_start", 0, end).unwrap();
    app.run(&["worker", "--until-caught-up"], WITHIN).unwrap();
    assert_eq!(heard(&app)[before..], ["kept"]);
}
