//! Agents that hold several events: by `take`, by `noack`, by `concurrency`. For tests of what happens to those.

use std::time::Duration;
use stream_runtime::prelude::*;

/// A number, one more than the one before. The last of a partition says so.
#[record]
struct Item {
    n: u64,
    #[serde(default)]
    last: bool,
}

impl Item {
    fn again(&self) -> Self {
        Item {
            n: self.n,
            last: self.last,
        }
    }
}

#[topic("out_batches", value = Item)]
struct OutBatches;

#[topic("out_unacked", value = Item)]
struct OutUnacked;

/// Each batch goes out whole.
#[agent(topic = "in_batches")]
async fn batches(mut items: Stream<Item>, out: Topic<OutBatches>) -> Result<()> {
    while let Some(batch) = items.take(7, Duration::from_millis(20)).await {
        for item in &batch {
            out.send(item.key(), item.again()).await?;
        }
    }
    Ok(())
}

/// Holds up to five, and acknowledges the newest first.
#[agent(topic = "in_unacked")]
async fn unacked(items: Stream<Item>, out: Topic<OutUnacked>) -> Result<()> {
    let (mut items, mut held) = (items.noack(), Vec::new());
    while let Some(item) = items.next().await {
        out.send(item.key(), item.again()).await?;
        let last = item.last;
        held.push(item);
        if last || held.len() == 5 {
            while let Some(item) = held.pop() {
                item.ack();
            }
        }
    }
    Ok(())
}

/// Some take longer than those behind them.
#[agent(topic = "in_beside", concurrency = 4, sink = "out_beside")]
async fn beside(item: Event<Item>) -> Item {
    tokio::time::sleep(Duration::from_millis(item.n * 7 % 5)).await;
    item.again()
}

fn main() -> ExitCode {
    App::new("holding").main()
}
