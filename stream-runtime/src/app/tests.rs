//! What is wrong with an app although each of its items compiles.

use crate::App;

/// The problems of the app that a module below is, as they are printed.
fn problems(module: &str) -> Vec<String> {
    let scope = format!("{}::{module}", module_path!());
    match App::new("a").scope(scope).plan() {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn assert_says(module: &str, expected: &[&[&str]]) {
    let found = problems(module);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, parts) in found.iter().zip(expected) {
        for part in *parts {
            assert!(found.contains(part), "no `{part}` in {found}");
        }
        assert!(found.contains("src/app/tests.rs:"), "no place in {found}");
    }
}

mod sent_as_another_type {
    use crate::prelude::*;

    #[record]
    pub struct Order {
        id: u64,
    }
    #[record]
    pub struct Bill {
        id: u64,
    }
    #[topic("as-bills", value = Bill)]
    struct Bills;

    #[agent(topic = "as-orders", sink = "as-copies")]
    async fn copy(order: Order) -> Order {
        order
    }
    #[agent(topic = "as-copies")]
    async fn read(_: Bill) {}
    #[agent(topic = "as-copies-raw", sink = "as-bills")]
    async fn bill(order: Order) -> Order {
        order
    }
    #[agent(topic = "as-orders-2")]
    async fn by_hand(_: Order, _: Topic<Bills>) {}
    #[agent(topic = "as-bills")]
    async fn any_json(_: serde_json::Value) {}
}

#[test]
fn what_is_sent_is_what_is_declared_and_read() {
    assert_says(
        "sent_as_another_type",
        &[
            &["agent `copy` sends Order to topic `as-copies`, and agent `read` reads it as Bill"],
            &["topic `as-bills` is declared with records of Bill and read as Value"],
            &["topic `as-bills` is declared with records of Bill, and agent `bill` sends Order"],
        ],
    );
}

mod sent_under_another_key {
    use crate::prelude::*;

    #[record(key = id)]
    pub struct Order {
        id: u64,
    }
    #[topic("ak-orders", value = Order, key = String)]
    struct Orders;

    #[agent(topic = "ak-in", sink = "ak-out")]
    async fn send(word: String) -> Vec<(u64, String)> {
        vec![(1, word)]
    }
    #[agent(topic = "ak-out")]
    async fn read(_: Event<String>) {}
    #[agent(topic = "ak-in", sink = "ak-orders")]
    async fn order(_: String) -> Order {
        Order { id: 1 }
    }
}

#[test]
fn keys_that_are_sent_are_those_that_are_declared_and_read() {
    assert_says(
        "sent_under_another_key",
        &[
            &[
                "agent `send` sends keys of type u64 to topic `ak-out`, and agent `read` reads them as String",
            ],
            &[
                "topic `ak-orders` is declared with keys of type String, and agent `order` sends keys of type u64",
            ],
        ],
    );
}

mod counts_that_differ {
    use crate::prelude::*;

    #[topic("cd-words", value = String, partitions = 3)]
    struct Words;

    #[table(partitions = 4)]
    #[derive(Clone, Default)]
    struct Counted {
        n: u64,
    }

    #[agent(topic = Words)]
    async fn count(word: String, mut counted: Table<Counted>) {
        counted.update(&word, |row| row.n += 1);
    }
}

#[test]
fn partitions_that_differ_within_a_task_are_named() {
    assert_says(
        "counts_that_differ",
        &[&["topic `cd-words` asks for 3 partitions and table `counted` for 4"]],
    );
}

mod fits {
    use crate::prelude::*;

    #[topic("fits-words", value = String, partitions = 3)]
    struct Words;

    #[table(partitions = 3)]
    #[derive(Clone, Default)]
    struct FitsCounted {
        n: u64,
    }

    #[agent(topic = Words, sink = "fits-out")]
    async fn fits(word: String, mut counted: Table<FitsCounted>) -> (u64, String) {
        (counted.update(&word, |row| row.n), word)
    }

    /// Any key, as bytes.
    #[agent(topic = "fits-out")]
    async fn raw(_: Event<bytes::Bytes, bytes::Bytes>) {}
}

#[test]
fn what_fits_is_no_problem() {
    assert_eq!(problems("fits"), [""; 0]);
}

mod everything {
    use crate::prelude::*;

    #[table(name = "same")]
    #[derive(Clone, Default)]
    struct One {
        n: u64,
    }
    #[table(name = "same")]
    #[derive(Clone, Default)]
    struct Two {
        n: u64,
    }
    #[table]
    #[derive(Clone, Default)]
    struct Unwritten {
        n: u64,
    }
    #[topic("ev-a", value = String)]
    struct A;
    #[topic("ev-a", value = String)]
    struct AlsoA;

    #[agent(topic = "ev-in", name = "twin")]
    async fn first(_: String, mut one: Table<One>) {
        one.update("", |row| row.n += 1);
    }
    #[agent(topic = "ev-in", name = "twin")]
    async fn second(_: serde_json::Value, mut one: Table<One>) {
        one.update("", |row| row.n += 1);
    }
    #[agent(topic = "ev-loop", sink = "ev-loop")]
    async fn circle(word: String, _: Table<Unwritten>) -> String {
        word
    }
}

#[test]
fn all_problems_are_told_at_once() {
    assert_says(
        "everything",
        &[
            &["agent `circle` sends to the topic it reads, `ev-loop`"],
            &["nobody writes table `unwritten`"],
            &["table `same` has two writers"],
            &["topic `ev-in` is read as String and as Value"],
            &["two agents are named `twin`"],
            &["two tables are named `same`"],
            &["two topics are named `ev-a`"],
        ],
    );
}

mod half_linked {
    use std::any::TypeId;

    use crate::prelude::*;
    use crate::table::{Plain, TableSpec, open};
    use crate::topology::{SourceLocation, TableDescriptor};

    #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
    struct Left;

    /// As the linker leaves it: there by its type, and not in the registry.
    impl TableSpec for Left {
        type Key = String;
        type Value = Left;
        type Kind = Plain;
        const DESCRIPTOR: &'static TableDescriptor = &TableDescriptor {
            name: "left",
            place: SourceLocation {
                module: "my_models::rows",
                file: "src/app/tests.rs",
                line: 1,
            },
            key: "String",
            value: "Left",
            type_id: TypeId::of::<Left>,
            open: open::<Left>,
            ..TableDescriptor::DEFAULT
        };
    }

    #[agent(topic = "hl-in")]
    async fn lonely(word: String, mut left: Table<Left>) {
        left.insert(&word, Left);
    }
}

#[test]
fn a_crate_of_which_a_part_is_linked_is_named() {
    assert_says(
        "half_linked",
        &[&[
            "only a part of the crate `my_models`",
            "`use my_models as _;`",
        ]],
    );
}

#[test]
fn a_version_is_part_of_the_identity() {
    assert_eq!(App::new("voltage").id(), "voltage");
    assert_eq!(App::new("voltage").version(1).id(), "voltage");
    assert_eq!(App::new("voltage").version(3).id(), "voltage-v3");
}

#[test]
fn mistakes_are_collected_and_secrets_hidden() {
    let app = App::new("a b")
        .topic_partitions(0)
        .version(0)
        .instance_id("two words")
        .sasl_plain("me", "hunter2");
    assert_eq!(app.mistakes.len(), 4, "{:?}", app.mistakes);
    assert!(!format!("{app:?}").contains("hunter2"));
}

#[test]
fn an_app_without_agents_hears_of_libraries_that_are_not_linked() {
    let nothing = crate::topology::PlanParts {
        app: "a",
        name: "a",
        existing: &[],
        agents: vec![],
        tables: vec![],
        topics: vec![],
    };
    let problems = crate::topology::plan(nothing).err().expect("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].message.contains("`use my_agents as _;`"),
        "{problems:?}"
    );
}

mod windows_that_feed {
    use crate::prelude::*;

    #[record]
    pub struct Order {
        id: u64,
    }
    #[record]
    pub struct Bill {
        id: u64,
    }
    #[topic("wf-late", value = Bill)]
    struct Late;

    #[table(session = "1m", grace = "30s", value = Seen, late = Late)]
    struct Minutes;
    #[table(tumbling = "1h", value = Seen, grace = "10s")]
    struct Hours;
    #[table(sliding = "1d", value = Seen, grace = "30s")]
    struct Days;
    #[table(tumbling = "1d", value = Seen, grace = "30s")]
    struct Again;

    #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
    struct Seen;
    impl Merge for Seen {
        fn merge(&mut self, _: Self) {}
    }

    #[agent(topic = "wf-orders")]
    async fn collect(order: Event<Order>, mut minutes: Table<Minutes>) {
        minutes.update(order.key(), |_| ());
    }
    #[agent(on_close = Minutes)]
    async fn to_hours(_: Closed<Minutes>, mut hours: Table<Hours>) {
        hours.update("all", |_| ());
    }
    #[agent(on_close = Minutes)]
    async fn to_days(_: Closed<Minutes>, mut days: Table<Days>) {
        days.update("all", |_| ());
    }
    #[agent(on_close = Days)]
    async fn to_again(_: Closed<Days>, mut again: Table<Again>) {
        again.update("all", |_| ());
    }
    #[agent(on_close = Again)]
    async fn to_days_again(_: Closed<Again>, mut days: Table<Days>) {
        days.update("all", |_| ());
    }
}

#[test]
fn windows_feed_windows_of_no_less_grace_and_never_themselves() {
    assert_says(
        "windows_that_feed",
        &[
            &["table `days` has two writers"],
            &[
                "table `hours` is fed by the closing of `minutes`",
                "(10000 < 30000 ms)",
            ],
            &[
                "topic `wf-late` gets what comes too late for table `minutes`",
                "agent `collect` reads Order",
                "not with Bill",
            ],
            &["comes back to it by way of"],
        ],
    );
}

mod read_under_two_keys {
    use crate::prelude::*;

    #[agent(topic = "rk-in")]
    async fn by_number(_: Event<String, u64>) {}
    #[agent(topic = "rk-in")]
    async fn by_text(_: Event<String>) {}
}

#[test]
fn a_topic_has_keys_of_one_type() {
    assert_says(
        "read_under_two_keys",
        &[&["topic `rk-in` is read with keys of type u64 and of type String"]],
    );
}

mod table_in_each_other_s_way {
    use crate::prelude::*;

    #[table(value = u64)]
    struct Twice;
    #[table(tumbling = "1h", value = u64)]
    struct Closing;

    #[agent(topic = "tw-in")]
    async fn both(word: String, mut rows: Table<Twice>, again: Table<Twice>) {
        rows.insert(&word, again.get(&word).unwrap_or_default());
    }
    #[agent(on_close = Closing)]
    async fn over(hour: Closed<Closing>, mut hours: Table<Closing>) {
        hours.update(hour.key(), |n| *n += 1);
    }
}

#[test]
fn a_table_is_asked_for_once_and_not_written_while_it_closes() {
    assert_says(
        "table_in_each_other_s_way",
        &[
            &["agent `both` asks for table `twice` twice"],
            &["agent `over` writes table `closing` while its windows close"],
        ],
    );
}

mod several_in_flight {
    use std::time::Duration;

    use crate::prelude::*;

    #[table(value = u64)]
    struct Kept;

    /// Names behind which the attribute does not look.
    type Rows = Table<Kept>;
    type Words = Stream<String>;

    #[agent(topic = "si-a", concurrency = 4)]
    async fn at_once(_: String, _: Rows) {}
    #[agent(topic = "si-b")]
    async fn batches(mut words: Stream<String>) {
        while words.take(2, Duration::from_secs(1)).await.is_some() {}
    }
    #[agent(topics = ["si-b", "si-e"])]
    async fn beside(_: String) {}
    #[agent(topic = "si-c")]
    async fn by_hand(words: Stream<String>, _: Table<Kept>) {
        let mut words = words.noack();
        while let Some(word) = words.next().await {
            word.ack();
        }
    }
    #[agent(topic = "si-f")]
    async fn keep(word: String, mut kept: Table<Kept>) {
        kept.insert(&word, 1);
    }
    #[agent(topic = "si-d", concurrency = 2)]
    async fn looped(mut words: Words) {
        while words.next().await.is_some() {}
    }
}

#[test]
fn an_agent_that_holds_several_events_is_fit_for_it_and_alone() {
    assert_says(
        "several_in_flight",
        &[
            &["agent `at_once` has `concurrency` and takes a table"],
            &[
                "agent `batches` holds several events (`take`)",
                "agent `beside` reads topic `si-b` too",
            ],
            &["agent `by_hand` acknowledges its events itself (`noack`) and takes a table"],
            &["agent `looped` has `concurrency`, which is for the event form"],
        ],
    );
}

mod asks_in_vain {
    use crate::prelude::*;
    use crate::web::Path;

    #[table(value = u64)]
    struct Unkept;
    struct Nowhere;

    #[agent(topic = "av-in")]
    async fn ask(_: String, _: State<Nowhere>) {}
    #[timer("1m")]
    async fn look(_: TableReader<Unkept>) {}
    #[task]
    async fn begin(_: State<Nowhere>) {}
    #[page("/unkept/{word}")]
    async fn show(_: Path<String>, _: TableReader<Unkept>) {}
}

#[test]
fn a_resource_that_nobody_makes_and_a_table_that_nobody_keeps_are_named() {
    assert_says(
        "asks_in_vain",
        &[
            &[
                "agent `ask` asks for State<",
                "Nowhere> and nobody makes one",
            ],
            &[
                "task `begin` asks for State<",
                "Nowhere> and nobody makes one",
            ],
            &["timer `look` reads table `unkept`, which no agent of the app keeps"],
            &["page `show` reads table `unkept`, which no agent of the app keeps"],
        ],
    );
}

mod pages_alike {
    use crate::prelude::*;
    use crate::web::Path;

    #[agent(topic = "pa-in")]
    async fn read(_: String) {}
    #[page("/word/{word}")]
    async fn one(_: Path<String>) {}
    #[page("/word/{text}")]
    async fn other(_: Path<String>) {}
}

#[test]
fn pages_that_cannot_be_told_apart_keep_the_app_from_starting() {
    assert_says(
        "pages_alike",
        &[&["`one` (/word/{word}) and `other` (/word/{text})"]],
    );
}

mod other_keys_than_declared {
    use crate::prelude::*;

    #[record]
    pub struct Order {
        customer: String,
    }
    #[topic("ok-orders", value = Order, key = i64)]
    struct Orders;
    #[topic("ok-pays", value = Order, key = String)]
    struct Pays;

    #[agent(topic = "ok-orders")]
    async fn event(_: Event<Order>) {}
    #[agent(topic = "ok-orders")]
    async fn key(_: Order, _: Key<String>) {}
    #[agent(topic = "ok-orders", group_by = customer)]
    async fn grouped(_: Order, _: Key<i64>) {}
    #[join(left = "ok-orders", right = "ok-pays", within = "1m")]
    async fn both(_: Order, _: Order) {}

    #[agent(topic = "ok-orders")]
    async fn raw(_: Event<Order, bytes::Bytes>) {}
    #[agent(topic = "ok-orders")]
    async fn whole(_: Event<Order, Option<i64>>, _: Key<i64>) {}
    #[agent(topic = "ok-orders", name = "ok_by", group_by = customer)]
    async fn by_customer(_: Event<Order>, _: Key<String>) {}
}

#[test]
fn an_agent_that_takes_other_keys_than_its_topic_has_does_not_start() {
    assert_says(
        "other_keys_than_declared",
        &[
            &[
                "`group_by` gives the records keys of type String, and agent `grouped` takes keys of type i64",
            ],
            &[
                "join `both` goes by the keys of its topics",
                "`ok-orders` has keys of type i64, `ok-pays` of type String",
            ],
            &[
                "topic `ok-orders` is declared with keys of type i64, and agent `event` takes keys of type String: write `Event<_, i64>`",
            ],
            &[
                "topic `ok-orders` is declared with keys of type i64, and agent `key` takes keys of type String",
            ],
        ],
    );
}
