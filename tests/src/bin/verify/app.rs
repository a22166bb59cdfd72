//! The verifier's app: echo, running totals, and sums of ten seconds that are emitted when they close.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
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
    stop_amid(sum.end().timestamp_millis());
    Sum {
        start: sum.start().timestamp_millis(),
        count: sum.count,
        sum: sum.sum,
    }
}

/// Rows of one window that have closed before a worker stops amid them: more than one commit takes, so that a
/// commit of this closing is behind it, and one without any new offset before it.
const AMID: u32 = 250;

thread_local! {
    /// The end of the window that is closing, and how many of its rows have closed.
    static CLOSING: Cell<(i64, u32)> = const { Cell::new((0, 0)) };
}

/// When the file that `VERIFY_STOP` names is there, takes it away and stops this process as SIGSTOP does.
fn stop_amid(end: i64) {
    static ASKED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let (last, closed) = CLOSING.get();
    let closed = if last == end { closed + 1 } else { 1 };
    CLOSING.set((end, closed));
    if closed != AMID {
        return;
    }
    let asked = ASKED.get_or_init(|| std::env::var_os("VERIFY_STOP").map(PathBuf::from));
    if let Some(file) = asked
        && fs::remove_file(file).is_ok()
    {
        let pid = std::process::id().to_string();
        let stopped = Command::new("kill").args(["-s", "STOP", &pid]).status();
        assert!(stopped.is_ok_and(|status| status.success()));
    }
}

/// The app, under its name.
pub fn app() -> App {
    App::new("verified")
}
