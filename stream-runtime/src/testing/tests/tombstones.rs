//! Tombstones where none are taken: what is said, and what leaves them out.

use crate::prelude::*;
use crate::testing::TestApp;

#[record]
#[derive(Clone)]
struct View {
    page: String,
}

#[table(value = u64)]
struct Pages;

#[table(value = u64, local)]
struct Here;

#[agent(topic = "tomb-views")]
async fn plain_view(_: View) {}

#[agent(topic = "tomb-views", group_by = page)]
async fn by_page(view: Event<View>, mut pages: Table<Pages>) {
    pages.update(view.key(), |n| *n += 1);
}

#[agent(topic = "tomb-skipped", on_tombstone = "skip", sink = "tomb-seen")]
async fn none_wanted(view: View) -> String {
    view.page
}

#[agent(topic = "tomb-skipped", group_by = page, on_tombstone = "skip", sink = "tomb-grouped")]
async fn none_grouped(view: Event<Option<View>>) -> String {
    view.key().clone()
}

#[topic("tomb-left", value = View)]
struct Left;

#[topic("tomb-right", value = View)]
struct Right;

#[join(left = Left, right = Right, within = "1m")]
async fn tomb_join(_: View, _: Option<View>) {}

#[join(left = Left, right = Right, within = "1m", on_tombstone = "skip", sink = "tomb-joined")]
async fn tomb_join_skips(left: View, _: View) -> String {
    left.page
}

fn why(app: &mut TestApp, agent: &str) -> String {
    let dead = app.dead_letters(agent);
    assert_eq!(dead.len(), 1, "{agent}");
    assert_eq!(
        *dead[0], None,
        "a tombstone is a dead letter without a value"
    );
    dead[0].header("error").unwrap().to_owned()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn a_tombstone_behind_group_by_is_not_sent_from_one_message_to_the_next() {
    let mut app = TestApp::only((plain_view, by_page)).partitions(2);
    app.send_raw("tomb-views", Some(b"k"), None);
    says(
        &why(&mut app, "plain_view"),
        &["take `Option<View>`", "`on_tombstone = \"skip\"`"],
    );
    let text = why(&mut app, "by_page");
    says(
        &text,
        &[
            "field of the value",
            "`on_tombstone = \"skip\"`",
            "no `group_by`",
        ],
    );
    // It is its agent's, not that of something with a name nobody gave.
    let dead = app.dead_letters("by_page");
    assert_eq!(dead[0].header("agent"), Some("by_page"));
}

#[test]
fn on_tombstone_leaves_them_out_before_a_hop_too() {
    let mut app = TestApp::only((none_wanted, none_grouped)).partitions(2);
    app.send_raw("tomb-skipped", Some(b"k"), None);
    app.send(
        "tomb-skipped",
        "k",
        View {
            page: "front".into(),
        },
    );
    app.send_raw("tomb-skipped", Some(b"k"), None);
    let seen = app.sent::<String>("tomb-seen");
    assert_eq!((seen.len(), seen[0].as_str()), (1, "front"));
    let grouped = app.sent::<String>("tomb-grouped");
    assert_eq!((grouped.len(), grouped[0].as_str()), (1, "front"));
    assert!(app.dead_letters("none_wanted").is_empty());
    assert!(app.dead_letters("none_grouped").is_empty());
    // What does not decode is none of its matter.
    app.send_raw("tomb-skipped", Some(b"k"), Some(b"{"));
    assert_eq!(app.dead_letters("none_wanted").len(), 1);
}

#[test]
fn a_tombstone_on_a_side_of_a_join_is_not_told_to_become_an_outer_join() {
    let mut app = TestApp::only((tomb_join,));
    app.send_raw("tomb-left", Some(b"k"), None);
    let text = why(&mut app, "tomb_join");
    says(&text, &["no join takes", "`on_tombstone = \"skip\"`"]);
    assert!(!text.contains("take `Option"), "{text}");
    let mut app = TestApp::only((tomb_join_skips,));
    let view = || View { page: "p".into() };
    app.send_raw("tomb-left", Some(b"k"), None);
    app.send_raw("tomb-right", Some(b"k"), None);
    app.send("tomb-left", "k", view());
    app.send("tomb-right", "k", view());
    assert_eq!(app.sent::<String>("tomb-joined").len(), 1);
    assert!(app.dead_letters("tomb_join_skips").is_empty());
}

#[agent(topic = "tomb-keyless")]
async fn by_user(view: View, mut pages: Table<Pages>) {
    pages.update(&view.page, |n| *n += 1);
}

#[agent(topic = "tomb-keyless", sink = "tomb-here")]
async fn of_the_partition(_: View, mut here: Table<Here>) -> String {
    here.update("all", |n| {
        *n += 1;
        n.to_string()
    })
}

#[test]
fn a_record_without_a_key_names_the_cure_and_a_local_table_needs_none() {
    let mut app = TestApp::only((by_user, of_the_partition));
    app.send_raw("tomb-keyless", None, Some(b"{\"page\":\"p\"}"));
    let dead = app.dead_letters("by_user");
    says(
        dead[0].header("error").unwrap(),
        &["no key", "table `pages`", "`group_by = field`", "`local`"],
    );
    assert_eq!(*app.sent::<String>("tomb-here")[0], "1");
}

#[agent(topic = "tomb-views", group_by = page)]
async fn fails_behind(view: Event<View>) -> Result<()> {
    Err(format!("nobody reads {}", view.page)).reject()?;
    Ok(())
}

#[test]
fn a_dead_letter_behind_a_hop_names_the_record_that_it_was() {
    let mut app = TestApp::only((fails_behind,)).partitions(4);
    let view = |page: &str| View { page: page.into() };
    app.send("tomb-views", "u1", view("a"));
    app.send("tomb-views", "u1", view("b"));
    let from: std::collections::BTreeSet<_> = app
        .dead_letters("fails_behind")
        .iter()
        .map(|dead| {
            let header = |name| dead.header(name).unwrap().to_owned();
            assert_eq!(header("source.topic"), "test-fails_behind-page-repartition");
            (
                header("origin.topic"),
                header("origin.partition"),
                header("origin.offset"),
            )
        })
        .collect();
    let partition = crate::key::partition_of(b"u1", 4).to_string();
    let at = |offset: &str| {
        (
            "tomb-views".to_owned(),
            partition.clone(),
            offset.to_owned(),
        )
    };
    assert_eq!(from, [at("0"), at("1")].into());
}
