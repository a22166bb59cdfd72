//! The test kit's own methods, and how an app is narrowed.

use std::cell::Cell;

use crate::prelude::*;
use crate::testing::TestApp;

struct Suffix(&'static str);

mod inner {
    use super::*;

    #[agent(topic = "kit-in", sink = "kit-out")]
    async fn within(word: String, suffix: State<Suffix>) -> String {
        word + suffix.0
    }

    pub mod below {
        use super::*;

        #[agent(topic = "kit-in", sink = "kit-out")]
        async fn below(word: String) -> String {
            word + " below"
        }
    }
}

fn texts(app: &mut TestApp) -> Vec<String> {
    let sent = app.sent::<String>("kit-out");
    let mut all: Vec<String> = sent.into_iter().map(|s| s.into_value()).collect();
    all.sort();
    all
}

#[test]
fn a_scope_is_what_a_module_and_those_below_declare() {
    let scope = concat!(module_path!(), "::inner");
    let mut app = TestApp::scope(scope).state(Suffix(" within"));
    app.send("kit-in", "k", "a".to_owned());
    assert_eq!(texts(&mut app), ["a below", "a within"]);
    let mut app = TestApp::scope(&format!("{scope}::below"));
    app.send("kit-in", "k", "a".to_owned());
    assert_eq!(texts(&mut app), ["a below"]);
}

#[agent(topic = "kit-in", sink = "kit-out", retries = 0)]
async fn fail(word: String, suffix: State<Suffix>) -> Result<String> {
    if word == "bad" {
        Err(suffix.0)?;
    }
    Ok(word + suffix.0)
}

#[test]
fn an_app_is_tested_with_its_name_and_its_states() {
    let mut app = TestApp::of(App::new("mine").state(Suffix("!")).only((fail,)));
    app.send("kit-in", "k", "good".to_owned());
    app.send("kit-in", "k", "bad".to_owned());
    assert_eq!(texts(&mut app), ["good!"]);
    assert_eq!(app.dead_letters("fail")[0].header("error"), Some("!"));
    assert_eq!(app.sent::<String>("mine-fail-dead-letters").len(), 1);
}

struct Made(u32);

thread_local! {
    static MADE: Cell<u32> = const { Cell::new(0) };
}

#[state]
async fn made() -> Made {
    MADE.set(MADE.get() + 1);
    Made(MADE.get())
}

#[agent(topic = "kit-in", sink = "kit-out")]
async fn ask(word: String, made: State<Made>) -> String {
    format!("{word} {}", made.0)
}

#[test]
fn only_the_states_that_somebody_asks_for_are_made() {
    let mut app = TestApp::only((fail,)).state(Suffix("!"));
    app.settle();
    assert_eq!(MADE.get(), 0);
    let mut app = TestApp::only((ask,));
    app.send("kit-in", "k", "a".to_owned());
    assert_eq!(texts(&mut app), ["a 1"]);
}

#[test]
#[should_panic(expected = "asks for State<")]
fn a_state_that_nobody_makes_is_said() {
    TestApp::only((fail,)).settle();
}

#[test]
fn what_is_committed_is_seen_without_working_off_what_has_come() {
    let mut app = TestApp::only((fail,)).state(Suffix("!"));
    app.send("kit-in", "k", "a".to_owned());
    assert!(app.committed::<String>("kit-out").is_empty());
    app.settle();
    let out = app.committed::<String>("kit-out");
    assert_eq!(
        (&**out[0], out[0].partition(), out[0].offset()),
        ("a!", 0, 0)
    );
    assert_eq!(app.committed::<String>("kit-in").len(), 1);
}

#[test]
#[should_panic(expected = "the app has begun")]
fn partitions_are_given_before_the_first_record() {
    let mut app = TestApp::only((fail,)).state(Suffix("!"));
    app.settle();
    let _ = app.partitions(2);
}

#[test]
#[should_panic(expected = "kit-out[0]@0")]
fn a_record_that_is_no_such_type_is_named_by_its_place() {
    #[record]
    struct Number {
        _n: u64,
    }
    let mut app = TestApp::only((fail,)).state(Suffix("!"));
    app.send("kit-in", "k", "a".to_owned());
    let _ = app.sent::<Number>("kit-out");
}
