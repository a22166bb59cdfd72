//! Rows come back as they were written, or their event fails where they are written.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::json;
use uuid::Uuid;

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record]
#[derive(Clone, Debug, PartialEq)]
#[serde(tag = "kind")]
enum Tagged {
    Nothing,
    Login { from: IpAddr, id: Uuid },
    Buy { cents: i64, share: f64 },
}

#[record]
#[derive(Clone, Debug, PartialEq)]
#[serde(tag = "kind", content = "of")]
enum Adjacent {
    Nothing,
    From(SocketAddr),
    Both(Uuid, Option<i8>),
}

#[record]
#[derive(Clone, Debug, PartialEq)]
#[serde(untagged)]
enum Untagged {
    Address(IpAddr),
    Id { id: Uuid },
    Many(Vec<Option<bool>>),
    Text(String),
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct Flat {
    #[serde(rename = "N")]
    n: u64,
    #[serde(flatten)]
    place: SourceLocation,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct SourceLocation {
    #[serde(alias = "address")]
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    #[serde(rename(serialize = "out", deserialize = "in"), alias = "out")]
    way: char,
}

#[record]
#[derive(Clone, Debug, PartialEq)]
struct Unit;

/// One variant a shape.
#[record]
#[derive(Clone, Debug, Default, PartialEq)]
enum Shape {
    #[default]
    Nothing,
    Tagged(Tagged),
    Adjacent(Adjacent),
    Untagged(Untagged),
    Flat(Flat),
    Unit(Unit),
    Address(IpAddr, SocketAddr, Uuid),
    Times(DateTime<Utc>, NaiveDate, NaiveTime, NaiveDateTime),
    Long(i128, u128),
    Floats(f64, f64, f32),
    Json(serde_json::Value),
    ByNumber(HashMap<u64, Uuid>),
    ByPair(BTreeMap<(i32, Option<String>), IpAddr>),
    Sets(HashSet<i64>, BTreeSet<Vec<u8>>),
    Maybe {
        a: Option<SourceLocation>,
        b: Option<Tagged>,
        c: Vec<Option<u8>>,
    },
    Boxed(Box<Shape>),
    #[serde(other)]
    Unknown,
}

fn shapes() -> Vec<Shape> {
    let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap());
    let id = Uuid::from_u128(7);
    let place = |city: Option<&str>| SourceLocation {
        ip: v6,
        city: city.map(str::to_owned),
        way: 'ß',
    };
    let login = Tagged::Login { from: v4, id };
    let rest = json!({"any": [1, null, -2.5], "deep": {"er": "x"}});
    let rest = rest.as_object().unwrap().clone().into_iter().collect();
    let time = at("1969-12-31T23:59:59.999Z");
    vec![
        Shape::Nothing,
        Shape::Tagged(Tagged::Nothing),
        Shape::Tagged(login.clone()),
        Shape::Tagged(Tagged::Buy {
            cents: i64::MIN,
            share: f64::NEG_INFINITY,
        }),
        Shape::Adjacent(Adjacent::Nothing),
        Shape::Adjacent(Adjacent::From("[::1]:80".parse().unwrap())),
        Shape::Adjacent(Adjacent::Both(id, None)),
        Shape::Untagged(Untagged::Address(v6)),
        Shape::Untagged(Untagged::Id { id }),
        Shape::Untagged(Untagged::Many(vec![None, Some(true)])),
        Shape::Untagged(Untagged::Text("10.0.0".into())),
        Shape::Flat(Flat {
            n: u64::MAX,
            place: place(None),
            rest,
        }),
        Shape::Flat(Flat {
            n: 0,
            place: place(Some("Köln")),
            rest: BTreeMap::new(),
        }),
        Shape::Unit(Unit),
        Shape::Address(v4, "10.0.0.1:1".parse().unwrap(), id),
        Shape::Times(time, time.date_naive(), time.time(), time.naive_utc()),
        Shape::Long(i128::MIN, u128::MAX),
        Shape::Floats(f64::INFINITY, -0.0, f32::MIN_POSITIVE),
        Shape::Json(json!({"a": [1, 2.0, -3, u64::MAX, null, "t", true], "": {}})),
        Shape::ByNumber([(u64::MAX, id), (0, Uuid::nil())].into()),
        Shape::ByPair([((-1, None), v4), ((1, Some("x".into())), v6)].into()),
        Shape::Sets((0..50).collect(), [vec![], vec![0, 255]].into()),
        Shape::Maybe {
            a: Some(place(None)),
            b: Some(login),
            c: vec![None, Some(1)],
        },
        Shape::Maybe {
            a: None,
            b: None,
            c: vec![],
        },
        Shape::Boxed(Box::new(Shape::Address(
            v6,
            "[::1]:80".parse().unwrap(),
            id,
        ))),
        Shape::Unknown,
    ]
}

#[table(key = u64, value = Shape)]
struct RowsOfAllShapes;

#[agent(topic = "rows-shapes-in", sink = "rows-shapes-out")]
async fn keep_shapes(
    what: String,
    Key(n): Key<u64>,
    mut kept: Table<RowsOfAllShapes>,
) -> Option<String> {
    if what == "put" {
        kept.insert(&n, shapes()[n as usize].clone());
        return None;
    }
    let found = kept.get(&n);
    let same = found.as_ref() == Some(&shapes()[n as usize]);
    (!same).then(|| format!("{n}: {found:?}"))
}

#[test]
fn every_shape_of_serde_that_json_carries_comes_back_from_a_row() {
    let mut app = TestApp::only((keep_shapes,));
    let count = shapes().len() as u64;
    for n in 0..count {
        app.send("rows-shapes-in", n, "put".to_owned());
    }
    app.settle();
    assert!(app.dead_letters("keep_shapes").is_empty());
    app.restart_with_empty_disk();
    for n in 0..count {
        app.send("rows-shapes-in", n, "ask".to_owned());
    }
    let wrong = app.sent::<String>("rows-shapes-out");
    let wrong: Vec<_> = wrong.iter().map(|w| w.as_str()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is not written the way it is read; nothing of the attributes shows it.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Foreign {
    #[serde(serialize_with = "as_text")]
    n: u64,
    nested: Option<Option<u8>>,
}

fn as_text<S: serde::Serializer>(n: &u64, s: S) -> std::result::Result<S::Ok, S::Error> {
    match *n {
        0..10 => s.serialize_u64(*n),
        n => s.serialize_str(&n.to_string()),
    }
}

#[table(value = Foreign)]
struct RowsOfForeign;

#[agent(topic = "rows-foreign-in", sink = "rows-foreign-out")]
async fn keep_foreign(what: String, Key(k): Key<String>, mut kept: Table<RowsOfForeign>) -> String {
    match what.as_str() {
        "text" => kept.update(&k, |row| row.n = 10),
        "nested" => kept.update(&k, |row| row.nested = Some(None)),
        _ => kept.update(&k, |row| row.n = 1),
    }
    what
}

#[test]
fn a_row_that_would_not_come_back_fails_the_event_that_writes_it() {
    let mut app = TestApp::only((keep_foreign,));
    for (n, what) in ["good", "text", "nested", "good"].into_iter().enumerate() {
        app.send("rows-foreign-in", format!("k{n}"), what.to_owned());
    }
    let went_on = app.sent::<String>("rows-foreign-out");
    let went_on: Vec<_> = went_on.iter().map(|w| w.as_str()).collect();
    assert_eq!(went_on, ["good", "good"]);
    let letters = app.dead_letters("keep_foreign");
    let why: Vec<_> = letters.iter().map(|l| l.header("error").unwrap()).collect();
    assert!(
        why[0].starts_with("table `rows_of_foreign`, key \"k1\": the row of type Foreign is not kept: it could not be read again: field `n`:"),
        "{}",
        why[0]
    );
    assert!(
        why[1].contains("key \"k2\"") && why[1].contains("`Option` of an `Option`"),
        "{}",
        why[1]
    );
    app.restart_with_empty_disk();
    app.send("rows-foreign-in", "k0", "good".to_owned());
    assert_eq!(app.sent::<String>("rows-foreign-out").len(), 3);
}

#[record]
#[derive(Clone, Default)]
struct Mean {
    sum: f64,
    #[field(max = 3)]
    n: usize,
    inner: Vec<Part>,
}

#[record]
#[derive(Clone, Default)]
struct Part {
    #[field(min = 0, max = 500)]
    mean: f64,
    #[field(min_length = 1)]
    #[serde(serialize_with = "shout")]
    name: String,
}

fn shout<S: serde::Serializer>(name: &str, s: S) -> std::result::Result<S::Ok, S::Error> {
    s.serialize_str(&name.to_uppercase())
}

#[table(value = Mean)]
struct RowsWithRules;

#[agent(topic = "rows-rules-in", sink = "rows-rules-out")]
async fn keep_rules(
    mean: Mean,
    Key(k): Key<String>,
    mut kept: Table<RowsWithRules>,
) -> (String, Mean) {
    let row = kept.update(&k, |row| {
        row.n += 1;
        // Nothing is sent by the rules: what breaks them is the reader's bad record.
        row.inner = vec![Part {
            mean: mean.sum / mean.n as f64,
            name: if mean.sum < 0.0 { "" } else { "m" }.into(),
        }];
        row.clone()
    });
    (k, row)
}

#[test]
fn a_rule_that_became_tighter_does_not_refuse_the_rows_that_are_there() {
    #[derive(serde::Serialize)]
    struct Before {
        sum: f64,
        n: usize,
        inner: Vec<()>,
    }
    let before = Before {
        sum: 1.0,
        n: 50,
        inner: Vec::new(),
    };
    let mut row = Vec::new();
    crate::codec::rows::encode(&before, &mut row).unwrap();
    let read: Mean = crate::codec::rows::decode(&row).unwrap();
    assert_eq!(read.n, 50);
    // A record that says so is a bad one.
    let record = br#"{"sum":1.0,"n":50,"inner":[]}"#;
    assert!(Mean::decode(Some(record)).is_err());
}

#[test]
fn a_row_that_breaks_its_own_rule_is_that_events_dead_letter_and_never_kept() {
    let mut app = TestApp::only((keep_rules,));
    let mut send = |key: &str, sum: f64, n: usize| {
        let mean = Mean {
            sum,
            n,
            inner: vec![],
        };
        app.send("rows-rules-in", key, mean);
    };
    send("nan", 0.0, 0);
    send("high", 512.5, 1);
    send("short", -0.0, 1);
    send("unnamed", -1.0, 1);
    for _ in 0..5 {
        send("good", 1.0, 2);
    }
    let why: Vec<String> = app
        .dead_letters("keep_rules")
        .iter()
        .map(|l| l.header("error").unwrap().to_owned())
        .collect();
    let broken = |n: usize, key: &str, what: &str| {
        assert!(why[n].contains(&format!("key {key:?}")), "{}", why[n]);
        assert!(why[n].ends_with(what), "{}", why[n]);
    };
    broken(0, "nan", "field `mean`: must be at least 0, is NaN");
    broken(1, "high", "field `mean`: must be at most 500, is 512.5");
    broken(2, "unnamed", "field `mean`: must be at least 0, is -1");
    broken(3, "good", "field `n`: must be at most 3, is 4");
    assert_eq!(why.len(), 5);
    // The row is as before the event that failed.
    app.restart_with_empty_disk();
    let sent = app.sent::<bytes::Bytes>("rows-rules-out");
    let last = String::from_utf8_lossy(sent.last().unwrap()).into_owned();
    assert_eq!(
        (
            sent.len(),
            last.contains(r#""n":3"#),
            last.contains(r#""name":"M""#)
        ),
        (4, true, true)
    );
}

#[table]
#[derive(Clone, Default)]
struct RowsOfItself {
    #[field(min = 0, max = 9)]
    n: i64,
    #[field(max_length = 2)]
    names: Vec<String>,
}

#[agent(topic = "rows-itself-in", sink = "rows-itself-out")]
async fn keep_itself(n: String, Key(k): Key<String>, mut kept: Table<RowsOfItself>) -> String {
    kept.update(&k, |row| {
        row.n += n.parse::<i64>().unwrap();
        row.names.push(n.clone());
        format!("{} {}", row.n, row.names.len())
    })
}

#[test]
fn rules_stand_on_the_fields_of_a_tables_own_struct() {
    let mut app = TestApp::only((keep_itself,));
    for n in ["9", "1", "0", "-1"] {
        app.send("rows-itself-in", "k", n.to_owned());
    }
    let sent = app.sent::<String>("rows-itself-out");
    let sent: Vec<_> = sent.iter().map(|s| s.as_str()).collect();
    assert_eq!(sent, ["9 1", "9 2"]);
    let why = app.dead_letters("keep_itself");
    assert!(
        why[0]
            .header("error")
            .unwrap()
            .ends_with("field `n`: must be at most 9, is 10")
    );
    assert!(
        why[1]
            .header("error")
            .unwrap()
            .ends_with("field `names`: must be at most 2 long, is 3")
    );
}

thread_local! {
    /// The program of tomorrow, which does not read what the one of today wrote.
    static TOMORROW: Cell<bool> = const { Cell::new(false) };
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Changed {
    #[serde(deserialize_with = "as_of_tomorrow")]
    n: u64,
}

fn as_of_tomorrow<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<u64, D::Error> {
    let n = <u64 as serde::Deserialize>::deserialize(d)?;
    if TOMORROW.get() && n == 7 {
        return Err(serde::de::Error::custom("seven is not a number any more"));
    }
    Ok(n)
}

#[table(value = Changed, on_unreadable_row = "set_aside")]
struct RowsSetAside;

#[table(value = Changed)]
struct RowsThatStop;

#[table(value = Changed, on_unreadable_row = "set_aside", tumbling = "1h")]
struct HoursSetAside;

#[table(value = Changed, on_unreadable_row = "set_aside", session = "1h")]
struct VisitsSetAside;

impl Merge for Changed {
    fn merge(&mut self, later: Self) {
        self.n += later.n;
    }
}

#[agent(topic = "rows-aside-in", sink = "rows-aside-out")]
async fn add_aside(n: String, Key(k): Key<String>, mut kept: Table<RowsSetAside>) -> String {
    if n == "all" {
        return kept
            .iter()
            .map(|(k, row)| format!("{k}{} ", row.n))
            .collect();
    }
    kept.update(&k, |row| {
        row.n += n.parse::<u64>().unwrap();
        format!("{k} {}", row.n)
    })
}

#[agent(topic = "rows-stop-in")]
async fn add_stop(n: String, Key(k): Key<String>, mut kept: Table<RowsThatStop>) {
    kept.update(&k, |row| row.n += n.parse::<u64>().unwrap());
}

#[agent(topic = "rows-hours-in", sink = "rows-hours-out")]
async fn add_hours(
    n: String,
    Key(k): Key<String>,
    mut hours: Table<HoursSetAside>,
    mut visits: Table<VisitsSetAside>,
) -> String {
    let of = |row: &mut Changed| {
        row.n += n.parse::<u64>().unwrap();
        row.n
    };
    let hour = hours.update(&k, of);
    format!("{k} {hour:?} {:?}", visits.update(&k, of))
}

fn aside(app: &mut TestApp, topic: &str) -> Vec<(String, String)> {
    let rows = app.sent::<bytes::Bytes>(topic);
    rows.iter()
        .map(|row| {
            assert!(row.header("table").is_some() && row.header("partition") == Some("0"));
            (row.key::<String>(), row.header("error").unwrap().to_owned())
        })
        .collect()
}

#[test]
fn a_row_that_cannot_be_read_stops_its_own_key_where_that_is_asked_for() {
    let mut app = TestApp::only((add_aside,));
    for (key, n) in [("a", "7"), ("b", "1"), ("c", "7"), ("d", "7")] {
        app.send("rows-aside-in", key, n.to_owned());
    }
    app.settle();
    TOMORROW.set(true);
    app.restart_with_empty_disk();
    app.send("rows-aside-in", "a", "2".to_owned());
    app.fail_next_commit();
    app.send("rows-aside-in", "b", "2".to_owned());
    app.send("rows-aside-in", "b", "all".to_owned());
    let sent = app.sent::<String>("rows-aside-out");
    let sent: Vec<_> = sent.iter().skip(4).map(|s| s.as_str()).collect();
    assert_eq!(sent, ["a 2", "b 3", "a2 b3 "]);
    let rows = aside(&mut app, "test-rows_set_aside-unreadable");
    let keys: Vec<_> = rows.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a", "c", "d"], "once each, though a commit failed");
    assert!(
        rows[0].1.starts_with("table `rows_set_aside`, key \"a\": the stored row does not read as Changed: field `n`: seven is not a number any more;"),
        "{}",
        rows[0].1
    );
    // Rows and a mark were committed, and it is not known which of them it was.
    assert!(
        rows[0]
            .1
            .contains("; it is a row of test-rows_set_aside-changelog[0], before offset "),
        "{}",
        rows[0].1
    );
    // The key started again for good.
    app.restart_with_empty_disk();
    app.send("rows-aside-in", "c", "all".to_owned());
    assert_eq!(
        *app.sent::<String>("rows-aside-out")
            .last()
            .unwrap()
            .as_str(),
        *"a2 b3 "
    );
    assert_eq!(aside(&mut app, "test-rows_set_aside-unreadable").len(), 3);
    TOMORROW.set(false);
}

#[test]
fn unreadable_rows_of_windows_are_set_aside_too() {
    let mut app = TestApp::only((add_hours,));
    app.send("rows-hours-in", "a", "7".to_owned());
    app.send("rows-hours-in", "b", "1".to_owned());
    app.settle();
    TOMORROW.set(true);
    app.restart_with_empty_disk();
    app.send("rows-hours-in", "a", "2".to_owned());
    app.send("rows-hours-in", "b", "2".to_owned());
    let sent = app.sent::<String>("rows-hours-out");
    let sent: Vec<_> = sent.iter().skip(2).map(|s| s.as_str()).collect();
    assert_eq!(sent, ["a Some(2) Some(2)", "b Some(3) Some(3)"]);
    assert_eq!(aside(&mut app, "test-hours_set_aside-unreadable").len(), 1);
    assert_eq!(aside(&mut app, "test-visits_set_aside-unreadable").len(), 1);
    app.advance_to(at("1970-01-02T00:00:00Z"));
    TOMORROW.set(false);
}

#[test]
#[should_panic(
    expected = "table `rows_that_stop`, key \"a\": the stored row does not read as Changed: field `n`: seven is not a number any more; the type was another one when the row was written: let it read the old form too, or give the table a new `name`; `on_unreadable_row = \"set_aside\"` lets the other keys go on, and `reset` drops all state"
)]
fn a_row_that_cannot_be_read_stops_its_partition_and_says_what_helps() {
    let mut app = TestApp::only((add_stop,));
    app.send("rows-stop-in", "a", "7".to_owned());
    app.settle();
    TOMORROW.set(true);
    app.restart_with_empty_disk();
    app.send("rows-stop-in", "a", "1".to_owned());
    app.settle();
}

#[topic("rows-read-reports", value = String)]
struct ReadReports;

#[timer("1m")]
async fn read_rows(
    plain: TableReader<RowsThatStop>,
    visits: TableReader<VisitsSetAside>,
    reports: Producer<ReadReports>,
) -> Result {
    let plain_all = plain.all().next().await.map(|_| ());
    let said = [
        plain.get("a").await.map(|_| ()),
        plain_all,
        visits.windows("a").await.map(|_| ()),
    ];
    for said in said {
        let said = said.map_or_else(|error| error.to_string(), |()| "read".to_owned());
        reports.send("k", said).await?;
    }
    Ok(())
}

#[test]
fn a_row_that_a_reader_beside_the_streams_cannot_read_names_its_place() {
    let mut app = TestApp::only((add_stop, add_hours, read_rows));
    app.send("rows-stop-in", "a", "7".to_owned());
    app.send("rows-hours-in", "a", "7".to_owned());
    app.settle();
    TOMORROW.set(true);
    app.advance_to(at("1970-01-01T00:01:00Z"));
    TOMORROW.set(false);
    let reports = app.sent::<String>("rows-read-reports");
    let reports: Vec<&str> = reports.iter().map(|report| report.as_str()).collect();
    let plain = "table `rows_that_stop`: a row does not read as Changed: field `n`: seven is not a number any more; the type was another one when the row was written: let it read the old form too, or give the table a new `name`";
    assert_eq!(
        reports[..2],
        [
            format!("key \"a\", from the worker at the test: {plain}"),
            format!("partition 0, from the worker at the test: key \"a\": {plain}"),
        ]
    );
    let visit = "table `visits_set_aside`, key \"a\": the stored row does not read as Changed: ";
    assert!(
        reports[2].starts_with(visit)
            && reports[2].contains("it is a row of test-visits_set_aside-changelog[0]"),
        "{}",
        reports[2]
    );
}

/// Fine on the wire; a row of it would lose what only one direction knows.
#[record]
#[derive(Clone, Default)]
struct Lossy {
    #[serde(rename(deserialize = "voltageIn", serialize = "voltage_out"))]
    voltage: f64,
    #[serde(skip_serializing, default)]
    secret: u64,
}

#[table(value = Lossy)]
struct RowsOfLossy;

#[agent(topic = "rows-lossy-in")]
async fn keep_lossy(row: Lossy, Key(k): Key<String>, mut kept: Table<RowsOfLossy>) {
    kept.insert(&k, row);
}

#[test]
#[should_panic(
    expected = "the rows of table `rows_of_lossy` would not come back as they are. Of Lossy, field `voltage`: it is written as `voltage_out` and read as `voltageIn`: add `#[serde(alias = \"voltage_out\")]`"
)]
fn a_record_that_writes_what_it_does_not_read_is_no_row() {
    TestApp::only((keep_lossy,)).settle();
}

#[record(codec = "msgpack")]
#[derive(Debug, PartialEq)]
#[serde(tag = "kind")]
enum Packed {
    Login { from: IpAddr, id: Uuid },
}

#[record(codec = "msgpack")]
struct PackedPlain {
    from: IpAddr,
}

#[record(codec = "msgpack")]
struct PackedInside {
    last: Tagged,
}

#[record(codec = "binary")]
struct SmallInside {
    last: Tagged,
}

#[test]
fn what_a_codec_writes_is_read_or_is_not_sent() {
    let from: IpAddr = "10.0.0.1".parse().unwrap();
    let mut bytes = Vec::new();
    let packed = Packed::Login {
        from,
        id: Uuid::from_u128(7),
    };
    packed.encode(&mut bytes).unwrap();
    assert_eq!(Packed::decode(Some(&bytes)).unwrap(), packed);
    // What other programs read stays as it was.
    bytes.clear();
    PackedPlain { from }.encode(&mut bytes).unwrap();
    let before = rmp_serde::to_vec_named(&BTreeMap::from([("from", from)])).unwrap();
    assert_eq!(bytes, before);
    assert_eq!(PackedPlain::decode(Some(&bytes)).unwrap().from, from);
    // The attributes of the record itself do not show these.
    let login = || Tagged::Login {
        from,
        id: Uuid::nil(),
    };
    bytes.clear();
    let refused = PackedInside { last: login() }
        .encode(&mut bytes)
        .unwrap_err();
    assert!(
        refused.to_string().contains("nobody could read it"),
        "{refused}"
    );
    let refused = SmallInside { last: login() }
        .encode(&mut bytes)
        .unwrap_err();
    assert!(
        refused.to_string().contains("nobody could read it"),
        "{refused}"
    );
    assert!(bytes.is_empty());
}
