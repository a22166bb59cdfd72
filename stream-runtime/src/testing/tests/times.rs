//! Times that records have, and records that have none.

use super::*;

#[record(timestamp = at)]
struct User {
    at: i64,
}

#[table(tumbling = "1h", value = u64)]
struct Deletions;

#[agent(topic = "times-users", sink = "times-deleted")]
async fn deletions(user: Event<Option<User>>, mut hours: Table<Deletions>) -> String {
    let n = match user.is_none() {
        true => hours.update(user.key(), |n| *n += 1).map(|()| "counted"),
        false => None,
    };
    format!("{} {n:?}", user.time().to_rfc3339())
}

#[agent(topic = "times-users", sink = "times-held", concurrency = 3)]
async fn held(user: Event<Option<User>>) -> String {
    user.time().to_rfc3339()
}

fn texts(app: &mut TestApp, topic: &str) -> Vec<String> {
    let sent = app.sent::<String>(topic);
    sent.iter().map(|text| (**text).clone()).collect()
}

#[test]
fn a_tombstone_that_comes_first_has_its_message_s_time_and_moves_no_stream_time() {
    for together in [false, true] {
        let mut app = match together {
            false => TestApp::only((deletions,)),
            true => TestApp::only((held,)),
        };
        app.advance_to(at("2026-03-01T10:30:00Z"));
        app.send_raw("times-users", Some(b"a"), None);
        // History, which is not late for that.
        let history = at("2006-12-16T17:24:00Z").timestamp_millis();
        app.send("times-users", "a", User { at: history });
        app.send_raw("times-users", Some(b"a"), None);
        let topic = if together {
            "times-held"
        } else {
            "times-deleted"
        };
        let all = texts(&mut app, topic);
        let times: Vec<&str> = all.iter().map(|text| &text[..19]).collect();
        assert_eq!(
            times,
            [
                "2026-03-01T10:30:00",
                "2006-12-16T17:24:00",
                "2006-12-16T17:24:00"
            ]
        );
        if !together {
            assert!(all[0].contains("counted"), "{all:?}");
            assert!(all[2].contains("counted"), "{all:?}");
        }
        assert_eq!(app.late(), 0);
    }
}

#[test]
fn a_bad_tombstone_does_not_keep_the_next_record_from_moving_stream_time() {
    let mut app = TestApp::only((deletions,));
    app.advance_to(at("2026-03-01T10:30:00Z"));
    // It has no key, which the table needs.
    app.send_raw("times-users", None, None);
    let history = at("2006-12-16T17:24:00Z").timestamp_millis();
    app.send("times-users", "a", User { at: history });
    app.send_raw("times-users", Some(b"a"), None);
    let all = texts(&mut app, "times-deleted");
    assert_eq!(all.len(), 2);
    assert!(all[1].starts_with("2006-12-16T17:24:00"), "{all:?}");
    let letters = app.sent::<Option<bytes::Bytes>>("test-deletions-dead-letters");
    assert_eq!(letters.len(), 1);
}

#[table(value = u64, ttl = "1h")]
struct Words;

#[agent(topic = "times-words", sink = "times-said")]
async fn say(word: Event<String>, mut words: Table<Words>) -> String {
    let n = words.update(word.key(), |n| {
        *n += 1;
        *n
    });
    format!("{} {} {n}", *word, word.time().to_rfc3339())
}

#[table(tumbling = "1h", grace = "1m", value = u64, late = "times-late")]
struct Hours;

#[agent(topic = "times-words", group_by = |word: &String| word.clone(), name = "times_hop", sink = "times-hopped")]
async fn hop(word: Event<String>, mut hours: Table<Hours>) -> String {
    hours.update(word.key(), |n| *n += 1);
    word.time().to_rfc3339()
}

#[join(
    left = "times-words",
    right = "times-other",
    within = "1h",
    sink = "times-met"
)]
async fn meets(word: String, other: String) -> String {
    format!("{word} {other}")
}

#[test]
fn a_message_without_a_timestamp_has_the_stream_time_or_is_a_bad_record() {
    let mut app = TestApp::only((say, hop, meets));
    app.message("times-words", "k", "first".to_owned())
        .without_timestamp()
        .send();
    app.message("times-words", "k", "second".to_owned())
        .timestamp(at("2026-03-01T10:00:00Z"))
        .send();
    app.message("times-words", "k", "third".to_owned())
        .without_timestamp()
        .send();
    assert_eq!(
        texts(&mut app, "times-said"),
        [
            "second 2026-03-01T10:00:00+00:00 1",
            "third 2026-03-01T10:00:00+00:00 2"
        ]
    );
    app.message("times-other", "k", "other".to_owned())
        .without_timestamp()
        .send();
    let ten = at("2026-03-01T10:00:00Z").timestamp_millis();
    for topic in ["times-said", "times-hopped", "times-met"] {
        let sent = app.sent::<String>(topic);
        assert!(!sent.is_empty(), "{topic}");
        for sent in sent {
            assert_eq!(sent.timestamp(), ten, "{topic}");
        }
    }
    assert_eq!(texts(&mut app, "times-hopped").len(), 2);
    for agent in ["say", "times_hop", "meets"] {
        let letters = app.dead_letters(agent);
        let letter = letters
            .iter()
            .find(|letter| letter.as_deref() == Some(&b"first"[..]));
        let letter = letter.unwrap_or_else(|| panic!("{agent}: {letters:?}"));
        let why = letter.header("error").unwrap_or_default();
        assert!(why.starts_with("its message has no timestamp"), "{why}");
        assert_eq!(letter.header("source.timestamp"), Some("-1"));
    }
}

#[table(tumbling = "1h", value = u64, late = "times-too-late")]
struct Direct;

/// Its windows are of an hour before the events.
#[agent(topic = "times-late-words")]
async fn before(word: Event<String>, mut hours: Table<Direct>) {
    hours.update_at(word.key(), word.time() - chrono::Duration::hours(2), |n| {
        *n += 1
    });
}

#[test]
fn what_is_sent_on_late_or_made_has_no_time_of_1970() {
    let mut app = TestApp::only((before,));
    let ten = at("2026-03-01T10:00:00Z");
    for stamped in [true, false] {
        let message = app.message("times-late-words", "k", "x".to_owned());
        match stamped {
            true => message.timestamp(ten).send(),
            false => message.without_timestamp().send(),
        }
    }
    let late = app.sent::<String>("times-too-late");
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].timestamp(), ten.timestamp_millis());
}

#[record(timestamp = at)]
struct Timed {
    at: i64,
}

#[agent(topic = "times-timed", sink = "times-taken")]
async fn take(timed: Event<Timed>) -> String {
    timed.time().to_rfc3339()
}

#[test]
fn a_record_a_year_ahead_meets_max_ahead_in_a_test_too() {
    let send = |app: &mut TestApp, time: &str| {
        let at = at(time).timestamp_millis();
        app.send("times-timed", "k", Timed { at });
    };
    let mut app = TestApp::only((take,));
    send(&mut app, "2026-03-01T10:00:00Z");
    send(&mut app, "2027-03-01T10:00:00Z");
    send(&mut app, "2026-03-20T10:00:00Z");
    assert_eq!(
        texts(&mut app, "times-taken"),
        ["2026-03-01T10:00:00+00:00", "2026-03-20T10:00:00+00:00"]
    );
    let letters = app.dead_letters("take");
    assert_eq!(letters.len(), 1);
    assert!(letters[0].header("error").unwrap().contains("max_ahead"));
    // A test that means it moves the clock.
    app.advance_to(at("2027-03-01T09:30:00Z"));
    send(&mut app, "2027-03-01T10:00:00Z");
    assert_eq!(texts(&mut app, "times-taken").len(), 3);
    // The first record starts the clock.
    assert_eq!(app.dead_letters("take").len(), 1);
}

#[agent(topic = "times-headers", sink = "times-seen")]
async fn see(word: Event<String>, headers: Headers) -> String {
    format!(
        "{} {} {}",
        *word,
        headers.text("from").unwrap_or("nobody"),
        word.timestamp()
    )
}

#[test]
fn a_message_has_headers_and_its_own_kafka_timestamp() {
    let mut app = TestApp::only((see,));
    app.message("times-headers", "k", "late".to_owned())
        .header("from", "ann")
        .timestamp(at("2026-03-01T10:00:00Z"))
        .send();
    // Out of order, without a field that says so.
    app.message("times-headers", "k", "early".to_owned())
        .timestamp(at("2026-03-01T09:00:00Z"))
        .send();
    app.send("times-headers", "k", "now".to_owned());
    let ten = at("2026-03-01T10:00:00Z").timestamp_millis();
    assert_eq!(
        texts(&mut app, "times-seen"),
        [
            format!("late ann {ten}"),
            format!("early nobody {}", ten - 3_600_000),
            format!("now nobody {ten}")
        ]
    );
}
