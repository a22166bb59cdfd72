//! `group_by` on apps as users write them.

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record]
#[derive(Clone)]
struct SourceLocation {
    country: String,
}

#[record]
#[derive(Clone)]
struct View {
    place: SourceLocation,
    page: String,
    day: u32,
}

#[record]
struct Count {
    n: u64,
}

#[table]
#[derive(Clone, Default)]
struct ByPage {
    n: u64,
}

#[agent(topic = "views", group_by = page, sink = "pages")]
async fn pages(view: Event<View>, mut pages: Table<ByPage>) -> Count {
    let n = pages.update(view.key(), |row| {
        row.n += 1;
        row.n
    });
    assert_eq!(*view.key(), view.page);
    Count { n }
}

fn view(page: &str, country: &str, day: u32) -> View {
    View {
        place: SourceLocation {
            country: country.to_owned(),
        },
        page: page.to_owned(),
        day,
    }
}

/// Two views of each of five pages, by users whose partitions say nothing about pages.
fn send_views(app: &mut TestApp) {
    for i in 0..10 {
        app.send(
            "views",
            format!("user-{i}"),
            view(&format!("page-{}", i % 5), "de", 1),
        );
    }
}

#[test]
fn records_of_a_key_come_together_whatever_partition_they_came_from() {
    let mut app = TestApp::only((pages,)).partitions(4);
    send_views(&mut app);
    let mut counts: Vec<(String, u64)> = app
        .sent::<Count>("pages")
        .iter()
        .map(|count| (count.key(), count.n))
        .collect();
    counts.sort();
    let expect: Vec<(String, u64)> = (0..5)
        .flat_map(|page| [1, 2].map(|n| (format!("page-{page}"), n)))
        .collect();
    assert_eq!(counts, expect);
    let hop = app.sent::<View>("test-pages-page-repartition");
    assert_eq!(hop.len(), 10);
    for record in &hop {
        assert_eq!(record.key::<String>(), record.page);
        assert_eq!(
            record.partition(),
            crate::key::partition_of(record.page.as_bytes(), 4)
        );
    }
}

#[test]
fn a_hop_is_exact_through_crashes_rebalances_and_failed_commits() {
    let run = |disturb: fn(&mut TestApp, usize)| {
        let mut app = TestApp::only((pages,)).partitions(3);
        for i in 0..300 {
            app.send(
                "views",
                format!("user-{}", i % 17),
                view(&format!("page-{}", i % 7), "de", 1),
            );
            disturb(&mut app, i);
        }
        let mut all: Vec<(String, u64)> = app
            .sent::<Count>("pages")
            .iter()
            .map(|count| (count.key(), count.n))
            .collect();
        all.sort();
        all
    };
    let quiet = run(|_, _| {});
    assert_eq!(quiet.len(), 300);
    let disturbed = run(|app, i| match i % 20 {
        3 => app.crash(),
        7 => app.fail_next_commit(),
        11 => app.rebalance(),
        13 => app.store(),
        17 => app.restart_with_empty_disk(),
        _ => {}
    });
    assert_eq!(disturbed, quiet);
}

#[agent(topic = "nested", group_by = place.country, sink = "countries")]
async fn countries(view: View, Key(country): Key<String>, headers: Headers) -> (String, Count) {
    assert_eq!(view.place.country, country);
    assert!(
        headers.is_empty(),
        "our own header is not the user's: {headers:?}"
    );
    (country, Count { n: 1 })
}

#[test]
fn a_field_of_a_field_is_a_key() {
    let mut app = TestApp::only((countries,)).partitions(2);
    app.send("nested", "u", view("p", "de", 1));
    assert_eq!(app.sent::<Count>("countries")[0].key::<String>(), "de");
    let hop = app.sent::<View>("test-countries-place.country-repartition");
    assert_eq!(hop.len(), 1);
}

#[table(key = (String, u32))]
#[derive(Clone, Default)]
struct ByCountryAndDay {
    n: u64,
}

#[agent(
    topic = "views",
    name = "daily",
    group_by = |view: &View| (view.place.country.clone(), view.day),
    sink = "days"
)]
async fn days(
    mut views: Stream<View, (String, u32)>,
    mut days: Table<ByCountryAndDay>,
    seen: Topic<Days>,
) -> Result<()> {
    while let Some(view) = views.next().await {
        let n = days.update(view.key(), |row| {
            row.n += 1;
            row.n
        });
        seen.send(view.key(), Count { n }).await?;
    }
    Ok(())
}

#[topic("days-seen", key = (String, u32), value = Count)]
struct Days;

#[test]
fn a_closure_makes_a_key_of_several_fields() {
    let mut app = TestApp::only((days,)).partitions(3);
    for (country, day) in [("de", 1), ("de", 1), ("fr", 1), ("de", 2)] {
        app.send("views", format!("{country}{day}"), view("p", country, day));
    }
    let mut counts: Vec<((String, u32), u64)> = app
        .sent::<Count>("days-seen")
        .iter()
        .map(|count| (count.key(), count.n))
        .collect();
    counts.sort();
    let key = |country: &str, day| (country.to_owned(), day);
    let expect = [
        (key("de", 1), 1),
        (key("de", 1), 2),
        (key("de", 2), 1),
        (key("fr", 1), 1),
    ];
    assert_eq!(counts, expect);
    assert_eq!(app.sent::<View>("test-daily-repartition").len(), 4);
}

#[test]
fn what_does_not_decode_before_the_hop_is_a_dead_letter_of_the_agent() {
    let mut app = TestApp::only((pages,)).partitions(2);
    app.send_raw("views", Some(b"u"), Some(b"{\"page\":"));
    app.send_raw("views", Some(b"u"), Some(b"[]"));
    app.send("views", "u", view("p", "de", 1));
    assert_eq!(app.sent::<Count>("pages").len(), 1);
    let dead = app.dead_letters("pages");
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].header("source.topic"), Some("views"));
}

#[record(timestamp = at)]
struct Click {
    #[field(coerce)]
    at: DateTime<Utc>,
    page: String,
}

#[table(tumbling = "1h", idle = "5s")]
#[derive(Clone, Default)]
struct Hour {
    n: u64,
}

#[agent(topic = "clicks", group_by = page)]
async fn click(click: Event<Click>, mut hours: Table<Hour>) {
    hours.update(click.key(), |hour| hour.n += 1);
}

#[agent(on_close = Hour, sink = "hours")]
async fn hour(hour: Closed<Hour>) -> Count {
    Count { n: hour.n }
}

#[test]
fn event_time_and_idle_work_behind_a_hop() {
    let mut app = TestApp::only((click, hour)).partitions(2);
    // Times before the epoch do not fit Kafka's stamp.
    for (user, time) in [("a", "1969-12-31T23:10:00Z"), ("b", "1969-12-31T23:50:00Z")] {
        let page = "front".to_owned();
        app.send("clicks", user, Click { at: at(time), page });
    }
    assert!(app.sent::<Count>("hours").is_empty());
    app.advance_to(at("1970-01-01T00:00:06Z"));
    let hours = app.sent::<Count>("hours");
    assert_eq!((hours.len(), hours[0].n), (1, 2));
    assert_eq!(app.late(), 0);
}

#[record]
struct Stamped {
    page: String,
}

#[agent(topic = "stamped", group_by = page, sink = "times")]
async fn times(event: Event<Stamped>) -> Count {
    Count {
        n: event.timestamp() as u64,
    }
}

#[test]
fn kafka_s_timestamp_is_the_event_time_on_both_sides_of_a_hop() {
    let mut app = TestApp::only((times,));
    app.send_raw("stamped", None, Some(br#"{"page":"p"}"#));
    assert_eq!(app.sent::<Count>("times")[0].n, 0);
    app.advance_to(at("2006-12-16T17:24:00Z"));
    app.send_raw("stamped", None, Some(br#"{"page":"p"}"#));
    let times = app.sent::<Count>("times");
    assert_eq!(
        times[1].n,
        at("2006-12-16T17:24:00Z").timestamp_millis() as u64
    );
}

#[agent(topic = "views", group_by = page, sink = "views")]
async fn endless(view: View) -> View {
    view
}

#[test]
#[should_panic(expected = "sends to the topic it reads, `views`")]
fn an_agent_that_groups_and_sends_back_is_refused() {
    TestApp::only((endless,)).sent::<View>("views");
}

mod clash {
    use super::*;

    #[agent(topic = "views", name = "a-page", group_by = |view: &View| view.page.clone())]
    async fn one(view: View) {
        let _ = view.page;
    }

    #[agent(topic = "views", name = "a", group_by = page)]
    async fn other(view: View) {
        let _ = view.page;
    }

    #[test]
    #[should_panic(expected = "`test-a-page-repartition` is the repartition topic of a `group_by`")]
    fn two_repartition_topics_of_one_name_are_refused() {
        TestApp::only((one, other)).sent::<View>("views");
    }
}
