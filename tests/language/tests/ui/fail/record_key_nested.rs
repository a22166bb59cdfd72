use stream_runtime::prelude::*;

#[record(key = meter.number)]
struct NoSuchField {
    meter: Meter,
}

#[record(key = place.city)]
struct NoRecord {
    place: Place,
}

#[record(key = meter.voltage)]
struct NoKey {
    meter: Meter,
}

#[record]
struct Meter {
    id: String,
    voltage: f64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Place {
    city: String,
}

fn main() {}
