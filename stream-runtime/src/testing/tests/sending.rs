//! What is sent: under which key, at which time, with which headers.

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record(timestamp = at, key = id)]
#[derive(Clone)]
struct Order {
    id: String,
    at: i64,
}

fn order(id: &str, at: i64) -> Order {
    Order {
        id: id.to_owned(),
        at,
    }
}

#[record]
struct Note {
    text: String,
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
    }
}

#[topic("sending-notes", value = Note)]
struct Notes;

#[topic("sending-orders", value = Order)]
struct Orders;

/// A time of its own, a minute after the epoch: it could not be more than `max_ahead` from now.
fn minute() -> DateTime<Utc> {
    at("1970-01-01T00:01:00Z")
}

/// Text (or nothing), key and time of what is in a topic.
fn notes(app: &mut TestApp) -> Vec<(Option<String>, String, i64)> {
    let all = app.sent::<Option<Note>>("sending-notes");
    let seen = |sent: &crate::testing::Sent<Option<Note>>| {
        let text = sent.as_ref().map(|note| note.text.clone());
        (text, sent.key(), sent.timestamp())
    };
    all.iter().map(seen).collect()
}

#[agent(topic = "sending-in")]
async fn by_hand(_: Order, notes: Topic<Notes>, orders: &Topic<Orders>) -> Result {
    notes.send("given", note("sent")).await?;
    notes.delete("given").await?;
    notes.message(note("plain")).send().await?;
    notes
        .message(note("whole"))
        .key("own".to_owned())
        .header("from", "me")
        .header("raw", [0xff])
        .timestamp(minute())
        .send()
        .await?;
    orders.message(order("mine", 77)).send().await?;
    Ok(())
}

#[agent(topic = Notes, sink = "sending-heard")]
async fn hear(note: Option<Note>, headers: Headers) -> Option<String> {
    let note = note?;
    let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
    (!headers.is_empty()).then(|| {
        format!(
            "{} {names:?} {:?} {:?} {:?}",
            note.text,
            headers.text("from"),
            headers.get("raw"),
            headers.text("raw")
        )
    })
}

#[agent(topic = Notes, sink = "sending-heard-again")]
async fn hear_again(note: Event<Option<Note>>) -> Option<String> {
    let from = note.headers().text("from")?.to_owned();
    Some(format!("{from} {}", note.headers().len()))
}

#[test]
fn what_is_sent_by_hand_has_the_key_and_time_that_are_given_else_its_own_else_the_event_s() {
    let mut app = TestApp::only((by_hand, hear, hear_again));
    app.send("sending-in", "k", order("another", 5_000));
    let owned = |text: &str| Some(text.to_owned());
    assert_eq!(
        notes(&mut app),
        [
            (owned("sent"), "given".to_owned(), 5_000),
            (None, "given".to_owned(), 5_000),
            (owned("plain"), "k".to_owned(), 5_000),
            (
                owned("whole"),
                "own".to_owned(),
                minute().timestamp_millis()
            ),
        ]
    );
    let orders = app.sent::<Order>("sending-orders");
    assert_eq!(
        (orders[0].key::<String>(), orders[0].timestamp()),
        ("mine".to_owned(), 77)
    );
    let heard = app.sent::<String>("sending-heard");
    assert_eq!(heard.len(), 1, "the others have no headers");
    assert_eq!(
        *heard[0],
        r#"whole ["from", "raw"] Some("me") Some([255]) None"#
    );
    assert_eq!(*app.sent::<String>("sending-heard-again")[0], "me 2");
}

#[agent(topic = "sending-failing", retries = 0)]
async fn half_done(_: Order, notes: Topic<Notes>) -> Result {
    notes.send("k", note("half")).await?;
    notes.delete("k").await?;
    Err("no more")?
}

#[test]
fn what_an_event_that_fails_has_sent_is_not_sent() {
    let mut app = TestApp::only((half_done,));
    app.send("sending-failing", "k", order("k", 1));
    assert_eq!(notes(&mut app), []);
    assert_eq!(app.dead_letters("half_done").len(), 1);
}

#[timer("10s")]
async fn beside(notes: Producer<Notes>, orders: Producer<Orders>) -> Result {
    notes.send("given", note("sent")).await?;
    notes.delete("given").await?;
    notes
        .message(note("whole"))
        .key("own".to_owned())
        .header("from", "me")
        .timestamp(minute())
        .send()
        .await?;
    notes.flush().await?;
    orders.message(order("mine", 77)).send().await?;
    Ok(())
}

#[agent(topic = Notes, sink = "sending-heard")]
async fn listen(_: Option<Note>, headers: Headers) -> Option<String> {
    headers.text("from").map(str::to_owned)
}

#[test]
fn what_is_sent_beside_the_streams_has_the_key_and_time_that_are_given_else_its_own_else_now() {
    let mut app = TestApp::only((listen, beside));
    app.advance_to(DateTime::UNIX_EPOCH + std::time::Duration::from_secs(10));
    let owned = |text: &str| Some(text.to_owned());
    assert_eq!(
        notes(&mut app),
        [
            (owned("sent"), "given".to_owned(), 10_000),
            (None, "given".to_owned(), 10_000),
            (
                owned("whole"),
                "own".to_owned(),
                minute().timestamp_millis()
            ),
        ]
    );
    let orders = app.sent::<Order>("sending-orders");
    assert_eq!(
        (orders[0].key::<String>(), orders[0].timestamp()),
        ("mine".to_owned(), 77)
    );
    assert_eq!(*app.sent::<String>("sending-heard")[0], "me");
}

#[table(tumbling = "1m", value = u64)]
struct Minutes;

#[agent(topic = "sending-in", sink = "sending-keyed")]
async fn keyed(_: Order) -> Option<Vec<(u64, Order)>> {
    Some(vec![(1, order("a", 8)), (2, order("b", 9))])
}

#[agent(topic = "sending-in", sink = "sending-own")]
async fn own(_: Order) -> Result<Order> {
    Ok(order("mine", 77))
}

#[agent(topic = "sending-in", sink = "sending-plain")]
async fn plain(_: Order) -> Note {
    note("plain")
}

#[agent(topic = "sending-in")]
async fn fold(order: Event<Order>, mut minutes: Table<Minutes>) {
    minutes.update(order.key(), |n| *n += 1);
}

#[agent(on_close = Minutes, sink = "sending-closed")]
async fn closed(minute: Closed<Minutes>, Key(key): Key<String>, headers: Headers) -> Note {
    assert_eq!((minute.key(), headers.len()), (&key, 0));
    note(&key)
}

#[agent(on_close = Minutes, sink = "sending-closed-own")]
async fn closed_own(_: Closed<Minutes>) -> Order {
    order("mine", 77)
}

#[test]
fn what_is_returned_has_the_key_and_time_of_its_record_else_of_the_event_or_of_the_window() {
    let mut app = TestApp::only((keyed, own, plain, fold, closed, closed_own));
    app.send("sending-in", "k", order("another", 5_000));
    app.close_until(DateTime::UNIX_EPOCH + std::time::Duration::from_secs(60));
    let keyed = app.sent::<Order>("sending-keyed");
    let seen: Vec<(u64, i64)> = keyed.iter().map(|o| (o.key(), o.timestamp())).collect();
    assert_eq!(seen, [(1, 8), (2, 9)], "the key of the pair goes first");
    let one = |key: &str, time: i64| (key.to_owned(), time);
    for topic in ["sending-own", "sending-closed-own"] {
        let own = app.sent::<Order>(topic);
        assert_eq!(
            (own[0].key(), own[0].timestamp()),
            one("mine", 77),
            "{topic}"
        );
    }
    let plain = app.sent::<Note>("sending-plain");
    assert_eq!((plain[0].key(), plain[0].timestamp()), one("k", 5_000));
    let closed = app.sent::<Note>("sending-closed");
    assert_eq!((closed[0].key(), closed[0].timestamp()), one("k", 59_999));
}

#[agent(topic = "sending-stones", sink = "sending-buried")]
async fn bury(note: Option<Note>, Key(key): Key<String>) -> Option<String> {
    note.is_none().then(|| format!("{key} is gone"))
}

#[agent(topic = "sending-stones", sink = "sending-read")]
async fn read(note: Note) -> String {
    note.text
}

#[test]
fn a_tombstone_is_none_to_who_takes_an_option_and_a_dead_letter_of_others() {
    let mut app = TestApp::only((bury, read));
    app.send("sending-stones", "k", note("there"));
    app.send_raw("sending-stones", Some(b"k"), None);
    assert_eq!(*app.sent::<String>("sending-buried")[0], "k is gone");
    assert_eq!(app.sent::<String>("sending-read").len(), 1);
    assert!(
        app.sent::<Option<bytes::Bytes>>("test-bury-dead-letters")
            .is_empty()
    );
    let dead = app.sent::<Option<bytes::Bytes>>("test-read-dead-letters");
    assert_eq!((dead.len(), &*dead[0]), (1, &None));
    let error = dead[0].header("error").unwrap();
    assert!(error.contains("take `Option<Note>`"), "{error}");
}
