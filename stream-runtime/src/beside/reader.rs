//! `TableReader<S>`: the committed rows of a table, from outside its agents.

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::route::{Of, Reads};
use crate::error::Error;
use crate::key::StreamKey;
use crate::table::{
    AllKind, Hopping, InWindow, KeyFor, PlainKind, Scan, Session, Sliding, TableSpec, Tumbling,
    row_key, row_of, windows_of,
};
use crate::worker::{Answer, Ask};

/// Rows that are asked for at a time, and bytes after which no further one is.
const ROWS: usize = 2_000;
const BYTES: usize = 256 << 10;

/// Reads the committed rows of a table in timers, crontabs, tasks, pages and commands: those of all workers.
///
/// A row is read where its partition runs, by its stream thread between two events, as of the last commit: never half
/// changed, never something that is undone later. If that is not this worker, the one that has the partition is asked over
/// HTTP. A worker that stood still, and may have lost its partitions meanwhile, asks the group before it answers. While a
/// partition moves from one worker to another, a call waits for it, 5 s at most.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[table(value = u64)]
/// struct WordCounts;
///
/// #[agent(topic = "words")]
/// async fn count(word: String, Key(key): Key<String>, mut counts: Table<WordCounts>) {
///     counts.update(&key, |n| *n += 1);
/// }
///
/// #[timer("1m", on_leader)]
/// async fn report(counts: TableReader<WordCounts>) -> Result<()> {
///     println!("the: {:?}", counts.get("the").await?);
///     let (mut all, mut words) = (counts.all(), 0);
///     while let Some((_word, n)) = all.next().await? {
///         words += n;
///     }
///     println!("words: {words}");
///     Ok(())
/// }
/// ```
pub struct TableReader<S> {
    rows: Arc<dyn Reads>,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for TableReader<S> {
    fn clone(&self) -> Self {
        TableReader {
            rows: Arc::clone(&self.rows),
            _of: PhantomData,
        }
    }
}

/// What a reader reads, on its way; it borrows neither the reader nor the key.
// No `impl Future`: that would repeat the bounds of its function, and each error with them.
pub type Reading<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl<S: TableSpec> TableReader<S> {
    pub(crate) fn new(rows: Arc<dyn Reads>) -> Self {
        TableReader {
            rows,
            _of: PhantomData,
        }
    }

    /// Asks for the row of a key, which `read` reads; `end` is that of its window.
    fn ask<Q, T>(
        &self,
        end: i64,
        key: &Q,
        here: bool,
        read: fn(Option<&[u8]>) -> Result<T, Error>,
    ) -> Reading<T>
    where
        S::Key: KeyFor<Q>,
        Q: ?Sized,
        T: 'static,
    {
        let key = <S::Key as KeyFor<Q>>::form(key).to_owned();
        let mut wire = Vec::new();
        key.encode(&mut wire);
        let ask = Ask::Row(row_key::<S>(end, &key));
        let rows = Arc::clone(&self.rows);
        Box::pin(async move {
            match rows
                .ask(S::DESCRIPTOR, Of::Key(wire), ask, here)
                .await?
                .answer
            {
                Answer::Row(row) => read(row.as_deref()),
                Answer::Rows(_) => Err(Error::table("rows were answered where one was asked for")),
            }
        })
    }

    /// All rows of the table, partition by partition, wherever they are: `while let Some((key, row)) = all.next().await? { .. }`.
    /// Of a table with windows it gives `(key, InWindow)`, one for each window of a key.
    pub fn all(&self) -> AllRows<S>
    where
        S::Kind: AllKind,
    {
        AllRows {
            rows: Arc::clone(&self.rows),
            partitions: None,
            partition: 0,
            from: Vec::new(),
            ready: VecDeque::new(),
        }
    }
}

/// All rows of a table, as they are read: some at a time, so that a table of any size takes little memory. Made by
/// [`TableReader::all`].
///
/// Each partition is read once, from its first to its last row, also when it goes to another worker meanwhile: every row
/// that was there all the time comes once. A row comes as of the last commit before it was read; rows that are changed
/// while the others are read come as they were before or after.
pub struct AllRows<S: TableSpec>
where
    S::Kind: AllKind,
{
    rows: Arc<dyn Reads>,
    /// `None` as long as nobody has asked.
    partitions: Option<i32>,
    /// That is being read.
    partition: i32,
    from: Vec<u8>,
    ready: VecDeque<Item<S>>,
}

/// What reading all of a table gives.
type Item<S> = <<S as TableSpec>::Kind as AllKind>::Item<S>;

impl<S: TableSpec> AllRows<S>
where
    S::Kind: AllKind,
{
    /// The next row; `None` after the last row of the last partition.
    ///
    /// # Errors
    ///
    /// A partition cannot be read: the text names it, and who has it. The next call tries the same partition again.
    pub async fn next(&mut self) -> Result<Option<Item<S>>, Error> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            let partitions = match self.partitions {
                Some(partitions) => partitions,
                None => {
                    let rows = Arc::clone(&self.rows);
                    let partitions = rows.partitions(S::DESCRIPTOR).await?;
                    *self.partitions.insert(partitions)
                }
            };
            if self.partition >= partitions {
                return Ok(None);
            }
            let scan = Scan {
                from: self.from.clone(),
                key: None,
                rows: ROWS,
                bytes: BYTES,
            };
            let (rows, of) = (Arc::clone(&self.rows), Of::Partition(self.partition));
            let found = rows.ask(S::DESCRIPTOR, of, Ask::Rows(scan), false).await?;
            let Answer::Rows(chunk) = found.answer else {
                return Err(Error::table(
                    "one row was answered where several were asked for",
                ));
            };
            let mut ready = VecDeque::with_capacity(chunk.rows.len());
            for (key, row) in &chunk.rows {
                S::Kind::read_all::<S>(key, row, &mut ready)?;
            }
            self.ready = ready;
            match chunk.next {
                Some(next) => self.from = next,
                None => {
                    self.partition += 1;
                    self.from.clear();
                }
            }
        }
    }
}

/// Tables without windows. The kind is asked for by each method, which then says what to call instead.
impl<S: TableSpec> TableReader<S> {
    /// The row of a key; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Nobody has the key's partition, or who has it does not answer ([`Error::is_stopped`]): the text says who. Or its
    /// store does not read.
    pub fn get<Q>(&self, key: &Q) -> Reading<Option<S::Value>>
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.ask(0, key, false, |row| row.map(row_of::<S>).transpose())
    }

    /// The row of a key whose partition this worker has; nobody else is asked, and nothing is waited for.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get); also when the key's partition is with another worker or still recovers.
    pub fn get_local<Q>(&self, key: &Q) -> Reading<Option<S::Value>>
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.ask(0, key, true, |row| row.map(row_of::<S>).transpose())
    }
}

/// Kinds whose windows lie at the same times for all keys.
#[diagnostic::on_unimplemented(
    message = "a reader finds rows by key and time in tumbling and hopping windows only",
    label = "neither tumbling nor hopping",
    note = "`get` reads a table without windows, `windows` one with session or sliding windows"
)]
pub trait AlignedKind {}
impl AlignedKind for Tumbling {}
impl AlignedKind for Hopping {}

/// Tables whose windows lie at the same times for all keys.
impl<S: TableSpec> TableReader<S> {
    /// The row of a key in the newest window that holds `time`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get).
    pub fn at<Q>(&self, key: &Q, time: DateTime<Utc>) -> Reading<Option<S::Value>>
    where
        S::Kind: AlignedKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        let window = S::DESCRIPTOR.window;
        let start = window.and_then(|window| window.starts(time.timestamp_millis()).last());
        let (Some(window), Some(start)) = (window, start) else {
            return Box::pin(async { Ok(None) });
        };
        let end = start.saturating_add(window.size());
        self.ask(end, key, false, |row| row.map(row_of::<S>).transpose())
    }
}

/// Kinds whose windows follow the records of each key.
#[diagnostic::on_unimplemented(
    message = "a reader lists the windows of a key in tables with session or sliding windows only",
    label = "neither session nor sliding",
    note = "`get` reads a table without windows, `at` one with tumbling or hopping windows"
)]
pub trait FollowingKind {}
impl FollowingKind for Session {}
impl FollowingKind for Sliding {}

/// Tables whose windows follow the records of each key.
impl<S: TableSpec> TableReader<S> {
    /// The windows of a key, in the order of their ends: those that are open, and those whose `retention` runs. What
    /// [`Table::windows`](crate::Table::windows) would have said at the last commit.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get).
    pub fn windows<Q>(&self, key: &Q) -> Reading<Vec<InWindow<S::Value>>>
    where
        S::Kind: FollowingKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.ask(0, key, false, |row| {
            row.map_or_else(|| Ok(Vec::new()), windows_of::<S>)
        })
    }
}
