//! The embedded broker does for a client what Apache Kafka does.

use stream_broker::{Broker, Config};
use tests::broker_suite;

fn on_a_broker_of_its_own(check: fn(&str)) {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(Config::new(directory.path())).expect("the broker starts");
    check(&broker.address().to_string());
}

macro_rules! checks {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            on_a_broker_of_its_own(broker_suite::$name);
        })*

        #[test]
        fn every_check_runs() {
            let names: Vec<_> = broker_suite::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

checks! {
    create
    produce_and_consume
    too_large
    group
    stale_member
    transaction
    transactions_in_turn
    last_stable_offset
    fencing
    timeout
    delete_records
    compaction
    compaction_of_compressed
    offsets_by_time
}
