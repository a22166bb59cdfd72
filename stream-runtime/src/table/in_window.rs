//! The row of one window.

use chrono::{DateTime, Utc};

use crate::record::date;

/// The row of one window, as [`Table::windows`](crate::Table::windows) lists it; derefs to the row, as
/// [`Closed`](crate::Closed) does.
///
/// ```
/// # use stream_runtime::prelude::*;
/// # #[table(tumbling = "1h", retention = "1d")]
/// # #[derive(Clone, Default)]
/// # struct Hourly { views: u64 }
/// #[agent(topic = "views", sink = "hours")]
/// async fn busiest(view: Event<String>, mut hours: Table<Hourly>) -> String {
///     hours.update(view.key(), |hour| hour.views += 1);
///     let hours = hours.windows(view.key());
///     let busiest = hours.iter().max_by_key(|hour| hour.views);
///     busiest.map_or_else(String::new, |hour| format!("{} to {}", hour.start(), hour.end()))
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct InWindow<V> {
    /// Returns the first instant of the window.
    pub start: DateTime<Utc>,
    /// First instant after it.
    pub end: DateTime<Utc>,
    /// The row.
    pub value: V,
}

impl<V> InWindow<V> {
    pub(super) fn new(start: i64, end: i64, value: V) -> Self {
        InWindow {
            start: date(start),
            end: date(end),
            value,
        }
    }

    /// Returns the first instant of the window.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(session = "30m")]
    /// # #[derive(Clone, Default)]
    /// # struct Visits { pages: u64 }
    /// # impl Merge for Visits { fn merge(&mut self, later: Self) { self.pages += later.pages; } }
    /// #[agent(topic = "views", sink = "lengths")]
    /// async fn longest(view: Event<String>, mut visits: Table<Visits>) -> String {
    ///     visits.update(view.key(), |visit| visit.pages += 1);
    ///     let visits = visits.windows(view.key());
    ///     let lengths = visits.iter().map(|visit| (visit.end() - visit.start()).num_seconds());
    ///     lengths.max().unwrap_or(0).to_string()
    /// }
    /// ```
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// Returns the first instant after the window.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "hours")]
    /// async fn busiest(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     hours.update(view.key(), |hour| hour.views += 1);
    ///     let hours = hours.windows(view.key());
    ///     let busiest = hours.iter().max_by_key(|hour| hour.views);
    ///     busiest.map_or_else(String::new, |hour| format!("{} to {}", hour.start(), hour.end()))
    /// }
    /// ```
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }
}

impl<V> std::ops::Deref for InWindow<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_in_its_window_has_a_start_and_an_end_and_is_the_row() {
        let row = InWindow::new(-60_000, 3_600_000, vec![7, 8]);
        assert_eq!(row.start().to_rfc3339(), "1969-12-31T23:59:00+00:00");
        assert_eq!(row.end().to_rfc3339(), "1970-01-01T01:00:00+00:00");
        assert_eq!((row.start(), row.end()), (row.start, row.end));
        assert_eq!((row.len(), row.first(), &*row), (2, Some(&7), &row.value));
        assert_eq!(row, InWindow::new(-60_000, 3_600_000, vec![7, 8]));
        assert_ne!(row, InWindow::new(-60_000, 3_600_001, vec![7, 8]));
    }
}
