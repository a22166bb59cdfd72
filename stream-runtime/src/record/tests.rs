//! What `#[record]` makes of structs and enums.

use crate::prelude::*;
use std::collections::HashMap;

#[record(timestamp = at, key = meter)]
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    #[field(coerce)]
    at: DateTime<Utc>,
    meter: u64,
    #[field(min = 0, max = 500.5)]
    voltage: f64,
    #[field(min_length = 1, max_length = 3)]
    phase: Option<String>,
    #[serde(default)]
    place: Option<Place>,
}

#[record]
#[derive(Debug, Clone, PartialEq)]
struct Place {
    #[field(max_length = 5)]
    city: String,
}

fn read(json: &str) -> std::result::Result<Reading, crate::DecodeError> {
    Reading::decode(Some(json.as_bytes()))
}

fn refused(json: &str) -> (String, String) {
    let error = read(json).unwrap_err();
    (
        error.field().unwrap_or(".").to_owned(),
        error.problem().to_owned(),
    )
}

#[test]
fn a_record_knows_its_time_and_key() {
    let reading = read(r#"{"at":"2006-12-16 17:24:00","meter":7,"voltage":234.84}"#).unwrap();
    assert_eq!(
        (reading.timestamp(), reading.key()),
        (Some(1_166_289_840_000), Some(7))
    );
    const { assert!(Reading::HAS_TIMESTAMP && Reading::HAS_KEY && !Place::HAS_KEY) };
    assert_eq!(Reading::NAME, "Reading");
    let mut out = Vec::new();
    assert!(reading.encode(&mut out).unwrap());
    assert_eq!(Reading::decode(Some(&out)).unwrap(), reading);
}

#[test]
fn a_broken_rule_names_its_field_also_inside() {
    let text = |rest: &str| format!(r#"{{"at":0,"meter":7,"voltage":1,{rest}}}"#);
    let error = refused(r#"{"at":0,"meter":7,"voltage":612.5}"#);
    assert_eq!(
        error,
        ("voltage".into(), "must be at most 500.5, is 612.5".into())
    );
    assert_eq!(refused(&text(r#""phase":"""#)).0, "phase");
    assert_eq!(
        refused(&text(r#""phase":"L1234""#)).1,
        "must be at most 3 long, is 5"
    );
    assert_eq!(
        refused(&text(r#""place":{"city":"Sceaux"}"#)).0,
        "place.city"
    );
    assert_eq!(refused(r#"{"at":"noon","meter":7,"voltage":1}"#).0, "at");
    assert_eq!(
        refused(r#"{"meter":7,"voltage":1}"#).1,
        "missing field `at`"
    );
    assert!(
        read(&text(r#""phase":null,"more":1"#)).is_ok(),
        "null breaks no rule, unknown fields are ignored"
    );
}

#[record(coerce, deny_unknown_fields)]
struct Loose {
    number: u32,
    flag: bool,
    at: Option<DateTime<Utc>>,
    list: Vec<f64>,
    place: Option<Place>,
    map: HashMap<String, u8>,
    #[serde(skip)]
    kept: u8,
}

#[test]
fn record_level_coerce_reads_what_it_can_and_leaves_the_rest() {
    let json =
        br#"{"number":"7","flag":"True","list":["1.5",2],"place":{"city":"Paris"},"map":{"a":1}}"#;
    let loose = Loose::decode(Some(json)).unwrap();
    assert_eq!(
        (loose.number, loose.flag, loose.at, loose.kept),
        (7, true, None, 0)
    );
    assert_eq!(loose.list, [1.5, 2.0]);
    assert_eq!(
        (loose.place.unwrap().city.as_str(), loose.map["a"]),
        ("Paris", 1)
    );
    let unknown = br#"{"number":1,"flag":true,"list":[],"map":{},"extra":1}"#;
    let error = Loose::decode(Some(unknown)).map(|_| ()).unwrap_err();
    assert!(
        error.problem().starts_with("unknown field `extra`"),
        "{error}"
    );
}

#[record]
struct Login {
    user: String,
    #[field(sensitive, min_length = 8)]
    password: String,
    #[field(sensitive, min = 1000)]
    pin: Option<u16>,
}

#[record]
enum Attempt {
    With(#[field(sensitive)] String, u8),
    Named {
        #[field(sensitive)]
        token: String,
        n: u8,
    },
    Nothing,
}

#[test]
fn nothing_of_a_sensitive_field_is_shown() {
    let login = Login::decode(Some(
        br#"{"user":"ada","password":"enchantress","pin":4711}"#,
    ))
    .unwrap();
    assert_eq!(
        format!("{login:?}"),
        "Login { user: \"ada\", password: ***, pin: *** }"
    );
    for json in [
        r#"{"user":"ada","password":"secret"}"#,
        r#"{"user":"ada","password":["secret"]}"#,
        r#"{"user":"ada","password":"secret-enough","pin":7}"#,
        r#"{"password":"secret-secret"}"#,
    ] {
        let error = Login::decode(Some(json.as_bytes()))
            .unwrap_err()
            .to_string();
        assert!(
            !error.contains("secret") && !error.contains("is 7"),
            "{error}"
        );
        assert!(error.contains("(value: masked)"), "{error}");
    }
    assert_eq!(
        format!("{:?}", Attempt::With("t".into(), 1)),
        "With(***, 1)"
    );
    assert_eq!(
        format!(
            "{:?}",
            Attempt::Named {
                token: "t".into(),
                n: 1
            }
        ),
        "Named { token: ***, n: 1 }"
    );
    assert_eq!(format!("{:?}", Attempt::Nothing), "Nothing");
}

#[record(timestamp = at, key = id)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[derive(Debug, PartialEq)]
enum Change {
    Created {
        #[field(coerce)]
        at: DateTime<Utc>,
        id: String,
        #[field(max = 9)]
        size: u8,
    },
    Deleted {
        at: DateTime<Utc>,
        id: String,
    },
}

#[test]
fn an_enum_is_a_record_too() {
    let created =
        Change::decode(Some(br#"{"kind":"created","at":1000,"id":"a","size":1}"#)).unwrap();
    assert_eq!(
        (created.timestamp(), created.key()),
        (Some(1000), Some("a".into()))
    );
    let deleted = Change::decode(Some(
        br#"{"kind":"deleted","at":"1970-01-01T00:00:02Z","id":"b"}"#,
    ))
    .unwrap();
    assert_eq!(
        (deleted.timestamp(), deleted.key()),
        (Some(2000), Some("b".into()))
    );
    let error =
        Change::decode(Some(br#"{"kind":"created","at":0,"id":"a","size":10}"#)).unwrap_err();
    assert!(
        error.problem().contains("must be at most 9, is 10"),
        "{error}"
    );
}

#[record(timestamp = meta.at)]
struct Wrapped<T> {
    meta: Meta,
    body: T,
    #[field(min = 1)]
    n: u8,
}

#[record]
struct Meta {
    #[field(date_format = "%d/%m/%Y;%H:%M:%S")]
    at: DateTime<Utc>,
}

#[record]
#[derive(Debug, PartialEq)]
struct Id(#[field(min = 10)] u64);

#[test]
fn times_inside_generics_and_newtypes() {
    let json = br#"{"meta":{"at":"16/12/2006;17:24:00"},"body":[1,2],"n":1}"#;
    let wrapped = Wrapped::<Vec<u8>>::decode(Some(json)).unwrap();
    assert_eq!(
        (wrapped.timestamp(), wrapped.body, wrapped.n),
        (Some(1_166_289_840_000), vec![1, 2], 1)
    );
    let none = br#"{"meta":{"at":"16/12/2006;17:24:00"},"body":null,"n":0}"#;
    assert_eq!(
        Wrapped::<()>::decode(Some(none))
            .map(|_| ())
            .unwrap_err()
            .field(),
        Some("n")
    );
    assert_eq!(Id::decode(Some(b"11")).unwrap(), Id(11));
    assert_eq!(
        Id::decode(Some(b"9")).unwrap_err().problem(),
        "must be at least 10, is 9"
    );
    let mut out = Vec::new();
    wrapped.meta.encode(&mut out).unwrap();
    assert!(
        Meta::decode(Some(&out)).is_ok(),
        "what we write ourselves we read: {}",
        String::from_utf8_lossy(&out)
    );
}

#[test]
fn rows_and_records_are_read_by_the_same_rules() {
    let reading = read(r#"{"at":0,"meter":7,"voltage":1,"place":{"city":"Paris"}}"#).unwrap();
    let mut row = Vec::new();
    crate::codec::rows::encode(&reading, &mut row).unwrap();
    assert_eq!(
        crate::codec::rows::decode::<Reading>(&row).unwrap(),
        reading
    );
}
