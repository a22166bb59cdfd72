//! What is told of each kind of change, on plans of small apps.

use super::{Difference, Lock, Weight, differences};
use crate::App;

/// The lock of the app that a module below is.
fn lock(module: &str) -> Lock {
    let scope = format!("{}::{module}", module_path!());
    match App::new("shop").scope(scope).plan() {
        Ok(plan) => Lock::of(&plan),
        Err(problems) => panic!("{problems:?}"),
    }
}

/// Of two apps that two modules are.
fn changed(then: &str, now: &str) -> Vec<Difference> {
    let file = serde_json::to_string(&lock(then)).unwrap();
    differences(&serde_json::from_str(&file).unwrap(), &lock(now))
}

#[track_caller]
fn assert_breaks(now: &str, expected: &[&str]) {
    let found = changed("first", now);
    let breaking: Vec<&Difference> = found.iter().filter(|d| d.breaks()).collect();
    assert_eq!(breaking.len(), expected.len(), "{found:#?}");
    for (difference, text) in breaking.iter().zip(expected) {
        assert!(
            difference.message.contains(text),
            "no `{text}` in {difference:#?}"
        );
        assert!(
            difference.then.contains("lock/tests.rs:"),
            "{difference:#?}"
        );
    }
}

/// One app; what differs from the first stands in the arguments.
macro_rules! app {
    ($module:ident, table($($table:tt)*) $row:ident { $($field:tt)* }, agent($($agent:tt)*) $function:ident, record { $($part:tt)* }) => {
        mod $module {
            use crate::prelude::*;

            #[record]
            #[allow(dead_code)]
            struct Sale { $($part)* }

            #[table($($table)*)]
            #[derive(Clone, Default)]
            #[allow(dead_code)]
            struct $row { $($field)* }

            #[agent(topic = "sales", $($agent)*)]
            async fn $function(_: Sale, _: &mut Table<$row>) {}

            #[agent(topic = "sales")]
            async fn watch(_: Sale) {}
        }
    };
}

app!(first, table(key = u64) Sold { n: u64, sum: f64 }, agent() count, record { price: f64 });
app!(same, table(key = u64) Sold { sum: f64, n: u64 }, agent(retries = 9) count, record { price: f64 });
app!(agent_renamed, table(key = u64) Sold { n: u64, sum: f64 }, agent() tally, record { price: f64 });
app!(agent_named, table(key = u64) Sold { n: u64, sum: f64 }, agent(name = "count") tally, record { price: f64 });
app!(table_renamed, table(key = u64) Sales { n: u64, sum: f64 }, agent() count, record { price: f64 });
app!(table_named, table(key = u64, name = "sold") Sales { n: u64, sum: f64 }, agent() count, record { price: f64 });
app!(other_key, table(key = String) Sold { n: u64, sum: f64 }, agent() count, record { price: f64 });
app!(other_windows, table(key = u64, tumbling = "1h") Sold { n: u64, sum: f64 }, agent() count, record { price: f64 });
app!(in_memory, table(key = u64, changelog = false) Sold { n: u64, sum: f64 }, agent() count, record { price: f64 });
app!(new_field, table(key = u64) Sold { n: u64, sum: f64, max: f64 }, agent() count, record { price: f64 });
app!(new_fields, table(key = u64) Sold { n: u64, sum: f64, #[serde(default)] max: f64, last: Option<f64> }, agent() count, record { price: f64 });
app!(field_gone, table(key = u64) Sold { n: u64 }, agent() count, record { price: f64 });
app!(field_changed, table(key = u64) Sold { n: u64, sum: i64 }, agent() count, record { price: f64 });
app!(field_renamed, table(key = u64) Sold { n: u64, #[serde(rename = "total")] sum: f64 }, agent() count, record { price: f64 });
app!(field_aliased, table(key = u64) Sold { n: u64, #[serde(alias = "sum")] total: f64 }, agent() count, record { price: f64 });
app!(field_defaulted, table(key = u64) Sold { n: u64, #[serde(default)] total: f64 }, agent() count, record { price: f64 });
app!(record_aliased, table(key = u64) Sold { n: u64, sum: f64 }, agent() count, record { #[serde(alias = "cost")] price: f64 });
app!(record_renamed, table(key = u64) Sold { n: u64, sum: f64 }, agent() count, record { #[serde(default)] cost: f64 });
app!(record_grows, table(key = u64) Sold { n: u64, sum: f64 }, agent() count, record { price: f64, shop: String });

#[test]
fn what_is_the_same_does_not_differ() {
    assert_eq!(changed("first", "same"), []);
    assert_eq!(changed("first", "agent_named"), []);
    assert_eq!(changed("first", "table_named"), []);
}

#[test]
fn an_agent_that_vanished_is_named_with_both_places() {
    assert_breaks(
        "agent_renamed",
        &["agent `count` vanished; if it is `tally` now, `name = \"count\"`"],
    );
    let found = changed("first", "agent_renamed");
    assert!(
        found[0]
            .now
            .as_ref()
            .is_some_and(|now| *now != found[0].then)
    );
}

#[test]
fn a_table_that_was_renamed_would_begin_empty() {
    assert_breaks(
        "table_renamed",
        &[
            "table `sold` was renamed to `sales`, which begins empty: its rows are in shop-sold-changelog",
        ],
    );
}

#[test]
fn keys_windows_and_places_of_rows_stay() {
    assert_breaks(
        "other_key",
        &["the keys of table `sold` were u64 and are String"],
    );
    assert_breaks(
        "other_windows",
        &["the windows of table `sold` were none and are Tumbling"],
    );
    assert_breaks(
        "in_memory",
        &["table `sold` keeps its rows in memory only now"],
    );
}

#[test]
fn a_row_that_old_rows_cannot_be_read_as_is_refused() {
    assert_breaks(
        "new_field",
        &["field `max` is new and has no `#[serde(default)]`"],
    );
    assert_breaks("field_changed", &["field `sum` was `f64` and is `i64`"]);
    assert_breaks(
        "field_renamed",
        &[
            "field `total` is new and has no `#[serde(default)]`; if `total` is what was `sum`: `#[serde(alias = \"sum\")]`",
        ],
    );
    for harmless in ["new_fields", "field_gone"] {
        let found = changed("first", harmless);
        assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
        assert!(
            found[0].message.contains("old rows can be read"),
            "{found:#?}"
        );
    }
}

#[test]
fn a_record_that_grows_is_told_and_breaks_nothing() {
    let found = changed("first", "record_grows");
    assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
    assert!(
        found[0].message.contains("field `shop` is new"),
        "{found:#?}"
    );
}

#[test]
fn a_field_renamed_with_an_alias_is_fine_and_one_with_a_default_alone_is_asked_about() {
    let found = changed("first", "field_aliased");
    assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
    assert!(
        found[0].message.contains("old rows can be read"),
        "{found:#?}"
    );
    let found = changed("first", "field_defaulted");
    assert_eq!(found[0].weight, Weight::Doubtful, "{found:#?}");
    assert!(
        found[0]
            .message
            .contains("if `total` is what was `sum`: `#[serde(alias = \"sum\")]`"),
        "{found:#?}"
    );
    // Rows that were not written since still have the old name.
    let found = changed("field_aliased", "field_defaulted");
    assert_eq!(found[0].weight, Weight::Doubtful, "{found:#?}");
    assert!(found[0].message.contains("`sum`"), "{found:#?}");
}

#[test]
fn an_alias_of_a_topic_s_record_is_no_change_that_breaks_old_ones() {
    let found = changed("first", "record_aliased");
    assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
    assert!(
        found[0].message.contains("old records can be read"),
        "{found:#?}"
    );
    let found = changed("first", "record_renamed");
    assert_eq!(found[0].weight, Weight::Doubtful, "{found:#?}");
}

mod hops {
    pub mod then {
        use crate::prelude::*;
        #[record]
        struct Step {
            n: u64,
        }
        #[agent(topic = "begin", sink = "between")]
        async fn first(_: String) -> Step {
            Step { n: 1 }
        }
        #[agent(topic = "between", sink = "end")]
        async fn second(step: Step) -> String {
            step.n.to_string()
        }
    }
    pub mod more {
        use crate::prelude::*;
        #[record]
        struct Step {
            n: u64,
            more: u64,
        }
        #[agent(topic = "begin", sink = "between")]
        async fn first(_: String) -> Step {
            Step { n: 1, more: 2 }
        }
        #[agent(topic = "between", sink = "end")]
        async fn second(step: Step) -> String {
            (step.n + step.more).to_string()
        }
    }
}

#[test]
fn a_topic_between_agents_of_the_app_is_said_to_be_a_contract() {
    let found = changed("hops::then", "hops::more");
    assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
    assert!(found[0].in_flight);
    for text in ["topic `between`", "field `more` is new", "is a contract"] {
        assert!(found[0].message.contains(text), "{found:#?}");
    }
    let lock = lock("hops::then");
    assert!(lock.topics["between"].between && !lock.topics["between"].only_sent);
    assert!(lock.topics["end"].only_sent && !lock.topics["end"].between);
    assert!(!lock.topics["begin"].between);
}

#[test]
fn what_is_written_by_another_codec_or_by_places_is_not_said_to_be_readable() {
    let then = lock("first");
    let told = |then: Option<&str>, now: &str, fingerprint: &str| {
        let (mut a, mut b) = (then_with(&lock("first"), then), lock("first"));
        let is = b.topics.get_mut("sales").unwrap();
        (is.codec, is.record.fingerprint) = (Some(now.to_owned()), fingerprint.to_owned());
        a.topics.get_mut("sales").unwrap().record.fingerprint = "0".to_owned();
        differences(&a, &b)
    };
    fn then_with(lock: &Lock, codec: Option<&str>) -> Lock {
        let mut lock = lock.clone();
        lock.topics.get_mut("sales").unwrap().codec = codec.map(str::to_owned);
        lock
    }
    assert_eq!(then.topics["sales"].codec.as_deref(), Some("json"));
    let found = told(Some("json"), "msgpack", "0");
    assert!(
        found[0]
            .message
            .contains("written as json and are read as msgpack"),
        "{found:#?}"
    );
    let found = told(Some("binary"), "binary", "1");
    assert!(
        found[0].message.contains("by their places alone"),
        "{found:#?}"
    );
    assert_eq!(told(None, "binary", "0"), []);
}

#[test]
fn a_plan_that_was_kept_before_is_read() {
    let before = r#"{"name":"Sold","type":"Sold","fingerprint":"0","fields":{"n":"u64","sum":"f64 (rename=\"total\")"}}"#;
    let was: super::TypeLock = serde_json::from_str(before).unwrap();
    assert_eq!(was.serde, None);
    let found = super::changes(&was, &lock("field_defaulted").tables["sold"].row);
    assert_eq!(found, super::Changes::default());
}

#[test]
fn a_new_version_starts_again() {
    let then = lock("first");
    let now = Lock {
        id: "shop-v2".to_owned(),
        ..lock("other_key")
    };
    let found = differences(&then, &now);
    assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
}

#[test]
fn a_library_that_is_no_longer_linked_gets_its_cure() {
    let mut then = lock("first");
    if let Some(agent) = then.agents.get_mut("watch") {
        agent.module = "my_agents::watch".to_owned();
        agent.reads = vec!["elsewhere".to_owned()];
        let gone = agent.clone();
        then.agents.insert("gone".to_owned(), gone);
    }
    let found = differences(&then, &lock("first"));
    assert!(
        found[0].message.contains("`use my_agents as _;`"),
        "{found:#?}"
    );
}

mod variants {
    pub mod then {
        use crate::prelude::*;
        #[record]
        #[derive(Clone, Default)]
        pub enum Phase {
            #[default]
            Open,
            Paid {
                by: String,
            },
        }
        #[table(value = Phase)]
        struct Phases;
        #[agent(topic = "phases")]
        async fn phase(_: String, _: &mut Table<Phases>) {}
    }
    pub mod more {
        use crate::prelude::*;
        #[record]
        #[derive(Clone, Default)]
        pub enum Phase {
            #[default]
            Open,
            Paid {
                by: String,
            },
            Sent,
        }
        #[table(value = Phase)]
        struct Phases;
        #[agent(topic = "phases")]
        async fn phase(_: String, _: &mut Table<Phases>) {}
    }
}

#[test]
fn an_enum_s_variants_are_known_and_may_become_more_but_not_fewer() {
    let found = changed("variants::then", "variants::more");
    assert!(found.len() == 1 && !found[0].breaks(), "{found:#?}");
    let found = changed("variants::more", "variants::then");
    assert!(
        found[0].breaks() && found[0].message.contains("variant `Sent` has gone"),
        "{found:#?}"
    );
}
