//! An app that cannot handle some orders until it is repaired: for tests of dead letters.

use stream_runtime::prelude::*;

/// An order; `bad` ones fail until the environment says `LETTERS_REPAIRED`.
#[record(timestamp = at)]
struct Order {
    #[field(coerce)]
    at: DateTime<Utc>,
    amount: i64,
    #[serde(default)]
    bad: bool,
}

/// An order that was handled.
#[record]
struct Handled {
    amount: i64,
    trace: Option<String>,
}

/// The orders of a second.
#[table(key = String, tumbling = "1s")]
#[derive(Clone, Default)]
struct Seconds {
    count: u64,
}

#[agent(topic = "orders", sink = "handled", retries = 1, backoff = "1ms")]
async fn handle(order: Order, headers: Headers) -> Result<Handled> {
    if order.bad && std::env::var_os("LETTERS_REPAIRED").is_none() {
        Err(format!("order of {} is bad", order.amount))?;
    }
    let trace = headers.get("trace");
    let trace = trace.map(|trace| String::from_utf8_lossy(trace).into_owned());
    Ok(Handled {
        amount: order.amount,
        trace,
    })
}

#[agent(topic = "orders")]
async fn audit(order: Event<Order>, mut seconds: Table<Seconds>) {
    seconds.update(order.key(), |second| second.count += 1);
}

/// Never takes a second that had more than two orders.
#[agent(on_close = Seconds)]
async fn close(second: Closed<Seconds>) -> Result<()> {
    if second.count > 2 {
        Err(format!("{} orders in a second", second.count)).reject()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    App::new("letters").main()
}
