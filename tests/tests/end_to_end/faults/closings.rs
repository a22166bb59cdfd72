//! A worker that is stopped amid windows that close, and goes on when another has closed them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use tests::amid;
use tests::broker::SharedApache;

const METERS: usize = 1_000;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000;

/// Two workers after each other, the first of which is stopped amid a closing, with a commit of it behind it, and goes
/// on after the second has closed all. Returns how often each meter's hour was told.
pub fn told_by_a_zombie_and_its_heir(
    broker: &Broker,
    mutant: Option<&str>,
) -> BTreeMap<String, u32> {
    let bootstrap = broker.bootstrap();
    for topic in ["readings", "hours"] {
        client::create_topic(&bootstrap, topic, 1, &[]).unwrap();
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_closing"));
    let app = App::of(program, &bootstrap);
    let send = |lines: &str| {
        let file = app.file("readings.jsonl", lines);
        app.run(&["send", "readings", "--file", &file], MINUTE)
            .unwrap();
    };
    let reading = |meter: usize, at: i64| format!("{{\"meter\":\"meter-{meter}\",\"at\":{at}}}\n");
    let mut lines = String::new();
    for meter in 0..METERS {
        let _ = lines.write_str(&reading(meter, BEGIN + meter as i64));
    }
    send(&lines);

    let stop = app.file("stop", "");
    let start = |dir: &str, stop: &str| {
        let more = ["--data-dir", dir, "--commit-events", amid::COMMIT_EVENTS];
        let args = [app.impatient(), more.map(str::to_owned).to_vec()].concat();
        let mut command = app.command(&args);
        command.env(amid::STOP, stop);
        command.envs(mutant.map(|name| ("STREAM_MUTANT", name)));
        app.start_command(&command)
    };
    let mut zombie = start("zombie", &stop);
    zombie.line_with("running", MINUTE).unwrap();
    send(&reading(0, BEGIN + 3_600_000));
    wait_until("the stop", MINUTE, || zombie.is_stopped());
    let told = || {
        let mut told = BTreeMap::new();
        for line in app.tail("hours").unwrap() {
            *told.entry(line.key.unwrap()).or_insert(0) += 1;
        }
        told
    };
    let before = told().len();
    assert!(before > 0 && before < METERS, "{before} told at the stop");
    let heir = start("heir", "");
    wait_until("all to be told", MINUTE, || told().len() == METERS);
    zombie.signal("CONT").unwrap();
    zombie.line_with("lost", MINUTE).unwrap();
    [zombie, heir].iter_mut().for_each(super::stop);
    told()
}

fn tells_nothing_again(broker: &Broker) {
    let told = told_by_a_zombie_and_its_heir(broker, None);
    let again: Vec<_> = told.iter().filter(|(_, times)| **times != 1).collect();
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(told.len(), METERS);
}

#[test]
fn a_zombie_amid_a_closing_tells_nothing_again_on_the_embedded_broker() {
    tells_nothing_again(&Broker::embedded());
}

#[test]
fn a_zombie_amid_a_closing_tells_nothing_again_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        tells_nothing_again(&broker);
    }
}
