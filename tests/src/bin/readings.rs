//! An app whose tables have keys and windows of every kind, and pages that read them. For tests of reading rows.

use std::collections::BTreeMap;

use stream_runtime::InWindow;
use stream_runtime::prelude::*;
use stream_runtime::web::{Json, Path};

#[record(key = id, timestamp = at)]
#[derive(Clone)]
struct Reading {
    id: i64,
    name: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("r_readings", value = Reading, key = i64, partitions = 2)]
struct Readings;

#[table(key = i64, value = u64)]
struct ById;

#[table(key = i64, value = u64, global)]
struct Everywhere;

/// How many readings a partition has had.
#[table(value = u64, local)]
struct OfPartition;

/// Rows that do not lie where their keys belong.
#[table(value = u64)]
struct Strays;

#[agent(topic = Readings)]
async fn by_id(
    reading: Event<Reading, i64>,
    mut ids: Table<ById>,
    mut everywhere: Table<Everywhere>,
    mut own: Table<OfPartition>,
    mut strays: Table<Strays>,
) {
    ids.update(&reading.id, |n| *n += 1);
    everywhere.update(&reading.id, |n| *n += 1);
    own.update("all", |n| *n += 1);
    strays.update(&reading.name, |n| *n += 1);
}

#[table(tumbling = "1h", grace = "1h", value = u64)]
struct Hours;

#[table(hopping = "1h", step = "30m", grace = "1h", value = u64)]
struct Leaps;

#[table(session = "30m", grace = "1h")]
#[derive(Clone, Default, Debug, PartialEq)]
struct Visits {
    readings: u64,
}

impl Merge for Visits {
    fn merge(&mut self, later: Self) {
        self.readings += later.readings;
    }
}

#[table(sliding = "10m", grace = "1h", value = u64)]
struct Slides;

#[agent(topic = Readings, group_by = name)]
async fn by_name(
    reading: Event<Reading>,
    mut hours: Table<Hours>,
    mut leaps: Table<Leaps>,
    mut visits: Table<Visits>,
    mut slides: Table<Slides>,
) {
    let key = reading.key();
    hours.update(key, |n| *n += 1);
    leaps.update(key, |n| *n += 1);
    visits.update(key, |visit| visit.readings += 1);
    slides.update(key, |n| *n += 1);
}

#[table(key = (String, i64), value = u64)]
struct Pairs;

#[agent(topic = Readings, name = "by_pair", group_by = |reading: &Reading| (reading.name.clone(), reading.id))]
async fn pair(reading: Event<Reading, (String, i64)>, mut pairs: Table<Pairs>) {
    pairs.update(reading.key(), |n| *n += 1);
}

/// Start, end and row of a window.
type Told<V> = (i64, i64, V);

fn told<V>(window: InWindow<V>) -> Told<V> {
    let (start, end) = (window.start(), window.end());
    (
        start.timestamp_millis(),
        end.timestamp_millis(),
        window.value,
    )
}

/// A row that may lie anywhere.
#[page("/stray/{name}")]
async fn stray(Path(name): Path<String>, strays: TableReader<Strays>) -> Result<Json<Option<u64>>> {
    Ok(Json(strays.get(&name).await?))
}

/// What the windows that hold a time have.
#[page("/at/{name}/{ms}")]
async fn at_time(
    Path((name, ms)): Path<(String, i64)>,
    hours: TableReader<Hours>,
    leaps: TableReader<Leaps>,
) -> Result<Json<[Option<u64>; 2]>> {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    Ok(Json([
        hours.at(&name, time).await?,
        leaps.at(&name, time).await?,
    ]))
}

#[page("/windows/{name}")]
async fn windows(
    Path(name): Path<String>,
    visits: TableReader<Visits>,
    slides: TableReader<Slides>,
) -> Result<Json<(Vec<Told<u64>>, Vec<Told<u64>>)>> {
    let visits = visits.windows(&name).await?.into_iter();
    let visits = visits.map(|visit| {
        let (start, end, visit) = told(visit);
        (start, end, visit.readings)
    });
    let slides = slides.windows(&name).await?.into_iter().map(told);
    Ok(Json((visits.collect(), slides.collect())))
}

/// Windows by their table and key.
type All = BTreeMap<&'static str, BTreeMap<String, Vec<Told<u64>>>>;

/// Every window of every worker.
#[page("/all")]
async fn all(
    hours: TableReader<Hours>,
    leaps: TableReader<Leaps>,
    visits: TableReader<Visits>,
    slides: TableReader<Slides>,
) -> Result<Json<All>> {
    let mut all = All::new();
    let mut add = |table, key, window| {
        let table = all.entry(table).or_default();
        table.entry(key).or_default().push(window);
    };
    let mut rows = hours.all();
    while let Some((key, window)) = rows.next().await? {
        add("hours", key, told(window));
    }
    let mut rows = leaps.all();
    while let Some((key, window)) = rows.next().await? {
        add("leaps", key, told(window));
    }
    let mut rows = visits.all();
    while let Some((key, window)) = rows.next().await? {
        let (start, end, visit) = told(window);
        add("visits", key, (start, end, visit.readings));
    }
    let mut rows = slides.all();
    while let Some((key, window)) = rows.next().await? {
        add("slides", key, told(window));
    }
    Ok(Json(all))
}

/// A path of the app's own below `/tables`.
#[page("/tables/by_id/mine")]
async fn mine() -> &'static str {
    "mine"
}

fn main() -> ExitCode {
    App::new("readings").topic_partitions(2).main()
}
