//! What is found out about keys and tables while the user's program compiles, without a bound that could fail.

use std::marker::PhantomData;

use super::event::Event;
use super::extract::Key;
use super::stream::Stream;
use crate::key::StreamKey;
use crate::table::TableSpec;

/// The key that a parameter of an agent takes: `KeyProbe::<T>::KEY`, empty where it takes none.
pub struct KeyProbe<T>(PhantomData<T>);

impl<T, K: StreamKey> KeyProbe<Event<T, K>> {
    /// Name of the key's type.
    pub const KEY: &'static str = K::NAME;
}

impl<T, K: StreamKey> KeyProbe<Stream<T, K>> {
    /// Name of the key's type.
    pub const KEY: &'static str = K::NAME;
}

impl<K: StreamKey> KeyProbe<Key<K>> {
    /// Name of the key's type.
    pub const KEY: &'static str = K::NAME;
}

/// Every other parameter.
pub trait TakesNoKey {
    /// None.
    const KEY: &'static str = "";
}

impl<T> TakesNoKey for KeyProbe<T> {}

/// Whether a type is a table: `TableProbe::<T>::IS_ONE`.
pub struct TableProbe<T>(PhantomData<T>);

impl<T: TableSpec> TableProbe<T> {
    /// It is.
    pub const IS_ONE: bool = true;
}

/// Every other type.
pub trait IsNoTable {
    /// It is not.
    const IS_ONE: bool = false;
}

impl<T> IsNoTable for TableProbe<T> {}

/// Text that is put together while the program compiles; what is too long is cut.
struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Text {
            bytes: [0; 512],
            len: 0,
        }
    }

    const fn and(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "the keys are of two types",
        }
    }
}

const fn is(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Compiles only if the keys that a parameter takes are those of its topic; `Bytes` are the wire form of any.
#[track_caller]
pub const fn same_key((parameter, takes): (&str, &str), (topic, has): (&str, &str)) {
    if is(takes, "") || is(takes, has) || is(takes, "Bytes") || is(has, "Bytes") {
        return;
    }
    let text = Text::new()
        .and("`")
        .and(parameter)
        .and("` has keys of type `")
        .and(takes)
        .and("`, and those of topic `")
        .and(topic)
        .and("` are of type `")
        .and(has)
        .and("`: write `Event<_, ")
        .and(has)
        .and(">`, `Stream<_, ")
        .and(has)
        .and(">` or `Key<")
        .and(has)
        .and(">`");
    panic!("{}", text.as_str());
}

/// Compiles only if the sides of a join are topics, and it says how far apart in time two records may be.
#[track_caller]
pub const fn join_of_topics(left: (&str, bool), right: (&str, bool), has_within: bool) {
    if left.1 && right.1 {
        panic!(
            "joins of two tables are not supported yet; the page of `#[join]` has a recipe for them, under \"Two tables\""
        );
    }
    if left.1 || right.1 {
        let table = if left.1 { left.0 } else { right.0 };
        let text = Text::new()
            .and("`")
            .and(table)
            .and("` is a table, and a join is of two topics: write an `#[agent]` of the other topic that looks rows up, by its own key in \
                  a `Table<")
            .and(table)
            .and(">`, by any in a `GlobalTable<")
            .and(table)
            .and(">`");
        panic!("{}", text.as_str());
    }
    if !has_within {
        panic!("a join needs `within = \"10m\"`: how far apart in time two records may be");
    }
}
