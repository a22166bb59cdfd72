//! Global tables, and tables that are a topic's records.

use std::time::Duration;

use crate::prelude::*;
use crate::testing::TestApp;

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

#[topic("global_reports", value = String)]
struct Reports;

/// Nobody but this reads the prices.
#[timer("1m")]
async fn price_list(
    prices: GlobalTable<PriceOf>,
    seen: &GlobalTable<Seen>,
    reports: Producer<Reports>,
) -> Result<()> {
    let tea = prices.read("tea", |price| price.cents);
    let report = format!("{tea:?}, {} words", seen.len());
    reports.send("r", report).await?;
    Ok(())
}

/// It begins before anything is there.
#[task]
async fn first_price(prices: GlobalTable<PriceOf>, reports: Producer<Reports>) -> Result<()> {
    let milk = prices.wait_for("milk", Duration::from_secs(60)).await;
    reports
        .send("r", format!("milk {:?}", milk.map(|price| price.cents)))
        .await?;
    Ok(())
}

fn reports(app: &mut TestApp) -> Vec<String> {
    let sent = app.sent::<String>("global_reports");
    sent.iter().map(|report| (**report).clone()).collect()
}

#[test]
fn a_timer_alone_reads_global_tables() {
    let minute = |n: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(n);
    let mut app = TestApp::only((count, price_list, first_price)).partitions(3);
    app.send("global_prices", "tea", cents(3));
    app.send("global_words", "k", "word".to_owned());
    app.advance_to(minute(1));
    assert_eq!(reports(&mut app), ["Some(3), 1 words"]);
    app.send_raw("global_prices", Some(b"tea"), None);
    app.send("global_prices", "milk", cents(4));
    app.restart_with_empty_disk();
    app.advance_to(minute(2));
    let mut all = reports(&mut app);
    all.sort_unstable();
    assert_eq!(all, ["None, 1 words", "Some(3), 1 words", "milk Some(4)"]);
}

#[timer("1m")]
async fn of_nobody(_: GlobalTable<Orphans>) {}

#[test]
#[should_panic(
    expected = "timer `of_nobody` reads table `orphans`, which no agent of the app keeps"
)]
fn a_global_table_that_nobody_writes_is_refused_outside_agents() {
    TestApp::only((count, of_nobody)).sent::<Price>("global_bills");
}

/// What it asks for is written by another agent after the question was asked.
#[agent(topic = "global_questions", sink = "global_late_answers")]
async fn patient(word: String, seen: GlobalTable<Seen>) -> Price {
    let n = seen.wait_for(&word, Duration::from_secs(4)).await;
    cents(n.unwrap_or_default())
}

#[agent(topic = "global_questions", sink = "global_no_answers")]
async fn impatient(word: String, seen: GlobalTable<Seen>) -> Price {
    let n = seen.wait_for(&word, Duration::from_millis(1)).await;
    cents(n.unwrap_or(1_000))
}

#[test]
fn a_row_of_a_global_table_can_be_waited_for() {
    let mut app = TestApp::only((count, patient)).partitions(2);
    for n in 0..3 {
        app.send("global_questions", format!("q{n}"), "word".to_owned());
    }
    app.send("global_words", "word", "word".to_owned());
    assert_eq!(bills(&mut app, "global_late_answers"), [1, 1, 1]);
    let mut app = TestApp::only((count, impatient));
    app.send("global_questions", "q", "word".to_owned());
    assert_eq!(bills(&mut app, "global_no_answers"), [1_000]);
}
