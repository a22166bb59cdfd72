//! Derives above and below the attribute, documentation and serde's words around it.
use stream_runtime::prelude::*;

#[derive(Debug)]
#[record(timestamp = at)]
/// A reading.
struct Above {
    #[serde(rename = "when")]
    #[field(coerce)]
    at: DateTime<Utc>,
    #[field(min = 0)]
    #[serde(default)]
    n: u64,
}

#[record]
#[derive(Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Below {
    first_name: String,
}

#[derive(Clone, Default)]
#[table(tumbling = "1h")]
struct RowsAbove {
    n: u64,
}

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
#[serde(default)]
struct RowsBelow {
    n: u64,
}

#[allow(clippy::unused_async)]
#[agent(topic = "above")]
/// An agent.
#[doc(alias = "counter")]
async fn count(reading: Above, mut a: Table<RowsAbove>, mut b: Table<RowsBelow>) {
    a.update("all", |row| row.n += reading.n);
    b.update("all", |row| row.n += 1);
}

fn main() {
    let above = Above::decode(Some(br#"{"when":"2006-12-16 17:24:00"}"#)).unwrap();
    assert_eq!((above.timestamp(), above.n), (Some(1_166_289_840_000), 0));
    assert_eq!(
        format!("{above:?}"),
        "Above { at: 2006-12-16T17:24:00Z, n: 0 }"
    );
    let mut out = Vec::new();
    Below {
        first_name: "Ada".into(),
    }
    .encode(&mut out)
    .unwrap();
    assert_eq!(out, br#"{"firstName":"Ada"}"#);
}
