use stream_runtime::prelude::*;

#[record]
struct Reading {
    #[field(min = 1)]
    name: String,
    #[field(max_length = 3)]
    count: u64,
    #[field(coerce)]
    place: Place,
    #[field(date_format = "%F")]
    year: u16,
}

#[record]
struct Place {
    city: String,
}

fn main() {}
