use stream_runtime::prelude::*;

#[record(codec = "raw")]
struct Raw(#[field(max_length = 3)] Vec<u8>);

#[record(codec = "text")]
struct Text(#[field(min = 1)] u64);

#[record(codec = "text", coerce)]
struct Coerced(u64);

#[record(codec = "binary")]
struct Binary {
    #[field(coerce)]
    at: DateTime<Utc>,
    #[field(min = 1)]
    n: u64,
}

#[record(codec = "binary")]
struct Dated {
    #[field(date_format = "%Y-%m-%d")]
    at: DateTime<Utc>,
}

#[record(codec = "binary", coerce)]
struct AllOfIt {
    n: u64,
}

fn main() {}
