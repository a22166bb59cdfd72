//! The verifier's app: echo, running totals, sums of ten seconds and of bursts that are emitted when they close, totals
//! by another key, and a join of two more topics.

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

/// The numbers of a burst: no more than eight seconds between two of them.
#[table(key = String, session = "8s", grace = "5s")]
#[derive(Clone, Default)]
struct Bursts {
    count: u64,
    sum: i64,
}

impl Merge for Bursts {
    fn merge(&mut self, later: Self) {
        self.count += later.count;
        self.sum += later.sum;
    }
}

#[record]
struct Burst {
    start: i64,
    end: i64,
    count: u64,
    sum: i64,
}

/// All numbers that leave the same remainder.
#[table(key = String)]
#[derive(Clone, Default)]
struct Buckets {
    count: u64,
    sum: i64,
    min: i64,
    max: i64,
}

/// The numbers of ten seconds that leave the same remainder: of all partitions of the input, of which the slowest makes
/// the time.
#[table(key = String, tumbling = "10s", grace = "5s")]
#[derive(Clone, Default)]
struct BucketSums {
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
    running.update(number.key(), |all| {
        let Running {
            count,
            sum,
            min,
            max,
        } = all;
        add(number.number, count, sum, min, max)
    })
}

/// Counts a number in and says what is known now.
fn add(value: i64, count: &mut u64, sum: &mut i64, min: &mut i64, max: &mut i64) -> Summary {
    if *count == 0 {
        (*min, *max) = (value, value);
    }
    *count += 1;
    *sum += value;
    (*min, *max) = ((*min).min(value), (*max).max(value));
    Summary {
        count: *count,
        sum: *sum,
        min: *min,
        max: *max,
    }
}

#[agent(topic = "numbers", name = "by_bucket", sink = "buckets", group_by = |number: &Number| bucket(number.number))]
async fn by_bucket(
    number: Event<Number>,
    mut buckets: Table<Buckets>,
    mut sums: Table<BucketSums>,
) -> Summary {
    sums.update(number.key(), |sum| {
        sum.count += 1;
        sum.sum += number.number;
    });
    buckets.update(number.key(), |all| {
        let Buckets {
            count,
            sum,
            min,
            max,
        } = all;
        add(number.number, count, sum, min, max)
    })
}

#[agent(on_close = BucketSums, sink = "bucket_sums")]
async fn bucket_summed(sum: Closed<BucketSums>) -> Sum {
    Sum {
        start: sum.start().timestamp_millis(),
        count: sum.count,
        sum: sum.sum,
    }
}

fn bucket(number: i64) -> String {
    tests::numbers::bucket(number)
}

#[agent(topic = "numbers")]
async fn burst(number: Event<Number>, mut bursts: Table<Bursts>) {
    bursts.update(number.key(), |burst| {
        burst.count += 1;
        burst.sum += number.number;
    });
}

#[agent(on_close = Bursts, sink = "bursts")]
async fn burst_over(burst: Closed<Bursts>) -> Burst {
    Burst {
        start: burst.start().timestamp_millis(),
        end: burst.end().timestamp_millis(),
        count: burst.count,
        sum: burst.sum,
    }
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
    tests::amid::stop(sum.end().timestamp_millis());
    Sum {
        start: sum.start().timestamp_millis(),
        count: sum.count,
        sum: sum.sum,
    }
}

/// What was asked, or answered.
#[record(timestamp = at)]
struct Said {
    #[field(coerce)]
    at: DateTime<Utc>,
    number: i64,
}

#[topic("questions", value = Said)]
struct Questions;

#[topic("answers", value = Said)]
struct Answers;

#[record]
struct Met {
    question: Option<i64>,
    answer: Option<i64>,
}

/// Both sides may go alone. No `idle` here either.
#[join(
    left = Questions,
    right = Answers,
    within = "3s",
    grace = "60s",
    sink = "met"
)]
async fn meet(question: Option<Said>, answer: Option<Said>) -> Met {
    Met {
        question: question.map(|said| said.number),
        answer: answer.map(|said| said.number),
    }
}

/// The app, under its name.
pub fn app() -> App {
    // A partition of the input that a fault keeps from being read, or from being written, is waited for.
    App::new("verified").source_idle(std::time::Duration::from_secs(60))
}
