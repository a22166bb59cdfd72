use stream_runtime::prelude::*;

#[record(timestamp = at)]
enum Change {
    Created { at: DateTime<Utc> },
    Deleted { id: u64 },
}

fn main() {}
