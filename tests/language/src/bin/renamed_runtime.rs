//! The runtime under another path.
mod facade {
    pub mod streams {
        pub use stream_runtime::*;
    }
}

use std::process::ExitCode;

use facade::streams::{
    self as s, Closed, GlobalTable, Producer, State, Stream, Table, TableReader, Topic, agent,
    command, crontab, join, page, record, state, table, task, timer, topic,
};

#[record(timestamp = at, crate = crate::facade::streams)]
struct Reading {
    #[field(coerce, min = 3)]
    at: i64,
    #[field(sensitive)]
    secret: String,
}

#[table(tumbling = "1h", crate = crate::facade::streams)]
#[derive(Clone, Default)]
struct Hours {
    n: u64,
}

#[topic("out", value = Reading, crate = s)]
struct Out;

#[agent(topic = "in", crate = crate::facade::streams)]
async fn fold(
    mut readings: Stream<Reading>,
    mut hours: Table<Hours>,
    out: Topic<Out>,
) -> s::Result {
    while let Some(reading) = readings.next().await {
        hours.update(reading.key(), |hour| hour.n += 1);
        let key = reading.key().clone();
        out.send(&key, reading.into_value()).await?;
    }
    Ok(())
}

#[agent(on_close = Hours, sink = Out, crate = s)]
async fn close(hour: Closed<Hours>) -> Reading {
    Reading {
        at: hour.n as i64,
        secret: String::new(),
    }
}

#[record(codec = "msgpack", coerce, crate = s)]
#[derive(Clone, Default)]
struct Price {
    item: String,
    cents: u64,
}

#[topic("prices", value = Price, key = String, codec = "msgpack", crate = s)]
struct Prices;

#[table(global, source = Prices, crate = s)]
struct AllPrices;

#[table(source = Prices, crate = s)]
struct OwnPrices;

#[agent(topic = "in", group_by = secret, sink = "prices", crate = s)]
async fn look(
    reading: Reading,
    all: GlobalTable<AllPrices>,
    own: Table<OwnPrices>,
) -> Option<Price> {
    all.get(&reading.secret).or(own.get(&reading.secret))
}

#[join(left = "in", right = Prices, within = "1m", on = (secret, item), crate = s)]
async fn pair(_reading: Reading, _price: Option<Price>) {}

#[timer("1m", crate = s)]
async fn report(prices: TableReader<OwnPrices>, out: Producer<Prices>) -> s::Result {
    if let Some(price) = prices.get("tea").await? {
        out.send("tea", price).await?;
    }
    Ok(())
}

#[timer("1m", per = "partition", crate = s)]
async fn forget(mut hours: Table<Hours>) {
    hours.update("tea", |hour| hour.n = 0);
}

#[crontab("0 * * * *", crate = s)]
async fn hourly(_number: State<u8>) {}

#[task(on = "stop", crate = s)]
async fn end() {}

#[page("/price/{of}", crate = s)]
async fn price(s::web::Path(of): s::web::Path<String>, prices: TableReader<OwnPrices>) -> String {
    match prices.get(&of).await {
        Ok(price) => price.map_or_else(String::new, |price| price.cents.to_string()),
        Err(error) => error.to_string(),
    }
}

#[state(crate = s)]
async fn number() -> u8 {
    7
}

#[command(crate = s)]
async fn check() -> ExitCode {
    ExitCode::SUCCESS
}

fn main() {}
