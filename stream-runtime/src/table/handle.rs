//! `Table<S>`: what an agent reads and changes.

use std::any::Any;
use std::borrow::Borrow;
use std::hash::Hash;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::rc::Rc;

use super::aligned::AlignedTable;
use super::clock::Hand;
use super::iter::Iter;
use super::key_for::KeyFor;
use super::spec::{PlainKind, TableKind, TableSpec};
use super::typed::TypedPartition;
use super::update::Updates;
use crate::error::{Error, raise};

/// The partition of a table that belongs to the current event.
///
/// Ask for it as a parameter: `mut hours: Table<Hours>` to change it, `hours: Table<Hours>` to read it. A table has
/// one writer. What an event changed is undone when its handler fails, and committed together with its outputs
/// and offsets otherwise. What is changed while no event is in flight belongs to the next one. A store that fails stops
/// the task, not the call.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[table]
/// #[derive(Clone, Default)]
/// struct Counts { seen: u64 }
///
/// #[agent(topic = "words")]
/// async fn count(word: Event<String>, mut counts: Table<Counts>) {
///     counts.update(word.key(), |count| count.seen += 1);
/// }
/// ```
pub struct Table<S> {
    // The table's partition, erased: with a bound on the struct, an `S` that is not a table would be an error at every
    // mention.
    cell: Rc<dyn Any>,
    _of: PhantomData<fn() -> S>,
}

/// One partition of `S`.
type Cell<S> = <<S as TableSpec>::Kind as TableKind>::Cell<S>;

fn wrong() -> ! {
    raise(Error::table("a table of another type")) // `new` is the only way to make one
}

impl<S: TableSpec> Table<S> {
    pub(crate) fn new(cell: Rc<Cell<S>>) -> Self {
        Table {
            cell,
            _of: PhantomData,
        }
    }

    #[inline]
    pub(super) fn cell(&self) -> &Cell<S> {
        self.cell.downcast_ref().unwrap_or_else(|| wrong())
    }

    /// The partition, of a table without windows.
    #[inline]
    fn plain(&self) -> &AlignedTable<S> {
        self.cell.downcast_ref().unwrap_or_else(|| wrong())
    }

    /// Changes a row in place and journals it. A row that does not exist begins with `Default`.
    ///
    /// * plain tables return what the closure returns;
    /// * tumbling windows: the window of the event's time; `Some(result)`, or `None` when the event is late for it;
    /// * session windows: the session that the event's time belongs to, after those it joins have been
    ///   [merged](crate::Merge); `Some(result)`, or `None` when the event is late;
    /// * hopping windows: every window that holds the event's time and is still open; the closure may run several
    ///   times;
    /// * sliding windows: every window that holds the event's time, also those that are over and that later ones begin
    ///   with; the closure may run several times.
    ///
    /// The time of the event decides, never the clock of the machine. With several events in flight, or none, a
    /// windowed table is changed with [`update_at`](Table::update_at): anything else stops the task.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table]
    /// # #[derive(Clone, Default)]
    /// # struct Counts { seen: u64 }
    /// #[agent(topic = "words")]
    /// async fn count(word: Event<String>, mut counts: Table<Counts>) {
    ///     counts.update(word.key(), |count| count.seen += 1);
    /// }
    /// ```
    pub fn update<Q, F>(&mut self, key: &Q, f: F) -> <S::Kind as Updates<S::Value, F>>::Out
    where
        S::Kind: Updates<S::Value, F>,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let clock = self.cell().clock();
        if S::DESCRIPTOR.window.is_some() && clock.hand.get() != Hand::One {
            self.no_time("update", "update_at(&key, time, ..)");
        }
        let time = clock.event_time.get();
        self.change(time, <S::Key as KeyFor<Q>>::form(key), f)
    }

    pub(super) fn change<Q, F>(
        &mut self,
        time: i64,
        key: &Q,
        f: F,
    ) -> <S::Kind as Updates<S::Value, F>>::Out
    where
        S::Kind: Updates<S::Value, F>,
        S::Key: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = S::Key> + ?Sized,
    {
        let cell = self.cell();
        <S::Kind as Updates<S::Value, F>>::run(
            &mut |f| cell.change(time, key, f).unwrap_or_else(|e| raise(e)),
            f,
        )
    }

    /// There is no event whose time could be meant.
    pub(super) fn no_time(&self, method: &str, instead: &str) -> ! {
        let have = match self.cell().clock().hand.get() {
            Hand::Several => "several are in flight",
            _ => "there is none",
        };
        raise(Error::table(format!(
            "table `{}`: `{method}` takes the time of the current event, and {have}: name the time, `{instead}`",
            S::DESCRIPTOR.name
        )))
    }
}

/// Tables without windows. The kind is asked for by each method, which then says what to call instead.
impl<S: TableSpec> Table<S> {
    /// Returns a copy of the row; `None` if there is none.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table]
    /// # #[derive(Clone, Default)]
    /// # struct Counts { seen: u64 }
    /// #[agent(topic = "words")]
    /// async fn count(word: Event<String>, mut counts: Table<Counts>) {
    ///     if counts.get(word.key()).is_none_or(|count| count.seen < 10) {
    ///         counts.update(word.key(), |count| count.seen += 1);
    ///     }
    /// }
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Option<S::Value>
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.read(key, S::Value::clone)
    }

    /// Reads the row without copying it; `None` when there is none.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table]
    /// # #[derive(Clone, Default)]
    /// # struct Counts { seen: u64 }
    /// #[agent(topic = "words")]
    /// async fn count(word: Event<String>, mut counts: Table<Counts>) {
    ///     let seen = counts.read(word.key(), |count| count.seen).unwrap_or(0);
    ///     counts.insert(word.key(), Counts { seen: seen + 1 });
    /// }
    /// ```
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&S::Value) -> R) -> Option<R>
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let key = <S::Key as KeyFor<Q>>::form(key);
        self.plain().read_at(0, key, f).unwrap_or_else(|e| raise(e))
    }

    /// Returns `true` if there is such a row.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table]
    /// # #[derive(Clone, Default)]
    /// # struct Counts { seen: u64 }
    /// #[agent(topic = "words")]
    /// async fn count(word: Event<String>, mut counts: Table<Counts>) {
    ///     if !counts.contains(word.key()) {
    ///         counts.insert(word.key(), Counts { seen: 1 });
    ///     }
    /// }
    /// ```
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.read(key, |_| ()).is_some()
    }

    /// Sets the row and returns the one before.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table]
    /// # #[derive(Clone, Default)]
    /// # struct Counts { seen: u64 }
    /// #[agent(topic = "words")]
    /// async fn count(word: Event<String>, mut counts: Table<Counts>) {
    ///     let before = counts.insert(word.key(), Counts { seen: 1 });
    ///     assert!(before.is_none_or(|count| count.seen > 0));
    /// }
    /// ```
    pub fn insert<Q>(&mut self, key: &Q, value: S::Value) -> Option<S::Value>
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let key = <S::Key as KeyFor<Q>>::form(key);
        self.plain()
            .replace(key, Some(value))
            .unwrap_or_else(|e| raise(e))
    }

    /// Reads all rows of this partition in the order of their keys, as copies. Rows beyond the cache are read from the
    /// store in chunks, and do not take the place of others in the cache.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(value = u64)] struct WordCounts;
    /// #[agent(topic = "questions", sink = "answers")]
    /// async fn most(_: String, counts: Table<WordCounts>) -> Option<String> {
    ///     let (word, _) = counts.iter().max_by_key(|(_, n)| *n)?;
    ///     Some(word)
    /// }
    /// ```
    pub fn iter(&self) -> Iter<'_, S>
    where
        S::Kind: PlainKind,
    {
        self.range(..)
    }

    /// Reads the rows whose keys are in a range, in the order of their keys: text by its bytes, numbers by their value.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(key = u32, value = u64)] struct Scores;
    /// #[agent(topic = "questions", sink = "answers")]
    /// async fn sum(_: String, scores: Table<Scores>) -> String {
    ///     let sum: u64 = scores.range(100..200).map(|(_, score)| score).sum();
    ///     sum.to_string()
    /// }
    /// ```
    pub fn range(&self, keys: impl RangeBounds<S::Key>) -> Iter<'_, S>
    where
        S::Kind: PlainKind,
    {
        Iter::new(
            &self.plain().rows,
            keys.start_bound().cloned(),
            keys.end_bound().cloned(),
        )
    }
}
