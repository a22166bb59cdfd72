//! An app whose handlers do what their input says: fail, panic, hang, block. For tests of what can go wrong.

use std::time::Duration;
use stream_runtime::prelude::*;

/// An order, and how its handling goes wrong.
#[record(timestamp = at)]
struct Order {
    #[field(coerce)]
    at: DateTime<Utc>,
    #[field(min = 1, max = 1000)]
    amount: i64,
    #[serde(default)]
    act: String,
    /// Makes a record long.
    #[serde(default)]
    padding: String,
}

/// All orders of a key so far.
#[record]
struct Total {
    count: u64,
    sum: i64,
    length: usize,
}

#[table(key = String)]
#[derive(Clone, Default)]
struct Orders {
    count: u64,
    sum: i64,
}

#[table(key = String)]
#[derive(Clone, Default)]
struct StrictOrders {
    count: u64,
    sum: i64,
}

async fn act(order: &Order) -> Result<()> {
    match order.act.as_str() {
        "fail" => Err("it was told to fail")?,
        "reject" => Err("it was told to reject").reject()?,
        "fatal" => Err("it was told to stop everything").fatal()?,
        "panic" => panic!("it was told to panic"),
        "hang" => std::future::pending().await,
        "nap" => tokio::time::sleep(Duration::from_millis(300)).await,
        "block" => std::thread::sleep(Duration::from_secs(7)),
        "stall" => std::thread::sleep(Duration::from_secs(20)),
        _ => {}
    }
    Ok(())
}

/// Tries three times in all, a second each, then lets go of the order.
#[agent(
    topic = "orders",
    sink = "totals",
    retries = 2,
    backoff = "100ms",
    timeout = "1s"
)]
async fn total(order: Event<Order>, mut orders: Table<Orders>) -> Result<Total> {
    // The change first: what fails afterwards must undo it.
    let (count, sum) = orders.update(order.key(), |all| {
        all.count += 1;
        all.sum += order.amount;
        (all.count, all.sum)
    });
    act(&order).await?;
    if order.act == "forget" {
        orders.remove(order.key());
    }
    Ok(Total {
        count,
        sum,
        length: order.padding.len(),
    })
}

/// Never lets go of an order, and has no timeout.
#[agent(
    topic = "strict_orders",
    sink = "strict_totals",
    retries = 1,
    backoff = "100ms",
    on_error = "stop",
    on_decode_error = "stop"
)]
async fn strict(order: Event<Order>, mut orders: Table<StrictOrders>) -> Result<Total> {
    let (count, sum) = orders.update(order.key(), |all| {
        all.count += 1;
        all.sum += order.amount;
        (all.count, all.sum)
    });
    act(&order).await?;
    Ok(Total {
        count,
        sum,
        length: order.padding.len(),
    })
}

fn main() -> ExitCode {
    let app = App::new("faulty");
    match std::env::var_os("FAULTY_SKIPS_GAPS") {
        None => app.main(),
        Some(_) => app.on_gap(OnGap::Skip).main(),
    }
}
