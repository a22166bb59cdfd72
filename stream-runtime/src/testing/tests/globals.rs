//! Global tables, and tables that are a topic's records.

use crate::prelude::*;

#[record]
#[derive(Clone, Default)]
struct Price {
    cents: u64,
}

fn cents(cents: u64) -> Price {
    Price { cents }
}

#[topic("global_prices", value = Price, key = String, compact)]
struct Prices;

/// All prices, in every worker.
#[table(global, source = Prices)]
struct PriceOf;

#[agent(topic = "global_orders", sink = "global_bills")]
async fn bill(item: String, prices: GlobalTable<PriceOf>) -> Option<Price> {
    prices.get(&item)
}

fn bills(app: &mut TestApp, topic: &str) -> Vec<u64> {
    let mut bills: Vec<u64> = app
        .sent::<Price>(topic)
        .iter()
        .map(|bill| bill.cents)
        .collect();
    bills.sort_unstable();
    bills
}

#[test]
fn every_partition_sees_all_rows_of_a_global_table() {
    let mut app = TestApp::only((bill,)).partitions(3);
    // What is there comes before the first order, whatever its partition.
    for (n, item) in ["tea", "milk", "sugar", "bread"].into_iter().enumerate() {
        app.send("global_orders", format!("order-{n}"), item.to_owned());
        app.send("global_prices", item, cents(n as u64));
    }
    assert_eq!(bills(&mut app, "global_bills"), [0, 1, 2, 3]);
    app.send_raw("global_prices", Some(b"tea"), None);
    app.send_raw("global_prices", Some(b"milk"), Some(b"garbage"));
    app.send("global_prices", "bread", cents(30));
    for item in ["tea", "milk", "bread"] {
        app.send("global_orders", "more", item.to_owned());
    }
    // No tea any more, the milk as it was.
    assert_eq!(bills(&mut app, "global_bills"), [0, 1, 1, 2, 3, 30]);
    app.restart_with_empty_disk();
    app.send("global_orders", "more", "bread".to_owned());
    app.send("global_orders", "more", "tea".to_owned());
    assert_eq!(bills(&mut app, "global_bills"), [0, 1, 1, 2, 3, 30, 30]);
}

/// How often each word was seen, known everywhere.
#[table(value = u64, global)]
struct Seen;

#[agent(topic = "global_words")]
async fn count(word: String, mut seen: Table<Seen>) {
    seen.update(&word, |n| *n += 1);
}

#[agent(topic = "global_questions", sink = "global_answers")]
async fn answer(word: Event<String>, seen: GlobalTable<Seen>) -> Price {
    assert_eq!(seen.contains(&*word), seen.get(&*word).is_some());
    cents(seen.read(&*word, |n| *n).unwrap_or_default())
}

#[test]
fn a_global_table_may_be_written_by_an_agent() {
    let mut app = TestApp::only((count, answer)).partitions(4);
    for n in 0..20 {
        app.send("global_words", format!("k{n}"), format!("word-{}", n % 4));
    }
    // Rows of one word lie in the partitions of its keys; the last one committed is what is seen.
    app.store();
    app.send("global_questions", "q", "nothing".to_owned());
    assert_eq!(bills(&mut app, "global_answers"), [0]);
    let mut app = TestApp::only((count, answer)).partitions(4);
    for n in 0..20 {
        let word = format!("word-{}", n % 4);
        app.send("global_words", word.clone(), word);
    }
    app.store();
    for n in 0..4 {
        app.send("global_questions", format!("q{n}"), format!("word-{n}"));
    }
    app.fail_next_commit();
    assert_eq!(bills(&mut app, "global_answers"), [5, 5, 5, 5]);
    app.crash();
    app.send("global_questions", "q", "word-3".to_owned());
    assert_eq!(bills(&mut app, "global_answers"), [5, 5, 5, 5, 5]);
}

/// The prices of this partition's items.
#[table(source = Prices)]
struct LocalPrice;

#[agent(topic = "local_orders", sink = "local_bills")]
async fn local_bill(item: Event<String>, prices: Table<LocalPrice>) -> Option<Price> {
    prices.get(item.key())
}

#[test]
fn a_table_of_a_topic_has_its_records_by_key() {
    let mut app = TestApp::only((local_bill,)).partitions(3);
    for (n, item) in ["tea", "milk", "sugar"].into_iter().enumerate() {
        app.send("global_prices", item, cents(n as u64 + 1));
    }
    app.send_raw("global_prices", Some(b"milk"), Some(b"garbage"));
    assert_eq!(app.dead_letters("local_price").len(), 1);
    for item in ["tea", "milk", "sugar", "salt"] {
        app.send("local_orders", item, String::new());
    }
    assert_eq!(bills(&mut app, "local_bills"), [1, 2, 3]);
    app.send_raw("global_prices", Some(b"tea"), None);
    app.fail_next_commit();
    app.send("global_prices", "milk", cents(20));
    app.store();
    app.crash();
    app.rebalance();
    app.restart_with_empty_disk();
    for item in ["tea", "milk", "sugar"] {
        app.send("local_orders", item, String::new());
    }
    assert_eq!(bills(&mut app, "local_bills"), [1, 2, 3, 3, 20]);
}

#[agent(topic = "local_orders")]
async fn wrong(_: String, _: Table<PriceOf>) {}

#[test]
#[should_panic(expected = "ask for a `GlobalTable<..>`")]
fn a_partition_of_a_global_table_of_a_topic_is_refused() {
    TestApp::only((wrong,)).sent::<Price>("local_bills");
}

#[table(value = u64, global)]
struct Orphans;

#[agent(topic = "local_orders")]
async fn orphan(_: String, _: GlobalTable<Orphans>) {}

#[test]
#[should_panic(expected = "nobody writes table `orphans`")]
fn a_global_table_that_nobody_writes_is_refused() {
    TestApp::only((orphan,)).sent::<Price>("local_bills");
}
