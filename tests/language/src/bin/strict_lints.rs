//! The strictest lints a user may have.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    unused_results,
    let_underscore_drop,
    single_use_lifetimes,
    trivial_casts,
    unused_lifetimes
)]
use stream_runtime::prelude::*;

/// R.
#[record(timestamp = at, key = id)]
#[derive(Debug)]
pub struct Reading {
    /// At.
    #[field(coerce)]
    pub at: DateTime<Utc>,
    /// Id.
    #[field(min_length = 1)]
    pub id: String,
}

/// L.
#[record]
pub struct Login {
    /// P.
    #[field(sensitive)]
    pub password: String,
}

/// T.
#[table(tumbling = "1h")]
#[derive(Default, Clone, Debug)]
pub struct Hours {
    /// n.
    pub n: u64,
}

/// O.
#[topic("out", value = Reading)]
#[derive(Debug)]
pub struct Out;

/// A.
#[agent(topic = "readings")]
pub async fn fold(reading: Reading, mut hours: Table<Hours>) {
    let _ = hours.update(&reading.id, |hour| hour.n += 1);
}

/// C.
#[agent(on_close = Hours, sink = Out)]
pub async fn close(hour: Closed<Hours>) -> Reading {
    Reading {
        at: hour.start(),
        id: hour.key().clone(),
    }
}

/// S.
#[state]
pub async fn limit() -> Result<u64> {
    Ok(7)
}

/// C.
#[command]
pub async fn check() {}

/// P.
#[record]
#[derive(Clone, Default, Debug)]
pub struct Price {
    /// C.
    pub cents: u64,
}

/// P.
#[topic("prices", value = Price)]
#[derive(Debug)]
pub struct Prices;

/// A.
#[table(global, source = Prices)]
#[derive(Debug)]
pub struct AllPrices;

/// O.
#[table(source = Prices, ttl = "1d")]
#[derive(Debug)]
pub struct OwnPrices;

/// L.
#[agent(topic = "readings", group_by = id, sink = "found")]
pub async fn look(reading: Reading, prices: GlobalTable<AllPrices>) -> Option<Price> {
    prices.get(&reading.id)
}

/// J.
#[join(left = "readings", right = Prices, within = "1m", sink = "pairs")]
pub async fn pair(_reading: &Reading, price: Option<Price>) -> Option<Price> {
    price
}

/// T.
#[timer("1m", on_leader)]
pub async fn report(prices: TableReader<OwnPrices>, out: Producer<Prices>) -> Result<()> {
    if let Some(price) = prices.get("tea").await? {
        out.send("tea", price).await?;
    }
    Ok(())
}

/// F.
#[timer("1m", per = "partition")]
pub async fn forget(mut hours: Table<Hours>) {
    let _ = hours.update("tea", |hour| hour.n = 0);
}

/// H.
#[crontab("0 * * * *")]
pub async fn hourly() {}

/// B.
#[task]
pub async fn begin() {}

/// P.
#[page("/price/{of}")]
pub async fn price(
    of: stream_runtime::web::Path<String>,
    prices: TableReader<OwnPrices>,
) -> Result<String> {
    let price = prices.get(of.as_str()).await?;
    Ok(price.unwrap_or_default().cents.to_string())
}

fn main() {}
