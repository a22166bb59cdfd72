//! What the attributes register, and that functions under them stay functions.

use std::sync::Mutex;

use stream_runtime::__private::{
    AgentDescriptor, CommandDescriptor, JobDescriptor, OnError, OnGap, PageDescriptor, Source,
    Start, StateDescriptor, When, inventory,
};
use stream_runtime::prelude::*;
use stream_runtime::{TableSpec, TopicSpec, Window};

#[record(key = id)]
#[derive(Debug, Clone, PartialEq)]
struct Order {
    id: u64,
    sum: f64,
}

#[topic("orders", value = Order, partitions = 4, replication_factor = 3, retention = "7d", compact)]
struct Orders;

#[topic("foreign", key = String, value = String, external)]
struct Foreign;

#[table(key = u64, hopping = "1h", step = "10m", grace = "30s", idle = "5s", retention = "1d", partitions = 4)]
#[derive(Clone, Default)]
struct HTTPHits {
    n: u64,
}

#[table(value = Vec<u64>, name = "lists", changelog = false, local)]
struct Kept;

#[agent(topic = Orders, sink = "bills", retries = 0, backoff = "250ms", timeout = "2s", on_error = "stop",
    on_decode_error = "skip", dead_letter_topic = "lost", name = "billing")]
async fn bill(
    order: &Order,
    Key(customer): Key<u64>,
    hits: Table<HTTPHits>,
    mut kept: Table<Kept>,
) -> Option<(String, Order)> {
    let _ = hits.current(&order.id);
    kept.update(&customer.to_string(), |list| list.push(order.id));
    Some((customer.to_string(), order.clone()))
}

#[agent(topics = ["a", Foreign])]
async fn both(mut lines: Stream<String, String>) -> Result {
    while let Some(line) = lines.next().await {
        drop(line);
    }
    Ok(())
}

#[agent(on_close = HTTPHits, sink = Orders)]
async fn close(window: Closed<HTTPHits>) -> Order {
    Order {
        id: *window.key(),
        sum: window.n as f64,
    }
}

#[agent(topic = "deletions")]
async fn deletions(order: Option<Order>, rate: State<Rate>) {
    let _ = order.map(|order| order.sum * rate.0);
}

#[topic("payments", value = Order, start = "latest", on_gap = "skip", max_ahead = "1d", codec = "json")]
struct Payments;

#[table(session = "30m", late = Foreign, value = Spent)]
struct Sessions;

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Spent;

impl Merge for Spent {
    fn merge(&mut self, _: Self) {}
}

#[table(sliding = "10m", value = u64)]
struct Lately;

#[table(tumbling = "1d", value = u64)]
struct Days;

#[table(ttl = "1d", value = u64)]
struct Mortal;

#[table(global, value = u64)]
struct Everywhere;

#[agent(pattern = "orders-.+", concurrency = 4)]
async fn at_once(order: Event<Order, u64>, all: GlobalTable<Everywhere>) {
    assert_eq!(*order.key(), order.id);
    drop(all);
}

#[agent(topic = Foreign)]
async fn in_batches(mut lines: Stream<String>) {
    while lines
        .take(2, std::time::Duration::from_secs(1))
        .await
        .is_some()
    {}
}

#[join(left = Orders, right = Payments, within = "10m", grace = "1m", idle = "5s", sink = "paid", retries = 2)]
async fn paid(order: Order, payment: Option<Order>) -> Option<Order> {
    payment.map(|_| order)
}

#[timer("90s", on_leader)]
async fn often() {}

#[timer("1h", per = "partition")]
async fn by_partition(mut kept: Table<Kept>) {
    kept.remove("the");
}

#[crontab("0 20 * * *", timezone = "US/Pacific")]
async fn evenings() {}

#[crontab("@daily", on_leader)]
async fn daily() {}

#[task]
async fn begin() {}

#[task(on = "stop")]
async fn end() {}

#[page("/count/{word}")]
async fn show() {}

#[page("/count/{word}", method = "post")]
async fn count_one() {}

struct Rate(f64);

/// Reads the rate of the day.
#[state]
async fn rate() -> Result<Rate> {
    Ok(Rate("1.5".parse()?))
}

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says a word.
#[command(name = "say")]
async fn say_it(rate: State<Rate>) -> ExitCode {
    SAID.lock().unwrap().push(rate.0.to_string());
    ExitCode::from(7)
}

fn agent(name: &str) -> &'static AgentDescriptor {
    inventory::iter::<AgentDescriptor>()
        .find(|agent| agent.name == name)
        .unwrap()
}

fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn agents_register_what_was_said() {
    let billing = agent("billing");
    assert_eq!(billing.source, Source::Topics(&["orders"]));
    assert_eq!(billing.sink, Some("bills"));
    assert!(billing.place.file.ends_with("attributes.rs") && billing.place.module == "attributes");
    let options = billing.options;
    assert_eq!(
        (options.retries, options.backoff_ms, options.timeout_ms),
        (0, 250, Some(2_000))
    );
    assert_eq!(
        (options.on_error, options.on_decode_error),
        (OnError::Stop, OnError::Skip)
    );
    assert_eq!(options.dead_letter_topic, Some("lost"));
    assert_eq!(agent("both").source, Source::Topics(&["a", "foreign"]));
    assert_eq!(agent("both").options.retries, 5);
    assert_eq!(
        (agent("close").source, agent("close").sink),
        (Source::Closed, Some("orders"))
    );
}

#[test]
fn signatures_are_the_edges() {
    let shape = (agent("billing").shape)();
    assert!(!shape.stream_form);
    assert_eq!(
        (shape.input.unwrap().name, shape.output.unwrap().key),
        ("Order", "String")
    );
    let edges = format!("{:?}", shape.edges);
    assert!(
        edges.contains("\"http_hits\"") && edges.contains("\"lists\""),
        "{edges}"
    );
    let writes: Vec<_> = edges
        .match_indices("writes: ")
        .map(|(at, _)| edges[at + 8..].starts_with("true"))
        .collect();
    assert_eq!(writes, [false, true]);
    let both = (agent("both").shape)();
    assert!(both.stream_form && both.output.is_none());
    assert_eq!(both.input.unwrap().key, "String");
    assert_eq!((agent("close").shape)().closes.unwrap().name, "http_hits");
    assert_eq!((agent("deletions").shape)().input.unwrap().name, "Order");
}

#[test]
fn tables_and_topics_register_what_was_said() {
    let hits = HTTPHits::DESCRIPTOR;
    assert_eq!(
        (hits.name, hits.key, hits.value),
        ("http_hits", "u64", "HTTPHits")
    );
    assert_eq!(
        hits.window,
        Some(Window::Hopping {
            size: 3_600_000,
            step: 600_000
        })
    );
    assert_eq!(
        (hits.grace, hits.idle, hits.retention),
        (30_000, Some(5_000), 86_400_000)
    );
    assert!(hits.changelog && !hits.local && hits.partitions == Some(4));
    let kept = Kept::DESCRIPTOR;
    assert_eq!(
        (kept.name, kept.key, kept.value, kept.window),
        ("lists", "String", "Vec<u64>", None)
    );
    assert!(!kept.changelog && kept.local);
    let orders = Orders::DESCRIPTOR;
    assert_eq!(
        (orders.name, orders.partitions, orders.replication_factor),
        ("orders", Some(4), Some(3))
    );
    assert!(orders.compact && !orders.external && orders.retention_ms == Some(604_800_000));
    assert_eq!(
        ((orders.record)().name, (orders.record)().key),
        ("Order", "u64")
    );
    assert!(Foreign::DESCRIPTOR.external);
    assert_eq!(
        (orders.start, orders.on_gap, orders.max_ahead_ms),
        (None, None, None)
    );
    let payments = Payments::DESCRIPTOR;
    assert_eq!(
        (payments.start, payments.on_gap, payments.max_ahead_ms),
        (Some(Start::Latest), Some(OnGap::Skip), Some(86_400_000))
    );
}

#[test]
fn windows_and_what_else_a_table_may_be_register_what_was_said() {
    let windows = [
        (
            Sessions::DESCRIPTOR,
            Some(Window::Session { gap: 1_800_000 }),
        ),
        (Lately::DESCRIPTOR, Some(Window::Sliding { size: 600_000 })),
        (
            Days::DESCRIPTOR,
            Some(Window::Tumbling { size: 86_400_000 }),
        ),
        (Mortal::DESCRIPTOR, None),
    ];
    for (table, window) in windows {
        assert_eq!(table.window, window, "{}", table.name);
        assert_eq!((table.grace, table.idle, table.retention), (0, None, 0));
        assert!(table.changelog && !table.local && table.global.is_none());
        assert_eq!(table.partitions, None);
    }
    assert_eq!(Sessions::DESCRIPTOR.late, Some("foreign"));
    assert_eq!(Mortal::DESCRIPTOR.ttl, Some(86_400_000));
    assert_eq!((Days::DESCRIPTOR.late, Days::DESCRIPTOR.ttl), (None, None));
    assert!(
        Everywhere::DESCRIPTOR
            .global
            .is_some_and(|global| global.source.is_none())
    );
}

#[test]
fn agents_that_hold_several_events_and_joins_register_what_was_said() {
    let several = agent("at_once");
    assert_eq!(several.source, Source::Pattern("orders-.+"));
    assert_eq!(
        (several.options.concurrency, several.options.holds),
        (4, None)
    );
    let batches = agent("in_batches").options;
    assert_eq!((batches.concurrency, batches.holds), (1, Some("take")));

    let join = agent("paid");
    assert_eq!(join.source, Source::Topics(&["orders", "payments"]));
    assert_eq!((join.sink, join.options.retries), (Some("paid"), 2));
    let shape = (join.shape)().join.unwrap();
    assert_eq!((shape.kind(), shape.within), ("left", 600_000));
    for buffer in shape.buffers {
        assert_eq!((buffer.grace, buffer.idle), (60_000, Some(5_000)));
    }
}

#[test]
fn what_runs_beside_the_streams_registers_what_was_said() {
    let beside = |name: &str| {
        let one = inventory::iter::<JobDescriptor>().find(|one| one.name == name);
        one.map(|one| (one.when, one.on_leader))
    };
    let crontab = |expression, timezone| When::Crontab {
        expression,
        timezone,
    };
    for (name, expected) in [
        ("often", Some((When::Every { ms: 90_000 }, true))),
        (
            "evenings",
            Some((crontab("0 20 * * *", "US/Pacific"), false)),
        ),
        ("daily", Some((crontab("@daily", "UTC"), true))),
        ("begin", Some((When::Start, false))),
        ("end", Some((When::Stop, false))),
        // An agent whose events are ticks.
        ("by_partition", None),
    ] {
        assert_eq!(beside(name), expected, "{name}");
    }
    assert_eq!(
        agent("by_partition").source,
        Source::Timer {
            every_ms: 3_600_000
        }
    );
    let mut pages: Vec<_> = inventory::iter::<PageDescriptor>()
        .map(|page| (page.method, page.path, page.name))
        .collect();
    pages.sort_unstable();
    assert_eq!(
        pages,
        [
            ("GET", "/count/{word}", "show"),
            ("POST", "/count/{word}", "count_one")
        ]
    );
}

#[test]
fn functions_stay_functions() {
    let order = now(close(Closed::new(
        7,
        DateTime::UNIX_EPOCH,
        HTTPHits { n: 3 },
    )));
    assert_eq!(order, Order { id: 7, sum: 3.0 });
    now(deletions(None, State::new(Rate(1.0))));
    let event = Event::new("ann".to_owned(), order.clone());
    assert_eq!((event.key().as_str(), event.id), ("ann", 7));
    assert_eq!(now(paid(order.clone(), None)), None);
    assert_eq!(now(paid(order.clone(), Some(order.clone()))), Some(order));
    now(show());
    assert_eq!(now(rate()).unwrap().0, 1.5);
    assert_eq!(now(say_it(State::new(Rate(2.5)))), ExitCode::from(7));
    assert_eq!(*SAID.lock().unwrap(), ["2.5"]);
    let (_, _) = (bill, both);
}

#[test]
fn states_and_commands_register_what_was_said() {
    let state = inventory::iter::<StateDescriptor>().next().unwrap();
    assert_eq!(
        (state.name, (state.type_id)()),
        ("rate", std::any::TypeId::of::<Rate>())
    );
    assert_eq!(
        now((state.make)())
            .unwrap()
            .downcast_ref::<Rate>()
            .unwrap()
            .0,
        1.5
    );
    let command = inventory::iter::<CommandDescriptor>().next().unwrap();
    assert_eq!((command.name, command.about), ("say", "Says a word."));
}
