//! A module whose names hide those of the prelude.
#![forbid(unsafe_code)]

mod m {
    use stream_runtime::{
        Closed, GlobalTable, Producer, Stream, Table, TableReader, agent, crontab, join, page,
        record, state, table, task, timer, topic,
    };

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

    #[record(key = id)]
    #[derive(::std::clone::Clone, ::std::default::Default)]
    struct Price {
        id: u64,
        cents: u64,
    }

    #[topic("prices", value = Price, codec = "json")]
    struct Prices;

    #[table(global, source = Prices)]
    struct AllPrices;

    #[table(source = Prices)]
    struct OwnPrices;

    #[table(key = u64, session = "1m", late = "late")]
    #[derive(::std::clone::Clone, ::std::default::Default)]
    struct Visits {
        n: u64,
    }

    impl ::stream_runtime::Merge for Visits {
        fn merge(&mut self, later: Self) {
            self.n += later.n;
        }
    }

    #[agent(topic = "in", group_by = id)]
    async fn look(
        reading: ::stream_runtime::Event<Reading, u64>,
        all: GlobalTable<AllPrices>,
        mut visits: Table<Visits>,
    ) {
        let known = all.contains(reading.key());
        visits.update(reading.key(), |visit| visit.n += if known { 1 } else { 0 });
    }

    #[join(left = Out, right = Prices, within = "1m", on = (id, id), sink = "pairs")]
    async fn pair(
        reading: Reading,
        _price: ::core::option::Option<Price>,
    ) -> ::stream_runtime::Result<Reading> {
        ::core::result::Result::Ok(reading)
    }

    #[timer("1m", on_leader)]
    async fn report(
        prices: TableReader<OwnPrices>,
        out: Producer<Prices>,
    ) -> ::stream_runtime::Result<()> {
        if let ::core::option::Option::Some(price) = prices.get(&7).await? {
            out.send(&7, price).await?;
        }
        ::core::result::Result::Ok(())
    }

    #[timer("1m", per = "partition")]
    async fn forget(mut hours: Table<Hours>) {
        hours.update(&7, |hour| hour.n = 0);
    }

    #[crontab("0 * * * *", timezone = "Europe/Berlin")]
    async fn hourly() {}

    #[task]
    async fn begin() {}

    #[page("/price/{id}", method = "post")]
    async fn page(
        ::stream_runtime::web::Path(id): ::stream_runtime::web::Path<u64>,
        prices: TableReader<OwnPrices>,
    ) -> ::stream_runtime::Result<::std::string::String> {
        let price = prices.get(&id).await?;
        ::core::result::Result::Ok(::std::format!("{}", price.is_some()))
    }

    pub struct Pool;

    #[state]
    async fn pool() -> Pool {
        Pool
    }
}

fn main() {}
