//! Settings of the client as users bring them: Java's usual ones run, and what cannot be had names the user's own line.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tests::apache::{ApacheKafka, Options};
use tests::broker::Broker;
use tests::client::{self, Isolation};
use tests::voltage::App;
use tests::{cache, orders, skip};

const WITHIN: Duration = Duration::from_secs(60);

fn faulty(bootstrap: &str) -> App {
    App::of(PathBuf::from(env!("CARGO_BIN_EXE_faulty")), bootstrap)
}

fn with(flags: &[&str], more: &[&str]) -> Vec<String> {
    let words = flags.iter().chain(more);
    words.map(|word| (*word).to_owned()).collect()
}

fn totals(bootstrap: &str) -> usize {
    let records = client::read_all(bootstrap, "totals", Isolation::Committed);
    records.unwrap().len()
}

/// Java's defaults, and an instance id that its clients would share: the worker's threads have one each.
#[test]
fn java_s_settings_run_and_an_instance_id_of_the_file_is_the_worker_s() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "orders", 4, &[]).unwrap();
    orders::send(&bootstrap, orders::records(4, 1, 3));
    let app = faulty(&bootstrap);
    let file = app.dir().join("client.properties");
    let java = "delivery.timeout.ms=120000\nrequest.timeout.ms=30000\nacks=all\nretries=2147483647\n\
        max.in.flight.requests.per.connection=5\nlinger.ms=5\nmax.poll.interval.ms=20000\ngroup.instance.id=i1\n";
    fs::write(&file, java).unwrap();
    let file = file.to_str().unwrap();
    let flags = [
        "worker",
        "--config",
        file,
        "--threads",
        "2",
        "--until-caught-up",
    ];
    for guarantee in ["exactly-once", "at-least-once"] {
        let args = with(&flags, &["--processing-guarantee", guarantee]);
        let mut worker = app.start(&args);
        let status = worker.wait(WITHIN).unwrap();
        let log = worker.output();
        assert!(status.success() && !log.contains("instance id"), "{log}");
        // The test's own keys lie where it puts them.
        let complains = |line: &&str| {
            let own = line.contains("lies in another partition");
            !own && (line.contains("WARN") || line.contains("ERROR"))
        };
        assert_eq!(log.lines().find(complains), None, "{log}");
    }
    assert_eq!(totals(&bootstrap), 12);

    fs::write(app.dir().join("bad.properties"), "linger.ms=5\nacks=1\n").unwrap();
    let bad = app.dir().join("bad.properties");
    let command = app.command(&["worker", "--config", bad.to_str().unwrap()]);
    let text = app.fails(&command, WITHIN).unwrap();
    assert!(
        text.contains("bad.properties:2") && text.contains("`acks` = 1") && text.contains("`all`"),
        "{text}"
    );
}

/// A broker that wants longer sessions has them where nobody said how long; what it does not allow is named, both sides
/// of it, and is not called a lack of transactions.
#[test]
fn what_a_broker_does_not_allow_is_taken_from_it_or_named_with_both_settings() {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    let kafka = ApacheKafka::start_with(&Options {
        properties: vec![("group.min.session.timeout.ms".into(), "10000".into())],
        ..Options::default()
    })
    .unwrap();
    let bootstrap = kafka.bootstrap();
    client::create_topic(&bootstrap, "orders", 2, &[]).unwrap();
    orders::send(&bootstrap, orders::records(2, 1, 3));
    let app = faulty(&bootstrap);
    let mut worker = app.start(&["worker", "--until-caught-up"]);
    let status = worker.wait(WITHIN).unwrap();
    let log = worker.output();
    assert!(status.success(), "{log}");
    assert!(
        log.contains("sessions of 10 s") && log.contains("group.min.session.timeout.ms"),
        "{log}"
    );
    assert_eq!(totals(&bootstrap), 6);
    for (setting, named) in [
        (
            "session.timeout.ms=6000",
            [
                "`session.timeout.ms` = 6000 (--kafka)",
                "group.min.session.timeout.ms",
            ],
        ),
        (
            "transaction.timeout.ms=3600000",
            [
                "`transaction.timeout.ms` = 3600000 (--kafka)",
                "transaction.max.timeout.ms",
            ],
        ),
    ] {
        let command = app.command(&["worker", "--kafka", setting]);
        let text = app.fails(&command, WITHIN).unwrap();
        for named in named {
            assert!(text.contains(named), "no {named} in {text}");
        }
        assert!(!text.contains("at-least-once"), "{text}");
    }
}
