//! Joins on apps as users write them.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = at, key = id)]
struct Order {
    id: String,
    #[field(coerce)]
    at: DateTime<Utc>,
    item: String,
}

#[record(timestamp = at)]
struct Payment {
    order: SourceLocation,
    #[field(coerce)]
    at: DateTime<Utc>,
    sum: u32,
}

#[record]
struct SourceLocation {
    id: String,
}

#[record]
struct Shipment {
    item: Option<String>,
    paid: Option<u32>,
}

#[topic("orders", value = Order)]
struct Orders;

#[topic("payments", value = Payment)]
struct Payments;

#[topic("shipments", value = Shipment)]
struct Shipments;

fn order(id: &str, time: &str) -> Order {
    Order {
        id: id.to_owned(),
        at: at(time),
        item: format!("item of {id}"),
    }
}

fn payment(id: &str, time: &str, sum: u32) -> Payment {
    Payment {
        order: SourceLocation { id: id.to_owned() },
        at: at(time),
        sum,
    }
}

#[join(
    left = Orders,
    right = Payments,
    within = "10m",
    grace = "1m",
    idle = "5s",
    on = (id, order.id),
    sink = Shipments
)]
async fn matched(order: Order, payment: Option<Payment>) -> Shipment {
    Shipment {
        item: Some(order.item),
        paid: payment.map(|payment| payment.sum),
    }
}

#[test]
fn orders_meet_payments_by_fields_and_only_the_side_with_another_key_is_repartitioned() {
    let mut app = TestApp::only((matched,)).partitions(3);
    for n in 0..6 {
        let id = format!("order-{n}");
        let time = format!("2006-12-16T17:2{n}:00Z");
        app.send("orders", id.as_str(), order(&id, &time));
        // Under the payment's own number; the last order is never paid.
        if n < 5 {
            app.send("payments", format!("payment-{n}"), payment(&id, &time, n));
        }
    }
    let shipments = |app: &mut TestApp| {
        let mut all: Vec<(String, Option<u32>)> = app
            .sent::<Shipment>("shipments")
            .iter()
            .map(|shipment| (shipment.key(), shipment.paid))
            .collect();
        all.sort();
        all
    };
    let mut expected: Vec<(String, Option<u32>)> =
        (0..5).map(|n| (format!("order-{n}"), Some(n))).collect();
    assert_eq!(shipments(&mut app), expected);
    assert!(
        app.sent::<Order>("test-matched-left-id-repartition")
            .is_empty()
    );
    let hop = app.sent::<Payment>("test-matched-right-order.id-repartition");
    assert_eq!(hop.len(), 5);
    assert!(
        hop.iter()
            .all(|payment| payment.key::<String>() == payment.order.id)
    );

    // `t + within + 1 ms + grace`, and not a moment earlier.
    app.advance_to(at("2006-12-16T17:36:00Z"));
    assert_eq!(shipments(&mut app), expected);
    app.advance_to(at("2006-12-16T17:36:06Z"));
    expected.push(("order-5".to_owned(), None));
    assert_eq!(shipments(&mut app), expected);
    let alone = app.sent::<Shipment>("shipments");
    let alone = alone.iter().find(|s| s.paid.is_none()).unwrap();
    assert_eq!(
        alone.timestamp(),
        at("2006-12-16T17:25:00Z").timestamp_millis()
    );
}

#[record(timestamp = time)]
struct Tick {
    time: i64,
    text: String,
}

#[record(timestamp = time)]
struct Tock {
    time: i64,
    text: String,
}

#[table(key = String)]
#[derive(Clone, Default)]
struct Met {
    n: u32,
}

#[state]
async fn prefix() -> Prefix {
    Prefix(">".to_owned())
}
struct Prefix(String);

#[join(left = "ticks", right = "tocks", within = "5ms", sink = "met")]
async fn all_parameters(
    tick: &Tick,
    tock: &Option<Tock>,
    Key(key): Key<String>,
    headers: Headers,
    mut met: Table<Met>,
    prefix: State<Prefix>,
    context: TaskContext,
) -> Option<(String, String)> {
    assert!(headers.is_empty());
    assert_eq!(context.partition(), 0);
    let n = met.update(&key, |row| {
        row.n += 1;
        row.n
    });
    let tock = tock.as_ref()?;
    Some((key, format!("{}{n} {} {}", prefix.0, tick.text, tock.text)))
}

fn tick(time: i64, text: &str) -> Tick {
    Tick {
        time,
        text: text.to_owned(),
    }
}

fn tock(time: i64, text: &str) -> Tock {
    Tock {
        time,
        text: text.to_owned(),
    }
}

#[test]
fn a_join_takes_the_parameters_of_an_agent() {
    let mut app = TestApp::only((all_parameters,));
    app.send("ticks", "k", tick(10, "a"));
    app.send("ticks", "k", tick(10, "b"));
    app.send("tocks", "k", tock(12, "x"));
    app.send("tocks", "other", tock(12, "y"));
    app.send("ticks", "k", tick(30, "c"));
    app.close_until(at("1970-01-01T00:00:01Z"));
    let met: Vec<String> = app
        .sent::<String>("met")
        .iter()
        .map(|s| (**s).clone())
        .collect();
    assert_eq!(met, [">1 a x", ">2 b x"]);
    // The one that went alone was counted: the table's next number says so.
    app.send("ticks", "k", tick(2_000, "d"));
    app.send("tocks", "k", tock(2_000, "z"));
    assert_eq!(**app.sent::<String>("met").last().unwrap(), ">4 d z");
}

static FAILED: AtomicU32 = AtomicU32::new(0);

#[join(
    left = "unlucky_ticks",
    right = "unlucky_tocks",
    within = "5ms",
    sink = "lucky",
    retries = 1,
    backoff = "1s"
)]
async fn unlucky(tick: Tick, tock: Option<Tock>) -> Result<String> {
    let tock = tock.map_or_else(|| "alone".to_owned(), |tock| tock.text);
    // Fails with the second partner, once; and always with "bad".
    if tock == "bad" || (tock == "second" && FAILED.fetch_add(1, Ordering::Relaxed) == 0) {
        Err("no luck")?;
    }
    if tock == "alone" && tick.text == "lonely" {
        Err("nobody came").reject()?;
    }
    Ok(format!("{} {tock}", tick.text))
}

#[test]
fn what_an_event_of_a_join_did_is_undone_as_a_whole() {
    let mut app = TestApp::only((unlucky,));
    app.send("unlucky_tocks", "k", tock(10, "first"));
    app.send("unlucky_tocks", "k", tock(11, "second"));
    app.send("unlucky_tocks", "l", tock(11, "bad"));
    app.send("unlucky_ticks", "k", tick(12, "a"));
    let sent = |app: &mut TestApp| {
        let all = app.sent::<String>("lucky");
        all.iter().map(|s| (**s).clone()).collect::<Vec<_>>()
    };
    assert!(sent(&mut app).is_empty(), "half an event was sent");
    let begin = DateTime::<Utc>::UNIX_EPOCH;
    app.advance_to(begin + chrono::TimeDelta::seconds(2));
    assert_eq!(sent(&mut app), ["a first", "a second"]);

    // A record that fails for good is a dead letter, and not kept: it meets nobody later.
    app.send("unlucky_ticks", "l", tick(12, "b"));
    app.send("unlucky_ticks", "m", tick(12, "lonely"));
    app.advance_to(begin + chrono::TimeDelta::seconds(9));
    app.close_until(begin + chrono::TimeDelta::seconds(60));
    assert_eq!(sent(&mut app), ["a first", "a second"]);
    let dead = app.dead_letters("unlucky");
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].header("source.topic"), Some("unlucky_ticks"));
    // One that went alone says which, from when to when a partner could have come, and carries the record.
    assert_eq!(dead[1].header("table"), Some("unlucky-left"));
    assert_eq!(dead[1].header("start"), Some("1970-01-01T00:00:00.007Z"));
    assert_eq!(dead[1].header("end"), Some("1970-01-01T00:00:00.018Z"));
    assert_eq!(dead[1].key::<String>(), "m");
    assert!(String::from_utf8_lossy(dead[1].as_deref().unwrap()).contains("lonely"));
}

#[test]
fn a_record_without_a_key_or_value_is_no_side_of_a_join() {
    let mut app = TestApp::only((all_parameters,));
    app.send_raw("ticks", None, Some(br#"{"time":1,"text":"a"}"#));
    app.send_raw("ticks", Some(b"k"), Some(b"{}"));
    app.send("ticks", "k", tick(1, "a"));
    app.send("tocks", "k", tock(1, "x"));
    assert_eq!(app.sent::<String>("met").len(), 1);
    let dead = app.dead_letters("all_parameters");
    assert_eq!(dead.len(), 2);
    let why = dead[0].header("error").unwrap();
    assert!(
        why.contains("no key, by which a join finds its partner") && why.contains("on = ("),
        "{why}"
    );
}

#[table(tumbling = "1s", grace = "5ms")]
#[derive(Clone, Default)]
struct Short {
    n: u32,
}

#[join(left = "ticks", right = "tocks", within = "5ms")]
async fn feeds_too_short(tick: Tick, tock: Option<Tock>, mut short: Table<Short>) {
    let _ = (tick, tock);
    let _ = short.update("k", |row| row.n += 1);
}

#[test]
#[should_panic(expected = "needs a grace no smaller than that (5 ms)")]
fn a_table_that_would_judge_every_record_without_a_partner_late_is_refused() {
    TestApp::only((feeds_too_short,)).sent::<String>("met");
}

const TICKS: &str = "ticks";

#[topic("ticks", value = Tick)]
struct Ticks;

#[join(left = Ticks, right = "ticks", within = "5ms")]
async fn same(left: Tick, right: Tick) {
    let _ = (left, right, TICKS);
}

#[test]
#[should_panic(expected = "join `same` has topic `ticks` on both sides")]
fn a_join_of_a_topic_with_itself_is_refused() {
    TestApp::only((same,)).sent::<String>("met");
}
