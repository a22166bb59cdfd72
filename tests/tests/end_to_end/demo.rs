//! `voltage demo`: one command that shows everything, on nothing but what lies in the repository.

use std::time::Duration;
use tests::data;
use tests::voltage::App;

#[test]
fn prints_the_sample_hourly_means() {
    let app = App::voltage("");
    let mut demo = app.start_command(&app.bare(&["demo"]));
    let status = demo.wait(Duration::from_secs(120)).unwrap();
    let output = demo.output();
    assert!(status.success(), "{output}");
    // It ends on a full hour, so that all of it closes.
    let readings = data::readings(&data::sample()).unwrap();
    assert_eq!(readings.last().unwrap().time % 3_600_000, 59 * 60_000);
    for (start, mean) in data::hourly(readings) {
        let hour = chrono::DateTime::from_timestamp_millis(start).unwrap();
        let hours = [
            hour.format("%Y-%m-%d %H:%M").to_string(),
            hour.format("%Y-%m-%dT%H:%M").to_string(),
        ];
        let line = output
            .lines()
            .find(|line| hours.iter().any(|hour| line.contains(hour)));
        let line = line.unwrap_or_else(|| panic!("{hour} is missing in:\n{output}"));
        let shown = |text: &str| {
            line.split(|c: char| !c.is_ascii_digit() && c != '.')
                .any(|word| word == text)
        };
        assert!(
            shown(&mean.count.to_string()),
            "count {} in: {line}",
            mean.count
        );
        let volts = line
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .filter_map(|word| word.parse::<f64>().ok());
        let nearest = volts
            .map(|volts| (volts - mean.mean).abs())
            .fold(f64::INFINITY, f64::min);
        assert!(nearest <= 0.005, "mean {} in: {line}", mean.mean);
    }
}

#[test]
fn the_sample_is_small_and_its_source_is_named() {
    assert!(std::fs::metadata(data::sample()).unwrap().len() <= 300_000);
    let readme = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/data/README.md"
    ))
    .unwrap();
    for name in [
        "UCI",
        "Individual Household Electric Power Consumption",
        "CC BY 4.0",
    ] {
        assert!(
            readme.contains(name),
            "examples/data/README.md names {name}"
        );
    }
}
