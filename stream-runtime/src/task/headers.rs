//! Kafka headers of the event in hand.

use super::inbox::decode_headers;

/// Headers of a record in their order; names may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Option<Vec<u8>>)>);

impl Headers {
    pub(crate) const fn empty() -> Self {
        Headers(Vec::new())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let all = decode_headers(bytes);
        Headers(
            all.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        )
    }

    /// Value of the last header of this name; `None` when there is none or its value is null.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(n, _)| n == name)?.1.as_deref()
    }

    /// The same as text; `None` when it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All headers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Number of headers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
