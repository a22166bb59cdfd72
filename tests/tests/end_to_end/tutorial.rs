//! The tutorial, as four processes: broker, `produce`, `worker --until-caught-up`, `tail`.

use std::path::Path;
use std::time::Duration;
use tests::broker::{Broker, SharedApache};
use tests::data::{self, Hours};
use tests::voltage::App;

const MINUTES: Duration = Duration::from_secs(180);

/// Produces the file, works it off and compares every hour.
fn runs(broker: &Broker, file: &Path, expected: &Hours) {
    let app = App::voltage(&broker.bootstrap());
    app.run(&["produce", file.to_str().unwrap()], MINUTES)
        .unwrap();
    app.run(&["worker", "--until-caught-up"], MINUTES).unwrap();
    let averages = app.averages().unwrap();
    assert_eq!(averages.keys().collect::<Vec<_>>(), ["power"]);
    assert_eq!(averages["power"], *expected);
}

/// Returns the whole file and its expected means.
fn household() -> (std::path::PathBuf, Hours) {
    let (rows, means) = data::household();
    let expected = data::expected(&means).unwrap();
    assert_eq!(
        data::hourly(data::readings(&rows).unwrap()),
        expected,
        "the data and its means belong together"
    );
    assert_eq!(expected.len(), 337);
    (rows, expected)
}

#[test]
fn sample_on_the_embedded_broker() {
    let expected = data::hourly(data::readings(&data::sample()).unwrap());
    runs(&Broker::embedded(), &data::sample(), &expected);
}

#[test]
fn sample_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    let expected = data::hourly(data::readings(&data::sample()).unwrap());
    runs(&broker, &data::sample(), &expected);
}

#[test]
fn whole_data_on_the_embedded_broker() {
    let (rows, expected) = household();
    runs(&Broker::embedded(), &rows, &expected);
}

#[test]
fn whole_data_on_apache_kafka() {
    let (rows, expected) = household();
    let Some(broker) = SharedApache::take() else {
        return;
    };
    runs(&broker, &rows, &expected);
}

/// A second worker on a disk of its own finds everything done: it emits nothing again.
#[test]
fn a_worker_that_comes_later_repeats_nothing() {
    let broker = Broker::embedded();
    let expected = data::hourly(data::readings(&data::sample()).unwrap());
    runs(&broker, &data::sample(), &expected);
    let again = App::voltage(&broker.bootstrap());
    again
        .run(&["worker", "--until-caught-up"], MINUTES)
        .unwrap();
    assert_eq!(again.averages().unwrap()["power"], expected);
}
