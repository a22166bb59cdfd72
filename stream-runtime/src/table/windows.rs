//! What `Table<S>` does by windows.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::clock::Hand;
use super::handle::Table;
use super::in_window::InWindow;
use super::key_for::KeyFor;
use super::spec::{TableSpec, WindowedKind};
use super::typed::TypedPartition;
use super::update::Updates;
use crate::error::raise;

/// Tables with windows. The kind is asked for by each method, which then says what is missing.
impl<S: TableSpec> Table<S> {
    /// [`update`](Table::update) by a time that the call names instead of the event's. It is judged late as the event
    /// in flight would be, and does not move stream time.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "seen")]
    /// async fn count(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     hours.update_at(view.key(), view.time(), |hour| hour.views += 1);
    ///     "seen".to_owned()
    /// }
    /// ```
    pub fn update_at<Q, F>(
        &mut self,
        key: &Q,
        time: DateTime<Utc>,
        f: F,
    ) -> <S::Kind as Updates<S::Value, F>>::Out
    where
        S::Kind: WindowedKind + Updates<S::Value, F>,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.change(time.timestamp_millis(), <S::Key as KeyFor<Q>>::form(key), f)
    }

    /// Returns the row [`at`](Table::at) the time of the current event.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "seen")]
    /// async fn count(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     hours.update(view.key(), |hour| hour.views += 1);
    ///     hours.current(view.key()).map_or(0, |hour| hour.views).to_string()
    /// }
    /// ```
    pub fn current<Q>(&self, key: &Q) -> Option<S::Value>
    where
        S::Kind: WindowedKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.read_time(self.event_time("current"), key)
    }

    /// Returns a copy of the row of the newest window that holds the time; `None` if there is none, or its row is gone.
    ///
    /// * tumbling windows: the one that holds it; hopping windows: the one that begins last;
    /// * session windows: the session that holds it, the gap behind its last record included;
    /// * sliding windows: the one that ends with it, so what the last `size` up to that time came to.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "seen")]
    /// async fn count(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     hours.update(view.key(), |hour| hour.views += 1);
    ///     let yesterday = view.time() - std::time::Duration::from_secs(86_400);
    ///     hours.at(view.key(), yesterday).map_or(0, |hour| hour.views).to_string()
    /// }
    /// ```
    pub fn at<Q>(&self, key: &Q, time: DateTime<Utc>) -> Option<S::Value>
    where
        S::Kind: WindowedKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.read_time(time.timestamp_millis(), key)
    }

    /// Returns the row [`at`](Table::at) so long before the time of the current event. Rows of windows that have closed
    /// are there as long as the table's `retention` runs.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "seen")]
    /// async fn count(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     hours.update(view.key(), |hour| hour.views += 1);
    ///     let hour = std::time::Duration::from_secs(3_600);
    ///     hours.delta(view.key(), hour).map_or(0, |before| before.views).to_string()
    /// }
    /// ```
    pub fn delta<Q>(&self, key: &Q, before: Duration) -> Option<S::Value>
    where
        S::Kind: WindowedKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let before = i64::try_from(before.as_millis()).unwrap_or(i64::MAX);
        self.read_time(self.event_time("delta").saturating_sub(before), key)
    }

    /// Returns copies of the key's rows, one a window, in the order of the windows' ends: those that are open, and
    /// those whose `retention` runs.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(tumbling = "1h", retention = "1d")]
    /// # #[derive(Clone, Default)]
    /// # struct Hourly { views: u64 }
    /// #[agent(topic = "views", sink = "seen")]
    /// async fn count(view: Event<String>, mut hours: Table<Hourly>) -> String {
    ///     hours.update(view.key(), |hour| hour.views += 1);
    ///     hours.windows(view.key()).iter().map(|hour| hour.views).sum::<u64>().to_string()
    /// }
    /// ```
    pub fn windows<Q>(&self, key: &Q) -> Vec<InWindow<S::Value>>
    where
        S::Kind: WindowedKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let key = <S::Key as KeyFor<Q>>::form(key);
        self.cell().windows(key).unwrap_or_else(|e| raise(e))
    }

    fn event_time(&self, method: &str) -> i64 {
        let clock = self.cell().clock();
        if clock.hand.get() == Hand::Several {
            self.no_time(method, "at(&key, time)");
        }
        clock.event_time.get()
    }

    fn read_time<Q>(&self, time: i64, key: &Q) -> Option<S::Value>
    where
        S::Kind: WindowedKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let key = <S::Key as KeyFor<Q>>::form(key);
        self.cell().at(time, key).unwrap_or_else(|e| raise(e))
    }
}
