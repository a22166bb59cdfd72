//! An app that reads every topic of a kind, whenever it comes.

use stream_runtime::prelude::*;

/// Orders of a shop, from all topics.
#[table]
#[derive(Clone, Default)]
struct PatternOrders {
    count: u64,
}

#[agent(pattern = "p_orders\\..+", sink = "p_counted")]
async fn count(order: Event<String>, mut orders: Table<PatternOrders>) -> String {
    let count = orders.update(order.key(), |row| {
        row.count += 1;
        row.count
    });
    format!("{} {count}", *order)
}

fn main() -> ExitCode {
    App::new("patterns").main()
}
