//! A window that is over.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use chrono::{DateTime, Utc};

use crate::error::{Error, raise};
use crate::record::date;
use crate::table::{HeadRow, TableSpec, WindowedKind};
use crate::window::Window;

/// The final row of a window, handed once to each agent `on_close = S`. It derefs to the row.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[table(tumbling = "1h")]
/// #[derive(Clone, Default)]
/// struct Hourly { views: u64 }
///
/// #[agent(topic = "views")]
/// async fn count(view: Event<String>, mut hours: Table<Hourly>) {
///     hours.update(view.key(), |hour| hour.views += 1);
/// }
///
/// #[agent(on_close = Hourly, sink = "views_by_hour")]
/// async fn report(hour: Closed<Hourly>) -> String {
///     format!("{}: {} from {}", hour.key(), hour.views, hour.start())
/// }
/// ```
pub struct Closed<S> {
    // The table's key and row, erased: with a bound on the struct, an `S` that is not a table would be an error at
    // every mention. One box for a window, not for a record.
    row: Box<dyn Any>,
    start: i64,
    end: i64,
    _of: PhantomData<fn() -> S>,
}

/// Key and value of a row of `S`.
type Row<S> = (<S as TableSpec>::Key, <S as TableSpec>::Value);

impl<S: TableSpec> Deref for Closed<S> {
    type Target = S::Value;

    fn deref(&self) -> &S::Value {
        &self.row().1
    }
}

impl<S: TableSpec> fmt::Debug for Closed<S>
where
    S::Key: fmt::Debug,
    S::Value: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed")
            .field("key", self.key())
            .field("start", &self.start())
            .field("end", &self.end())
            .field("value", &**self)
            .finish()
    }
}

impl<S: TableSpec> Closed<S>
where
    S::Kind: WindowedKind,
{
    /// Creates a closed window for a unit test of an `on_close` agent: one that begins at `start` and is as long as the
    /// table says; a session, as if it had one record.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::at;
    /// # #[table(tumbling = "1h")]
    /// # #[derive(Clone, Default, PartialEq, Debug)]
    /// # struct Hourly { views: u64 }
    /// let hour = Closed::<Hourly>::new("ann".to_owned(), at("2026-01-01T08:00:00Z"), Hourly { views: 7 });
    /// assert_eq!((hour.key().as_str(), hour.views), ("ann", 7));
    /// ```
    pub fn new(key: S::Key, start: DateTime<Utc>, value: S::Value) -> Self {
        let start = start.timestamp_millis();
        let length = match S::DESCRIPTOR.window {
            Some(Window::Session { gap }) => gap + 1,
            Some(Window::Sliding { size }) => size + 1,
            Some(window) => window.size(),
            None => 0,
        };
        Closed {
            row: Box::new((key, value)),
            start,
            end: start + length,
            _of: PhantomData,
        }
    }

    /// Sets another end, as sessions have it.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::at;
    /// # #[table(session = "30m")]
    /// # #[derive(Clone, Default)]
    /// # struct Visit { pages: u64 }
    /// # impl Merge for Visit { fn merge(&mut self, later: Self) { self.pages += later.pages; } }
    /// let start = at("2026-01-01T08:00:00Z");
    /// let visit = Closed::<Visit>::new("ann".to_owned(), start, Visit { pages: 3 }).until(at("2026-01-01T08:10:00Z"));
    /// assert_eq!((visit.end() - visit.start()).num_minutes(), 10);
    /// ```
    pub fn until(mut self, end: DateTime<Utc>) -> Self {
        self.end = end.timestamp_millis();
        self
    }
}

impl<S: TableSpec> Closed<S> {
    pub(crate) fn of(head: HeadRow<S>) -> Self {
        Closed {
            row: Box::new((head.key, head.value)),
            start: head.start,
            end: head.end,
            _of: PhantomData,
        }
    }

    fn row(&self) -> &Row<S> {
        match self.row.downcast_ref() {
            Some(row) => row,
            None => raise(Error::table("a closed window of another table")), // `of` is the only way to make one
        }
    }

    /// First millisecond of the window, and the first one after it.
    pub(crate) fn span(&self) -> (i64, i64) {
        (self.start, self.end)
    }

    /// Returns the row's key.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::at;
    /// # #[table(tumbling = "1h")]
    /// # #[derive(Clone, Default, PartialEq, Debug)]
    /// # struct Hourly { views: u64 }
    /// let hour = Closed::<Hourly>::new("ann".to_owned(), at("2026-01-01T08:00:00Z"), Hourly { views: 7 });
    /// assert_eq!(hour.key(), "ann");
    /// ```
    pub fn key(&self) -> &S::Key {
        &self.row().0
    }

    /// Returns the first instant of the window.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::at;
    /// # #[table(tumbling = "1h")]
    /// # #[derive(Clone, Default, PartialEq, Debug)]
    /// # struct Hourly { views: u64 }
    /// let hour = Closed::<Hourly>::new("ann".to_owned(), at("2026-01-01T08:00:00Z"), Hourly { views: 7 });
    /// assert_eq!(hour.start(), at("2026-01-01T08:00:00Z"));
    /// ```
    pub fn start(&self) -> DateTime<Utc> {
        date(self.start)
    }

    /// Returns the first instant after the window.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::at;
    /// # #[table(tumbling = "1h")]
    /// # #[derive(Clone, Default, PartialEq, Debug)]
    /// # struct Hourly { views: u64 }
    /// let hour = Closed::<Hourly>::new("ann".to_owned(), at("2026-01-01T08:00:00Z"), Hourly { views: 7 });
    /// assert_eq!(hour.end(), at("2026-01-01T09:00:00Z"));
    /// ```
    pub fn end(&self) -> DateTime<Utc> {
        date(self.end)
    }

    /// Returns the row without its envelope.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::at;
    /// # #[table(tumbling = "1h")]
    /// # #[derive(Clone, Default, PartialEq, Debug)]
    /// # struct Hourly { views: u64 }
    /// let hour = Closed::<Hourly>::new("ann".to_owned(), at("2026-01-01T08:00:00Z"), Hourly { views: 7 });
    /// assert_eq!(hour.into_value(), Hourly { views: 7 });
    /// ```
    pub fn into_value(self) -> S::Value {
        match self.row.downcast::<Row<S>>() {
            Ok(row) => row.1,
            Err(_) => raise(Error::table("a closed window of another table")),
        }
    }
}
