use stream_runtime::prelude::*;

#[record]
struct Reading {
    #[field(min = 10, max = -1.5)]
    voltage: f64,
    #[field(min_length = 9, max_length = 8)]
    name: String,
    #[field(date_format = "%Y-%m-%d %Q")]
    at: DateTime<Utc>,
    #[field(date_format = "100%")]
    then: DateTime<Utc>,
    #[field(date_format = "%Y")]
    year: DateTime<Utc>,
    #[field(date_format = "%d.%m.%Y %I:%M")]
    half_a_day: DateTime<Utc>,
}

fn main() {}
