use stream_runtime::prelude::*;

#[record(timestmp = datetime)]
struct Reading {
    datetime: DateTime<Utc>,
}

#[record(timestamp = "datetime")]
struct Quoted {
    datetime: DateTime<Utc>,
}

#[record(timestamp)]
struct Bare {
    datetime: DateTime<Utc>,
}

#[record(relative_to_field = datetime, codec = "avro", coerce, coerce)]
struct Words {
    datetime: DateTime<Utc>,
}

fn main() {}
