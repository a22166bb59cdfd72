//! Aliases, references, patterns; no prelude; agents in modules and functions.
use stream_runtime::{Event, Headers, Key, State, TaskContext, Topic, agent, record, table, topic};

#[record]
#[derive(Debug)]
pub struct Reading {
    n: u8,
}

#[table]
#[derive(Clone, Default)]
pub struct Totals {
    n: u64,
}

#[topic("audit", value = Reading)]
struct Audit;

type Readings = stream_runtime::Stream<Reading>;
type TotalsTable = stream_runtime::Table<Totals>;

#[agent(topic = "readings")]
async fn alias(mut readings: Readings, mut totals: TotalsTable) {
    while let Some(reading) = readings.next().await {
        totals.update("all", |row| row.n += u64::from(reading.n));
    }
}

#[agent(topic = "readings")]
async fn references(
    reading: &Reading,
    totals: &mut stream_runtime::Table<Totals>,
    key: &Key<String>,
    headers: &Headers,
    context: &TaskContext,
    audit: &Topic<Audit>,
    limit: &State<u64>,
) {
    totals.update(&***key, |row| row.n += u64::from(reading.n) + **limit);
    let _ = (headers, context.partition(), audit);
}

#[agent(topic = "readings", sink = "out")]
async fn event(event: Event<Reading>) -> Option<Reading> {
    (event.n > 1).then(|| event.into_value())
}

#[agent(topic = "readings", sink = "out")]
async fn typed_key(event: Event<Reading, (u64, String)>) -> ((u64, String), Reading) {
    (event.key().clone(), event.into_value())
}

#[agent(topic = "readings", sink = "out")]
async fn patterns(Reading { n }: Reading, Key(key): Key<String>) -> (String, Reading) {
    (key, Reading { n: n + 1 })
}

#[agent(topic = "deletions")]
async fn tombstones(reading: Option<Reading>, Key(_id): Key<u64>) {
    let _ = reading;
}

#[agent(topic = "lines", sink = "words")]
async fn text(line: String) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[agent(topics = ["a", "b"])]
async fn several(_: Reading) {}

#[agent(topic = "readings", name = "type")]
async fn r#type(mut reading: Reading) {
    reading.n += 1;
    assert_ne!(reading.n, 0);
}

mod collect {
    use stream_runtime::prelude::*;

    #[agent(topic = "readings")]
    pub(crate) async fn collect(_: super::Reading) {}
}

fn inside() {
    #[agent(topic = "readings", sink = "out")]
    async fn inner(reading: Reading) -> Reading {
        reading
    }
    let _ = inner;
}

fn main() {
    inside();
    let _ = collect::collect;
}
