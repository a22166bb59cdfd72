//! Stream–table joins: a co-partitioned table looked up by key.

use crate::prelude::*;
use crate::testing::TestApp;

#[record(timestamp = time)]
struct Price {
    time: i64,
    cents: u32,
}

#[record(timestamp = time)]
struct Order {
    time: i64,
    pieces: u32,
}

#[record]
struct Bill {
    cents: Option<u32>,
}

#[table]
#[derive(Clone, Default)]
struct Prices {
    cents: u32,
}

#[agent(topic = "prices")]
async fn price(price: Price, Key(item): Key<String>, mut prices: Table<Prices>) {
    prices.insert(&item, Prices { cents: price.cents });
}

#[agent(topic = "item-orders", sink = "bills")]
async fn bill(order: Order, Key(item): Key<String>, prices: Table<Prices>) -> Bill {
    Bill {
        cents: prices.read(&item, |price| price.cents * order.pieces),
    }
}

/// Prices that change, and orders of nine items over the partitions; `then` happens after each round.
fn bills(then: impl Fn(&mut TestApp, usize)) -> Vec<(String, i64, Option<u32>)> {
    let mut app = TestApp::only((price, bill)).partitions(4);
    for round in 0..6 {
        let time = 1_000 * round as i64 + 1_000;
        for item in 0..9 {
            let item = format!("item-{item}");
            app.send("item-orders", item.as_str(), Order { time, pieces: 2 });
            let cents = 100 + round as u32;
            app.send(
                "prices",
                item.as_str(),
                Price {
                    time: time + 1,
                    cents,
                },
            );
        }
        app.sent::<Bill>("bills");
        then(&mut app, round);
    }
    let all = app.sent::<Bill>("bills");
    let mut all: Vec<_> = all
        .iter()
        .map(|bill| (bill.key(), bill.timestamp(), bill.cents))
        .collect();
    all.sort();
    all
}

#[test]
fn a_stream_sees_the_table_of_its_partition_as_of_its_time() {
    let quiet = bills(|_, _| ());
    assert_eq!(quiet.len(), 54);
    for (item, time, cents) in &quiet {
        // The price that was set in the round before; none in the first.
        let expected = (*time > 1_000).then(|| 2 * (100 + (*time as u32 - 2_000) / 1_000));
        assert_eq!(*cents, expected, "{item} at {time}");
    }
    let disturbed = bills(|app, round| match round % 4 {
        0 => app.crash(),
        1 => app.restart_with_empty_disk(),
        2 => app.rebalance(),
        _ => app.fail_next_commit(),
    });
    assert_eq!(disturbed, quiet);
}

#[record]
struct Customer {
    item: String,
}

#[agent(topic = "customers", group_by = item, sink = "quotes")]
async fn quote(customer: Event<Customer>, prices: Table<Prices>) -> Bill {
    Bill {
        cents: prices.read(customer.key(), |price| price.cents),
    }
}

#[test]
fn a_stream_with_another_key_looks_a_table_up_behind_a_hop() {
    let mut app = TestApp::only((price, quote)).partitions(4);
    for item in 0..9 {
        let item = format!("item-{item}");
        app.send("prices", item.as_str(), Price { time: 1, cents: 7 });
        app.sent::<Bill>("quotes");
        app.send("customers", format!("of {item}"), Customer { item });
    }
    let quotes = app.sent::<Bill>("quotes");
    assert_eq!(quotes.len(), 9);
    assert!(quotes.iter().all(|quote| quote.cents == Some(7)));
}
