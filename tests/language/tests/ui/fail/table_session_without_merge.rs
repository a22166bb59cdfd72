use stream_runtime::prelude::*;

#[table(session = "30m")]
#[derive(Clone, Default)]
struct Visits {
    n: u64,
}

#[table(session = "30m", value = u64)]
struct Counts;

#[agent(topic = "views")]
async fn count(page: String, mut visits: Table<Visits>, mut counts: Table<Counts>) {
    visits.update(&page, |row| row.n += 1);
    let _ = counts.update(&page, |n| *n += 1);
}

#[agent(on_close = Visits)]
async fn close(_: Closed<Visits>) {}

fn main() {}
