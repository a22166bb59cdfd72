//! Topics that do not exist: an external one is waited for, one that is asked for by name is an error.

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
