//! Which partition a key's row is in, and what happens to a lookup elsewhere.

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record]
struct View {
    country: Option<String>,
}

#[record]
struct Seen {
    n: u64,
}

#[table(key = Option<String>)]
#[derive(Clone, Default)]
struct ByCountry {
    n: u64,
}

#[agent(topic = "key-views", group_by = country, sink = "key-seen")]
async fn count(view: Event<View, Option<String>>, mut views: Table<ByCountry>) -> Seen {
    let n = views.update(view.key(), |row| {
        row.n += 1;
        row.n
    });
    Seen { n }
}

#[test]
fn records_that_are_grouped_by_no_key_are_counted_together() {
    let mut app = TestApp::only((count,)).partitions(3);
    for i in 0..24 {
        app.send("key-views", format!("user-{i}"), View { country: None });
        match i {
            5 => app.crash(),
            9 => app.rebalance(),
            15 => app.restart_with_empty_disk(),
            _ => {}
        }
    }
    let seen = app.sent::<Seen>("key-seen");
    assert_eq!(seen.iter().map(|seen| seen.n).max(), Some(24));
    let hop = app.sent::<View>("test-count-country-repartition");
    let home = crate::key::partition_of_none(3);
    assert!(hop.len() == 24 && hop.iter().all(|view| view.partition() == home));
}

#[record]
struct Customer {
    name: String,
}

#[record]
struct Order {
    customer: u32,
}

#[table(key = u32)]
#[derive(Clone, Default)]
struct Customers {
    name: String,
}

#[agent(topic = "key-customers")]
async fn customer(customer: Event<Customer, u32>, mut all: Table<Customers>) {
    let name = customer.name.clone();
    all.insert(customer.key(), Customers { name });
}

/// Looks another key up than its own.
#[agent(topic = "key-orders", sink = "key-names")]
async fn order(order: Event<Order, u32>, customers: Table<Customers>) -> String {
    let customer = customers.get(&order.customer);
    customer.map_or_else(String::new, |customer| customer.name)
}

/// Sends customers and orders of them; the order's key has nothing to do with them.
fn send_orders(app: &mut TestApp) {
    for id in 0..20_u32 {
        let name = format!("c{id}");
        app.send("key-customers", id, Customer { name });
    }
    for id in 0..20_u32 {
        app.send("key-orders", 1000 + id, Order { customer: id });
    }
}

fn home(key: u32, partitions: i32) -> i32 {
    crate::key::partition_of(&key.to_be_bytes(), partitions)
}

#[test]
fn a_lookup_of_a_key_of_another_partition_is_a_failure_of_the_event() {
    let mut app = TestApp::only((customer, order)).partitions(4);
    send_orders(&mut app);
    let here = (0..20).filter(|id| home(*id, 4) == home(1000 + id, 4));
    let here: Vec<String> = here.map(|id| format!("c{id}")).collect();
    let mut found: Vec<String> = app
        .sent::<String>("key-names")
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert!(!here.is_empty() && here.len() < 20);
    found.sort_by_key(|name| name[1..].parse::<u32>().ok());
    assert_eq!(
        found, here,
        "what is found is right, and nothing is missed in silence"
    );
    let dead = app.dead_letters("order");
    assert_eq!(dead.len(), 20 - here.len());
    let away = (0..20)
        .find(|id| home(*id, 4) != home(1000 + id, 4))
        .unwrap();
    let why = format!(
        "table `customers`: key {away} belongs to partition {}, and this is partition {}",
        home(away, 4),
        home(1000 + away, 4)
    );
    let texts: Vec<&str> = dead
        .iter()
        .filter_map(|letter| letter.header("error"))
        .collect();
    assert!(
        texts.iter().any(|text| text.starts_with(&why)),
        "{texts:#?}"
    );
    for cure in ["group_by", "global", "local"] {
        assert!(texts[0].contains(cure), "{}", texts[0]);
    }
    // Pointless to try again.
    assert!(
        dead.iter()
            .all(|letter| letter.header("attempts") == Some("1"))
    );
}

#[test]
fn one_partition_has_all_keys() {
    let mut app = TestApp::only((customer, order)).partitions(1);
    send_orders(&mut app);
    assert_eq!(app.sent::<String>("key-names").len(), 20);
    assert!(app.dead_letters("order").is_empty());
}

mod by_other_means {
    use super::*;

    #[table(key = u32)]
    #[derive(Clone, Default)]
    struct Stock {
        n: u64,
    }

    /// Rows of any key lie where its events do.
    #[agent(topic = "means-in", name = "means_fill")]
    async fn fill(order: Event<Order, u32>, mut stock: Table<Stock>) {
        stock.update(&order.customer, |row| row.n += 1);
    }

    #[agent(topic = "means-ask", name = "means_ask", sink = "means-out")]
    async fn ask(order: Event<Order, u32>, stock: Table<Stock>) -> Seen {
        Seen {
            n: stock.get(&order.customer).map_or(0, |row| row.n),
        }
    }

    #[test]
    fn where_rows_lie_elsewhere_already_a_lookup_is_answered_and_not_refused() {
        let mut app = TestApp::only((fill, ask)).partitions(4);
        for id in 0..20_u32 {
            app.send("means-in", 7_u32, Order { customer: id });
        }
        for disturb in [TestApp::settle, TestApp::restart_with_empty_disk] {
            disturb(&mut app);
            // Key 7's partition has the rows; keys that nobody wrote have none.
            app.send("means-ask", 7_u32, Order { customer: 3 });
            app.send("means-ask", 7_u32, Order { customer: 333 });
        }
        let seen: Vec<u64> = app.sent::<Seen>("means-out").iter().map(|s| s.n).collect();
        assert_eq!(seen, [1, 0, 1, 0]);
        assert!(app.dead_letters("means_ask").is_empty());
    }

    #[table(key = u32, local)]
    #[derive(Clone, Default)]
    struct Local {
        n: u64,
    }

    #[agent(topic = "local-in", name = "local_first", sink = "local-out")]
    async fn first(order: Event<Order, u32>, mut rows: Table<Local>) -> Seen {
        let is_new = !rows.contains(&order.customer);
        rows.update(&order.customer, |row| row.n += 1);
        Seen { n: is_new.into() }
    }

    #[test]
    fn a_local_table_has_a_row_of_any_key_in_each_partition() {
        let mut app = TestApp::only((first,)).partitions(4);
        for id in 0..20_u32 {
            app.send("local-in", id, Order { customer: id + 100 });
        }
        assert_eq!(app.sent::<Seen>("local-out").len(), 20);
    }

    #[table(key = (u32, u32))]
    #[derive(Clone, Default)]
    struct OfDay {
        n: u64,
    }

    /// The event's own key is a part of the row's.
    #[agent(topic = "day-in", name = "day_first", sink = "day-out")]
    async fn once_a_day(order: Event<Order, u32>, mut rows: Table<OfDay>) -> Seen {
        let key = (*order.key(), order.customer);
        let is_new = !rows.contains(&key);
        rows.update(&key, |row| row.n += 1);
        Seen { n: is_new.into() }
    }

    #[test]
    fn a_key_that_the_event_s_own_is_a_part_of_is_looked_up_where_the_event_is() {
        let mut app = TestApp::only((once_a_day,)).partitions(4);
        for id in 0..40_u32 {
            app.send("day-in", id % 20, Order { customer: 5 });
        }
        let seen: Vec<u64> = app.sent::<Seen>("day-out").iter().map(|s| s.n).collect();
        assert_eq!((seen.len(), seen.iter().sum::<u64>()), (40, 20));
    }
}

mod windows {
    use super::*;

    #[table(key = u32, tumbling = "1h")]
    #[derive(Clone, Default)]
    struct Hours {
        n: u64,
    }

    #[table(key = u32, sliding = "1h")]
    #[derive(Clone, Default)]
    struct Last {
        n: u64,
    }

    #[agent(topic = "win-in", name = "win_fill")]
    async fn fill(order: Event<Order, u32>, mut hours: Table<Hours>, mut last: Table<Last>) {
        hours.update(order.key(), |row| row.n += 1);
        last.update(order.key(), |row| row.n += 1);
    }

    #[agent(topic = "win-ask", name = "win_ask", sink = "win-out")]
    async fn ask(order: Event<Order, u32>, hours: Table<Hours>, last: Table<Last>) -> Seen {
        let n = match order.offset() % 4 {
            0 => hours.current(&order.customer).map_or(0, |row| row.n),
            1 => hours.windows(&order.customer).len() as u64,
            2 => last.current(&order.customer).map_or(0, |row| row.n),
            _ => last.windows(&order.customer).len() as u64,
        };
        Seen { n }
    }

    #[test]
    fn windows_of_a_key_of_another_partition_are_no_empty_list() {
        let mut app = TestApp::only((fill, ask)).partitions(4);
        let away = (0..20).find(|id| home(*id, 4) != home(7, 4)).unwrap();
        app.send("win-in", 7_u32, Order { customer: 0 });
        for _ in 0..4 {
            app.send("win-ask", 7_u32, Order { customer: 7 });
        }
        assert_eq!(app.sent::<Seen>("win-out").len(), 4);
        for _ in 0..4 {
            app.send("win-ask", 7_u32, Order { customer: away });
        }
        assert_eq!(app.dead_letters("win_ask").len(), 4);
        // A key of this partition that has no windows has none.
        let none = (20..).find(|id| home(*id, 4) == home(7, 4)).unwrap();
        app.send("win-ask", 7_u32, Order { customer: none });
        assert_eq!(app.sent::<Seen>("win-out").len(), 5);
    }
}

mod own_keys {
    use super::*;

    #[table(key = Option<u32>)]
    #[derive(Clone, Default)]
    struct Known {
        n: u64,
    }

    /// Asks for the key of each event of a batch.
    #[agent(topic = "batch-in", name = "batch_known")]
    async fn known(
        mut orders: Stream<Order, Option<u32>>,
        mut all: Table<Known>,
        out: Topic<BatchOut>,
    ) -> Result {
        while let Some(batch) = orders.take(4, std::time::Duration::from_secs(1)).await {
            for order in &batch {
                let is_new = all.get(order.key()).is_none();
                all.update(order.key(), |row| row.n += 1);
                out.send(order.key(), Seen { n: is_new.into() }).await?;
            }
        }
        Ok(())
    }

    #[topic("batch-out", key = Option<u32>, value = Seen)]
    struct BatchOut;

    #[table(key = Option<u32>)]
    #[derive(Clone, Default)]
    struct One {
        n: u64,
    }

    #[agent(topic = "one-in", name = "one_known", sink = "one-out")]
    async fn one(order: Event<Order, Option<u32>>, mut all: Table<One>) -> Seen {
        let is_new = all.get(order.key()).is_none();
        all.update(order.key(), |row| row.n += 1);
        Seen { n: is_new.into() }
    }

    /// Records without a key lie in any partition, and most of them not in the one that this "key" belongs to.
    #[test]
    fn an_event_s_own_key_is_looked_up_where_the_event_is() {
        for (topic, out) in [("one-in", "one-out"), ("batch-in", "batch-out")] {
            let mut app = TestApp::only((one, known)).partitions(4);
            for _ in 0..8 {
                app.send_raw(topic, None, Some(br#"{"customer":1}"#));
            }
            app.advance_to(at("1970-01-01T00:00:05Z"));
            let seen: Vec<u64> = app.sent::<Seen>(out).iter().map(|s| s.n).collect();
            assert_eq!((seen.len(), seen.iter().sum::<u64>()), (8, 4), "{topic}");
        }
    }
}
