//! The app of the end-to-end verifier: echo, running totals, and sums of ten seconds that are emitted when they close.

use stream_runtime::prelude::*;

/// One of the integers that its key promises.
#[record(timestamp = at)]
struct Number {
    #[field(coerce)]
    at: DateTime<Utc>,
    number: i64,
}

/// All numbers of a key so far.
#[table(key = String)]
#[derive(Clone, Default)]
struct Running {
    count: u64,
    sum: i64,
    min: i64,
    max: i64,
}

#[record]
struct Summary {
    count: u64,
    sum: i64,
    min: i64,
    max: i64,
}

/// The numbers of ten seconds. Closed by stream time alone: no `idle`, so that a replay is the same.
#[table(key = String, tumbling = "10s", grace = "5s")]
#[derive(Clone, Default)]
struct Sums {
    count: u64,
    sum: i64,
}

#[record]
struct Sum {
    start: i64,
    count: u64,
    sum: i64,
}

#[agent(topic = "numbers", sink = "echoes")]
async fn echo(number: Event<Number>) -> Number {
    Number {
        at: number.at,
        number: number.number,
    }
}

#[agent(topic = "numbers", sink = "running")]
async fn run(number: Event<Number>, mut running: Table<Running>) -> Summary {
    let value = number.number;
    running.update(number.key(), |all| {
        (all.min, all.max) = if all.count == 0 {
            (value, value)
        } else {
            (all.min.min(value), all.max.max(value))
        };
        all.count += 1;
        all.sum += value;
        Summary {
            count: all.count,
            sum: all.sum,
            min: all.min,
            max: all.max,
        }
    })
}

#[agent(topic = "numbers")]
async fn sum(mut numbers: Stream<Number>, mut sums: Table<Sums>) {
    while let Some(number) = numbers.next().await {
        sums.update(number.key(), |sum| {
            sum.count += 1;
            sum.sum += number.number;
        });
    }
}

#[agent(on_close = Sums, sink = "sums")]
async fn summed(sum: Closed<Sums>) -> Sum {
    Sum {
        start: sum.start().timestamp_millis(),
        count: sum.count,
        sum: sum.sum,
    }
}

fn main() -> ExitCode {
    App::new("verified").main()
}
