//! Random histories: whatever is aborted, crashes or is wiped, the committed outputs are those of a quiet run.

use proptest::prelude::*;

use super::driver::{Driver, Input};
use super::specs::*;
use crate::table::TableSpec;

#[derive(Clone, Debug)]
enum Step {
    Send { key: u8, jump: i64, value: i64 },
    Run(usize),
    Commit,
    Abort,
    Store,
    Crash { empty_disk: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..6, -40i64..60, -9i64..9).prop_map(|(key, jump, value)| Step::Send { key, jump, value }),
        4 => (1usize..8).prop_map(Step::Run),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        2 => Just(Step::Store),
        1 => any::<bool>().prop_map(|empty_disk| Step::Crash { empty_disk }),
    ]
}

fn history<S>(steps: &[Step], cache_bytes: usize)
where
    S: TableSpec<Key = String, Value = Agg>,
    S::Kind: Adds,
{
    let settings = crate::task::TaskSettings {
        cache_bytes,
        ..super::driver::settings()
    };
    let mut driver = Driver::with(topology::<S>(), settings);
    let mut quiet = Driver::new(topology::<S>());
    let mut time = 0;
    for step in steps {
        match step {
            Step::Send { key, jump, value } => {
                time += jump;
                let input = Input::reading(&format!("k{key}"), time, *value);
                driver.send(input.clone());
                quiet.send(input);
            }
            Step::Run(records) => driver.run(*records),
            Step::Commit => driver.commit(),
            Step::Abort => driver.abort(),
            Step::Store => driver.store(),
            Step::Crash { empty_disk } => driver.crash(*empty_disk),
        }
    }
    driver.run_all();
    driver.commit();
    quiet.run_all();
    quiet.commit();
    assert_eq!(driver.cluster.outputs, quiet.cluster.outputs);
    assert_eq!(driver.folded(0), quiet.folded(0));
    assert_eq!(driver.cluster.offset, quiet.cluster.offset);
}

/// How many histories to try: `STREAM_HISTORIES`, else 400.
pub fn histories() -> u32 {
    let wanted = std::env::var("STREAM_HISTORIES").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(histories()))]

    #[test]
    fn crashes_and_aborts_change_nothing(steps in prop::collection::vec(step(), 1..120)) {
        history::<Tumbling7Grace3>(&steps, 1 << 20);
        history::<Hopping10By3Grace4>(&steps, 1 << 20);
        history::<Retained>(&steps, 1 << 20);
    }

    #[test]
    fn nor_does_a_cache_smaller_than_the_table(steps in prop::collection::vec(step(), 1..200)) {
        // The least a cache holds is 64 rows; hopping windows of ten by three make more.
        history::<Hopping10By3Grace4>(&steps, 0);
        history::<Retained>(&steps, 0);
    }
}
