//! Kafka headers of the current event.

use crate::task::headers::decode_headers;

/// Headers of a record in their order; names may repeat.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[agent(topic = "words", sink = "senders")]
/// async fn sender(_: String, headers: Headers) -> String {
///     headers.text("from").unwrap_or("nobody").to_owned()
/// }
/// ```
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

    /// Creates headers without any; `collect` makes them of names and values.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// assert!(Headers::new().is_empty());
    /// let headers: Headers = [("from", "ann"), ("trace", "17")].into_iter().collect();
    /// assert_eq!(headers.text("trace"), Some("17"));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header at the end; `None` is Kafka's null.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// let headers = Headers::new().with("from", Some("ann")).with("trace", None::<&str>);
    /// assert_eq!((headers.text("from"), headers.get("trace"), headers.len()), (Some("ann"), None, 2));
    /// ```
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: Option<impl AsRef<[u8]>>) -> Self {
        let value = value.map(|value| value.as_ref().to_vec());
        self.0.push((name.into(), value));
        self
    }

    /// Returns the value of the last header of this name; `None` if there is none or its value is null.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "lengths")]
    /// async fn look(_: String, headers: Headers) -> String {
    ///     let length: Option<usize> = headers.get("trace").map(<[u8]>::len);
    ///     length.unwrap_or(0).to_string()
    /// }
    /// ```
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(n, _)| n == name)?.1.as_deref()
    }

    /// Returns the same as text; `None` if it is not UTF-8.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "lengths")]
    /// async fn look(_: String, headers: Headers) -> String {
    ///     let length: Option<usize> = headers.text("trace").map(str::len);
    ///     length.unwrap_or(0).to_string()
    /// }
    /// ```
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Returns all headers, in their order.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "lengths")]
    /// async fn look(_: String, headers: Headers) -> String {
    ///     let length: Option<usize> = headers.iter().map(|(name, _)| name.len()).max();
    ///     length.unwrap_or(0).to_string()
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Returns the number of headers.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "lengths")]
    /// async fn look(_: String, headers: Headers) -> String {
    ///     let length: Option<usize> = Some(headers.len());
    ///     length.unwrap_or(0).to_string()
    /// }
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if there is none.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[agent(topic = "words", sink = "lengths")]
    /// async fn look(_: String, headers: Headers) -> String {
    ///     let length: Option<usize> = (!headers.is_empty()).then_some(1);
    ///     length.unwrap_or(0).to_string()
    /// }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let own = |(name, value): (N, V)| (name.into(), Some(value.as_ref().to_vec()));
        Headers(headers.into_iter().map(own).collect())
    }
}
