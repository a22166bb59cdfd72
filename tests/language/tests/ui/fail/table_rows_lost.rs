use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Lost {
    #[serde(skip)]
    cached: u64,
    #[serde(skip_serializing)]
    secret: u64,
    #[serde(rename(deserialize = "voltageIn", serialize = "voltage_out"))]
    voltage: f64,
    #[serde(rename(serialize = "amps"), alias = "amps")]
    current: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    nested: Vec<Option<Option<u8>>>,
}

#[table]
#[derive(Clone, Default)]
struct Ruled {
    #[field(coerce)]
    time: i64,
    #[field(min = 0)]
    n: u64,
    #[field(sensitive)]
    pin: u64,
}

#[agent(topic = "readings")]
async fn read(_: String, _: Table<Lost>, _: Table<Ruled>) {}

fn main() {}
