//! A full disk: nothing more is taken, nothing is lost, and it goes on when there is room.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;
use tests::broker_suite::Producing;
use tests::client::{self, Isolation};
use tests::killable::Killable;
use tests::skip::skip;

const LONG: Duration = Duration::from_secs(30);

/// No file may grow beyond 256 KiB: to the broker that is a disk without room, and it can be lifted while it runs.
fn start_with_little_room() -> Killable {
    let program = env!("CARGO_BIN_EXE_embedded-broker");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("trap '' XFSZ; ulimit -S -f 512; exec '{program}' \"$@\""),
        "sh",
    ]);
    Killable::start_as(command)
}

/// Lifts the limit; false when there is no `prlimit` here.
fn make_room(broker: &Killable) -> bool {
    let status = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &broker.pid().to_string()])
        .status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_holds_producers_up_and_loses_nothing() {
    for killed_meanwhile in [false, true] {
        let mut broker = start_with_little_room();
        if Command::new("prlimit").arg("--version").output().is_err() {
            return skip("prlimit is not installed: no test of a full disk");
        }
        let bootstrap = broker.bootstrap();
        client::create_topic(&bootstrap, "plain", 1, &[]).unwrap();
        client::create_topic(&bootstrap, "other", 1, &[]).unwrap();
        let settings = [
            ("message.timeout.ms", "120000"),
            ("retry.backoff.max.ms", "100"),
            ("batch.num.messages", "10"),
        ];
        let producing = Producing::new(&bootstrap, &settings);
        for at in 0..400 {
            producing.send("plain", 0, "k", Some(format!("{at:0>1000}").as_bytes()));
        }
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            producing.producer.poll(Duration::from_millis(50));
        }
        let left = producing.producer.in_flight_count();
        assert!(left > 100 && left < 400, "{left} of 400 wait for room");
        assert_eq!(producing.undelivered.codes(), [], "none is given up");
        // Others are served meanwhile.
        let other = Producing::new(&bootstrap, &[]);
        other.send("other", 0, "k", Some(b"v"));
        other.flush();
        let read = client::read_all(&bootstrap, "plain", Isolation::Committed)
            .unwrap()
            .len();
        assert!((100..400).contains(&read), "{read} are there");
        if killed_meanwhile {
            broker.kill();
            broker.restart();
        }
        assert!(make_room(&broker));
        producing.flush();
        let records = client::read_all(&bootstrap, "plain", Isolation::Committed).unwrap();
        let numbers: Vec<usize> = records
            .into_iter()
            .map(|record| {
                String::from_utf8(record.value.unwrap())
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            numbers,
            (0..400).collect::<Vec<_>>(),
            "each once and in order"
        );
    }
}

#[test]
fn a_transaction_goes_on_when_there_is_room() {
    let broker = start_with_little_room();
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "full", 1, &[]).unwrap();
    client::create_topic(&bootstrap, "roomy", 1, &[]).unwrap();
    let settings = [
        ("transactional.id", "full"),
        ("transaction.timeout.ms", "60000"),
        ("batch.num.messages", "10"),
    ];
    let transaction = Producing::new(&bootstrap, &settings);
    transaction.producer.init_transactions(LONG).unwrap();
    transaction.producer.begin_transaction().unwrap();
    for at in 0..400 {
        transaction.send("full", 0, "k", Some(format!("{at:0>1000}").as_bytes()));
    }
    transaction.send("roomy", 0, "k", Some(b"v"));
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        transaction.producer.poll(Duration::from_millis(50));
    }
    assert!(transaction.producer.in_flight_count() > 100);
    if !make_room(&broker) {
        return skip("prlimit is not installed: no test of a full disk");
    }
    transaction.flush();
    transaction.producer.commit_transaction(LONG).unwrap();
    assert_eq!(
        client::read_all(&bootstrap, "full", Isolation::Committed)
            .unwrap()
            .len(),
        400
    );
    assert_eq!(
        client::read_all(&bootstrap, "roomy", Isolation::Committed)
            .unwrap()
            .len(),
        1
    );
}
