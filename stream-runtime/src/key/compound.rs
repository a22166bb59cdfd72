//! Keys of several parts, and keys that may be missing.
//!
//! A tuple is its parts in ordered form. All but the last are escaped (`00` becomes `00 FF`) and end in `00 00`, so
//! that no part runs into the next and a short part sorts before a longer one that it starts.

use super::{KeyError, StreamKey, present, text};
use serde_json::Value;

const ESCAPE: u8 = 0xff;

impl<K: StreamKey> StreamKey for Option<K> {
    const NAME: &'static str = K::NAME;
    const OPTIONAL: bool = true;

    fn encode(&self, out: &mut Vec<u8>) {
        if let Some(key) = self {
            key.encode(out);
        }
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        bytes.map(|bytes| K::decode(Some(bytes))).transpose()
    }

    fn encode_ordered(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(key) = self {
            key.encode_ordered(out);
        }
    }

    fn decode_ordered(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes {
            [0] => Ok(None),
            [1, key @ ..] => K::decode_ordered(key).map(Some),
            _ => Err(KeyError::form(Self::NAME)),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "(none)".to_owned(), K::show)
    }

    fn has_part(&self, wire: &[u8]) -> bool {
        self.as_ref().is_some_and(|key| key.has_part(wire))
    }

    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, K::to_json)
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        match value {
            Value::Null => Ok(None),
            value => K::from_json(value).map(Some),
        }
    }
}

impl<A: StreamKey, B: StreamKey> StreamKey for (A, B) {
    const NAME: &'static str = "a tuple of two";

    fn encode(&self, out: &mut Vec<u8>) {
        write_part(&self.0, out);
        self.1.encode_ordered(out);
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        let mut rest = present(bytes)?;
        let first = read_part(&mut rest, Self::NAME)?;
        Ok((first, B::decode_ordered(rest)?))
    }

    fn show(&self) -> String {
        format!("({}, {})", self.0.show(), self.1.show())
    }

    fn has_part(&self, wire: &[u8]) -> bool {
        is_part(&self.0, wire) || is_part(&self.1, wire)
    }

    fn to_json(&self) -> Value {
        Value::from(vec![self.0.to_json(), self.1.to_json()])
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        let parts = text::parts(value, Self::NAME, 2)?;
        Ok((A::from_json(&parts[0])?, B::from_json(&parts[1])?))
    }
}

impl<A: StreamKey, B: StreamKey, C: StreamKey> StreamKey for (A, B, C) {
    const NAME: &'static str = "a tuple of three";

    fn encode(&self, out: &mut Vec<u8>) {
        write_part(&self.0, out);
        write_part(&self.1, out);
        self.2.encode_ordered(out);
    }

    fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
        let mut rest = present(bytes)?;
        let first = read_part(&mut rest, Self::NAME)?;
        let second = read_part(&mut rest, Self::NAME)?;
        Ok((first, second, C::decode_ordered(rest)?))
    }

    fn show(&self) -> String {
        let (a, b, c) = self;
        format!("({}, {}, {})", a.show(), b.show(), c.show())
    }

    fn has_part(&self, wire: &[u8]) -> bool {
        is_part(&self.0, wire) || is_part(&self.1, wire) || is_part(&self.2, wire)
    }

    fn to_json(&self) -> Value {
        Value::from(vec![self.0.to_json(), self.1.to_json(), self.2.to_json()])
    }

    fn from_json(value: &Value) -> Result<Self, KeyError> {
        let parts = text::parts(value, Self::NAME, 3)?;
        Ok((
            A::from_json(&parts[0])?,
            B::from_json(&parts[1])?,
            C::from_json(&parts[2])?,
        ))
    }
}

/// Whether a part has this wire form, or a part of it has.
fn is_part<K: StreamKey>(part: &K, wire: &[u8]) -> bool {
    let mut own = Vec::new();
    part.encode(&mut own);
    (!part.is_absent() && own == wire) || part.has_part(wire)
}

/// Appends a part that is followed by another: escaped in place, then terminated.
fn write_part<K: StreamKey>(part: &K, out: &mut Vec<u8>) {
    let start = out.len();
    part.encode_ordered(out);
    let zeros = out[start..].iter().filter(|byte| **byte == 0).count();
    let end = out.len();
    out.resize(end + zeros, 0);
    // From the back, so that nothing is overwritten before it is moved.
    let mut to = out.len();
    for from in (start..end).rev() {
        let byte = out[from];
        if byte == 0 {
            to -= 1;
            out[to] = ESCAPE;
        }
        to -= 1;
        out[to] = byte;
    }
    out.extend_from_slice(&[0, 0]);
}

/// Takes an escaped part and its terminator off the front.
fn read_part<K: StreamKey>(rest: &mut &[u8], name: &'static str) -> Result<K, KeyError> {
    let mut part = Vec::new();
    let mut at = 0;
    loop {
        match rest.get(at..at + 2) {
            Some([0, 0]) => break,
            Some([0, ESCAPE]) => {
                part.push(0);
                at += 2;
            }
            Some([0, _]) | None => return Err(KeyError::form(name)),
            Some([byte, _]) => {
                part.push(*byte);
                at += 1;
            }
            Some(_) => return Err(KeyError::form(name)),
        }
    }
    *rest = &rest[at + 2..];
    K::decode_ordered(&part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ordered<K: StreamKey>(key: &K) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode_ordered(&mut out);
        out
    }

    fn holds<K: StreamKey + std::fmt::Debug>(a: &K, b: &K) {
        let mut wire = b"before".to_vec();
        a.encode(&mut wire);
        assert_eq!(&K::decode(Some(&wire[6..])).unwrap(), a);
        assert_eq!(&K::decode_ordered(&ordered(a)).unwrap(), a);
        assert_eq!(ordered(a).cmp(&ordered(b)), a.cmp(b), "{a:?} {b:?}");
    }

    proptest! {
        #[test]
        fn ordered_forms_sort_as_the_values_do(
            text in any::<(String, String)>(), signed in any::<(i64, i64)>(), small in any::<(i8, i8)>(),
            pair in any::<((String, i32), (String, i32))>(),
            triple in any::<((String, Option<u8>, bool), (String, Option<u8>, bool))>(),
            near in "[\0a\u{1}]{0,4}", near2 in "[\0a\u{1}]{0,4}", n in any::<i16>(),
        ) {
            holds(&text.0, &text.1);
            holds(&signed.0, &signed.1);
            holds(&small.0, &small.1);
            holds(&pair.0, &pair.1);
            holds(&triple.0, &triple.1);
            holds(&(near.clone(), n), &(near2.clone(), n));
            holds(&((near.clone(), near2.clone()), n), &((near2.clone(), near.clone()), n));
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = <(String, u16)>::decode(Some(&bytes));
            let _ = <(String, (u8, String), Option<i8>)>::decode(Some(&bytes));
            let _ = Option::<(u8, u8)>::decode_ordered(&bytes);
        }
    }

    #[test]
    fn a_key_is_shown_as_it_is_meant() {
        assert_eq!(
            ("a".to_owned(), 7_i64, None::<u8>).show(),
            "(\"a\", 7, (none))"
        );
        assert_eq!(bytes::Bytes::from_static(&[0, 255]).show(), "0x00ff");
    }

    #[test]
    fn a_part_is_known_by_its_wire_form() {
        let key = ("a".to_owned(), (258_i32, Some(true)));
        assert!(key.has_part(b"a") && key.has_part(&[0, 0, 1, 2]) && key.has_part(&[1]));
        assert!(!key.has_part(b"b") && !(None::<u8>, 1_u8).has_part(&[]));
    }

    #[test]
    fn a_missing_key_is_a_value_of_an_option() {
        assert_eq!(Option::<u8>::decode(None), Ok(None));
        assert_eq!(Option::<u8>::decode(Some(&[7])), Ok(Some(7)));
        assert!(None::<u8>.is_absent() && !Some(7_u8).is_absent());
        assert!(<(u8, u8)>::decode(None).unwrap_err().is_missing());
    }
}
