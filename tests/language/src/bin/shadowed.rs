//! A module whose names hide those of the prelude.
#![forbid(unsafe_code)]

mod m {
    use stream_runtime::{Closed, Stream, Table, agent, record, state, table, topic};

    struct Option;
    struct Some;
    struct None;
    struct Box;
    struct Vec;
    struct String;
    struct Ok;
    struct Err;
    type Result = ();
    mod std {}
    mod core {}
    mod serde {}
    mod alloc {}
    trait Iterator {}
    trait Clone {}
    trait Default {}
    trait Into {}
    trait From {}
    trait Fn {}
    trait Send {}
    #[allow(unused_macros)]
    macro_rules! vec {
        () => {};
    }

    #[record(timestamp = at, key = id, coerce)]
    struct Reading {
        #[field(min = 0)]
        at: i64,
        id: u64,
        #[field(sensitive)]
        secret: ::std::option::Option<u8>,
    }

    #[table(key = u64, tumbling = "1h", idle = "5s", partitions = 3)]
    #[derive(::std::clone::Clone, ::std::default::Default)]
    struct Hours {
        n: u64,
    }

    #[table]
    #[derive(::std::clone::Clone, ::std::default::Default)]
    struct ByText {
        n: u64,
    }

    #[topic("out", value = Reading, retention = "1d")]
    struct Out;

    #[agent(topic = Out, retries = 3, timeout = "1s", dead_letter_topic = "dead")]
    async fn fold(mut readings: Stream<Reading, u64>, mut hours: Table<Hours>) {
        while let ::core::option::Option::Some(reading) = readings.next().await {
            hours.update(reading.key(), |hour| hour.n += 1);
        }
    }

    #[agent(on_close = Hours, sink = Out)]
    async fn close(hour: Closed<Hours>) -> Reading {
        Reading {
            at: hour.end().timestamp_millis(),
            id: *hour.key(),
            secret: ::core::option::Option::None,
        }
    }

    pub struct Pool;

    #[state]
    async fn pool() -> Pool {
        Pool
    }
}

fn main() {}
