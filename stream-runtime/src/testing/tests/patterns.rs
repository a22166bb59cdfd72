//! Agents that find their topics by a pattern.

use super::*;
use crate::testing::seeds;

#[table]
#[derive(Clone, Default)]
struct PerShop {
    orders: u64,
}

#[agent(pattern = r"orders-\w+", sink = "counted")]
async fn count(order: Event<String>, mut shops: Table<PerShop>) -> String {
    let orders = shops.update(order.key(), |row| {
        row.orders += 1;
        row.orders
    });
    format!("{} {orders}", *order)
}

#[agent(pattern = "views\\..*", group_by = |view: &String| view.clone(), name = "grouped", sink = "grouped")]
async fn grouped(view: Event<String>) -> String {
    view.key().clone()
}

#[agent(pattern = "loop-.*", sink = "loop-out")]
async fn endless(text: String) -> String {
    text
}

fn texts(app: &mut TestApp, topic: &str) -> Vec<String> {
    let mut all: Vec<String> = app
        .sent::<String>(topic)
        .iter()
        .map(|s| (**s).clone())
        .collect();
    all.sort();
    all
}

#[test]
fn topics_that_match_are_read_also_those_that_come_later() {
    for partitions in [1, 3] {
        let mut app = TestApp::only((count,)).partitions(partitions);
        app.send("orders-eu", "a", "eu".to_owned());
        app.send("orders", "a", "none".to_owned());
        app.send("old-orders-eu", "a", "none".to_owned());
        assert_eq!(texts(&mut app, "counted"), ["eu 1"]);
        // The table of the shop is the same whatever the topic.
        app.send("orders-us", "a", "us".to_owned());
        assert_eq!(texts(&mut app, "counted"), ["eu 1", "us 2"]);
        app.crash();
        app.send("orders-eu", "a", "eu".to_owned());
        assert_eq!(texts(&mut app, "counted"), ["eu 1", "eu 3", "us 2"]);
    }
}

#[test]
fn without_a_topic_there_is_nothing_to_do() {
    let mut app = TestApp::only((count,));
    assert!(texts(&mut app, "counted").is_empty());
    // The app's own never match.
    app.send("test-orders", "a", "own".to_owned());
    app.send("orders-eu", "a", "eu".to_owned());
    assert_eq!(texts(&mut app, "counted"), ["eu 1"]);
}

#[test]
fn what_a_pattern_finds_gets_another_key() {
    let mut app = TestApp::only((grouped,)).partitions(2);
    app.send("views.a", "k", "x".to_owned());
    app.send("views.b", "k", "y".to_owned());
    assert_eq!(texts(&mut app, "grouped"), ["x", "y"]);
}

#[test]
fn an_agent_s_own_sink_is_no_input() {
    let problems = App::new("a").only((endless,)).plan().err().unwrap();
    let text = problems[0].to_string();
    assert!(
        text.contains("sends to the topic it reads, `loop-out`"),
        "{text}"
    );
}

#[topic("orders-timer", value = String)]
struct OfTimer;

#[timer("1m")]
async fn order(orders: Producer<OfTimer>) -> Result<()> {
    orders.send("a", "timer".to_owned()).await?;
    Ok(())
}

#[test]
fn a_timer_s_topic_is_found_as_others_are() {
    let mut app = TestApp::only((count, order));
    app.advance_to(DateTime::UNIX_EPOCH + std::time::Duration::from_secs(60));
    assert_eq!(texts(&mut app, "counted"), ["timer 1"]);
}

/// Faults and topics that come at any time: every order counts once.
#[test]
fn nothing_is_lost_or_counted_twice_while_topics_come() {
    for seed in seeds(30) {
        let sent = std::cell::Cell::new(0);
        TestApp::simulate(seed)
            .app(TestApp::only((count,)).partitions(3).workers(2))
            .input(|app, random| {
                let (topic, key) = (random.u8(..4), random.u8(..5));
                sent.set(sent.get() + 1);
                app.send(&format!("orders-{topic}"), format!("{key}"), "o".to_owned());
            })
            .check(|app| {
                let mut last = std::collections::BTreeMap::new();
                for counted in app.sent::<String>("counted") {
                    let orders: u64 = counted.strip_prefix("o ").unwrap().parse().unwrap();
                    *last.entry(counted.key::<String>()).or_insert(0) += 1;
                    assert_eq!(last[&counted.key::<String>()], orders);
                }
                assert_eq!(last.values().sum::<u64>(), sent.get());
            });
    }
}
