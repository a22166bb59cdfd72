//! MessagePack as it is, whatever type it was written from: to compare two writings of one value, and to show one.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::key::show_bytes;

/// A value of MessagePack. Floats are kept by their bits, so that NaN equals itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tree {
    Nothing,
    Bool(bool),
    Integer(i128),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

/// Where two writings of a value part (`address.city`, `.` for the whole); `None` when they say the same. The entries
/// of maps and sets come in any order: a hash map has another one each time.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> Option<String> {
    let read = |bytes| rmp_serde::from_slice::<Tree>(bytes);
    match (read(a), read(b)) {
        (Ok(a), Ok(b)) => {
            let (a, b) = (a.sorted(), b.sorted());
            let mut path = String::new();
            parts(&a, &b, &mut path).then(|| match path.as_str() {
                "" => ".".to_owned(),
                path => path.trim_start_matches('.').to_owned(),
            })
        }
        _ => (a != b).then(|| ".".to_owned()),
    }
}

/// Whether they differ; `path` leads there.
fn parts(a: &Tree, b: &Tree, path: &mut String) -> bool {
    let length = path.len();
    match (a, b) {
        (Tree::Map(a), Tree::Map(b)) if keys(a).eq(keys(b)) => {
            for ((key, a), (_, b)) in a.iter().zip(b) {
                match key {
                    Tree::Text(key) => *path += &format!(".{key}"),
                    _ => path.push_str("[..]"),
                }
                if parts(a, b, path) {
                    return true;
                }
                path.truncate(length);
            }
            false
        }
        (Tree::List(a), Tree::List(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b) {
                path.push_str("[..]");
                if parts(a, b, path) {
                    return true;
                }
                path.truncate(length);
            }
            false
        }
        (a, b) => a != b,
    }
}

fn keys(map: &[(Tree, Tree)]) -> impl Iterator<Item = &Tree> {
    map.iter().map(|(key, _)| key)
}

impl Tree {
    fn sorted(self) -> Self {
        match self {
            Tree::List(list) => {
                let mut list: Vec<_> = list.into_iter().map(Tree::sorted).collect();
                list.sort();
                Tree::List(list)
            }
            Tree::Map(map) => {
                let entries = map.into_iter().map(|(k, v)| (k.sorted(), v.sorted()));
                let mut map: Vec<_> = entries.collect();
                map.sort();
                Tree::Map(map)
            }
            other => other,
        }
    }

    /// The value as JSON, for people: what JSON has no form for is text.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Tree::Nothing => Value::Null,
            Tree::Bool(is) => Value::from(*is),
            Tree::Integer(n) => match (i64::try_from(*n), u64::try_from(*n)) {
                (Ok(n), _) => Value::from(n),
                (_, Ok(n)) => Value::from(n),
                _ => Value::from(n.to_string()),
            },
            Tree::Float(bits) => {
                let float = f64::from_bits(*bits);
                Number::from_f64(float).map_or_else(|| Value::from(float.to_string()), Value::from)
            }
            Tree::Text(text) => Value::from(text.as_str()),
            Tree::Bytes(bytes) => Value::from(show_bytes(bytes)),
            Tree::List(list) => list.iter().map(Tree::to_json).collect(),
            Tree::Map(map) => {
                let key = |key: &Tree| match key.to_json() {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                let entries = map.iter().map(|(k, v)| (key(k), v.to_json()));
                Value::Object(entries.collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessagePack")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value.to_bits()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Bytes(value.to_vec()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Tree, D::Error> {
        d.deserialize_any(Read)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::{Tree, difference};
    use crate::codec::rows::{decode, encode};
    use std::collections::{BTreeMap, HashSet};

    fn bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out).unwrap();
        out
    }

    #[test]
    fn the_place_where_two_writings_part_is_named() {
        let row = |n: f64| BTreeMap::from([("a", vec![1.0]), ("b", vec![f64::NAN, n])]);
        assert_eq!(difference(&bytes(&row(1.0)), &bytes(&row(1.0))), None);
        let place = difference(&bytes(&row(1.0)), &bytes(&row(2.0)));
        assert_eq!(place.as_deref(), Some("b[..]"));
        assert_eq!(difference(&bytes(&1), &bytes(&"1")).as_deref(), Some("."));
    }

    #[test]
    fn the_order_of_a_hash_set_is_no_difference() {
        let (one, other): (HashSet<u64>, HashSet<u64>) = ((0..99).collect(), (0..99).collect());
        assert_eq!(difference(&bytes(&one), &bytes(&other)), None);
    }

    #[test]
    fn what_json_has_no_form_for_is_shown_as_text() {
        let row = (
            BTreeMap::from([(7_u64, Some(f64::NAN)), (8, None)]),
            serde_json::json!({"name": "ann", "n": [-1, u64::MAX, 1.5, true]}),
        );
        let shown = decode::<Tree>(&bytes(&row)).unwrap().to_json();
        let expected =
            r#"[{"7":"NaN","8":null},{"n":[-1,18446744073709551615,1.5,true],"name":"ann"}]"#;
        assert_eq!(shown.to_string(), expected);
        assert_eq!(Tree::Bytes(vec![0, 255]).to_json(), "0x00ff");
    }
}
