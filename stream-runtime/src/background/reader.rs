//! `TableReader<S>`: the committed rows of a table, from outside its agents.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use chrono::{DateTime, Utc};

use super::route::{Asking, Found, Of, Reads};
use crate::error::Error;
use crate::key::{StreamKey, partition_of, preview};
use crate::table::{
    AllKind, Hopping, InWindow, KeyFor, PlainKind, Scan, Session, Sliding, TableSpec, Tumbling,
    row_key, row_of, windows_of,
};
use crate::topology::TableDescriptor;
use crate::worker::{Answer, Ask};

/// Rows that are asked for at a time, and bytes after which no further one is.
const ROWS: usize = 2_000;
const BYTES: usize = 256 << 10;

/// Reads the committed rows of a table in timers, crontabs, tasks, pages and commands: those of all workers.
///
/// A row is read where its partition runs, by its stream thread between two events, as of the last commit: never half
/// changed, never something that is undone later. If that is not this worker, the one that has the partition is asked
/// over HTTP. A worker that stood still, and may have lost its partitions meanwhile, asks the group before it answers.
/// While a partition moves from one worker to another, a call waits for it, 5 s at most.
///
/// A row is looked for in the partition that its key belongs to. If nothing is there, all others are asked too, for a
/// producer with another partitioner, or an agent whose events have another key, puts rows elsewhere: that there is no
/// row is said only when every partition has said so, and a key that has rows in several of the others is an error. Of
/// a `local` table, where each partition has a row of its own, [`all`](TableReader::all) gives all of them.
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
            let asked = Arc::clone(&rows);
            let asked = asked.ask(S::DESCRIPTOR, Of::Key(wire.clone()), ask.clone(), here);
            let mut row = row_in(asked.await?)?;
            if row.is_none() && !here {
                row = elsewhere(&rows, S::DESCRIPTOR, &wire, &ask).await?;
            }
            let Some((row, owner)) = row else {
                return read(None);
            };
            read(Some(&row)).map_err(|error| {
                let key = preview(&wire);
                error.context(format_args!("key {key}, from the worker at {owner}"))
            })
        })
    }

    /// Reads all rows of the table, partition by partition, wherever they are: `while let Some((key, row)) =
    /// all.next().await? { .. }`. Of a table with windows it gives `(key, InWindow)`, one for each window of a key.
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::web::Path;
    /// # #[table(value = u64)]
    /// # struct Counts;
    /// # #[agent(topic = "words")]
    /// # async fn count(_: String, Key(key): Key<String>, mut counts: Table<Counts>) { counts.update(&key, |n| *n += 1); }
    ///
    /// #[page("/all/{word}")]
    /// async fn show(Path(word): Path<String>, counts: TableReader<Counts>) -> Result<String> {
    ///     let mut rows = counts.all();
    ///     let mut sum = 0;
    ///     while let Some((_, n)) = rows.next().await? {
    ///         sum += n;
    ///     }
    ///     Ok(format!("{sum} in all, asked for {word}"))
    /// }
    /// ```
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

/// A row, and the address of the worker that has it.
type Owned = (Vec<u8>, String);

fn row_in(found: Found) -> Result<Option<Owned>, Error> {
    match found.answer {
        Answer::Row(row) => Ok(row.map(|row| (row, found.owner))),
        Answer::Rows(_) => Err(Error::table("rows were answered where one was asked for")),
    }
}

/// Returns the row of a key whose own partition has none: from the others, all at once, where a producer with another
/// partitioner, or an agent whose events have another key, may have put it.
///
/// # Errors
/// A partition cannot be read, or several have such a row: the text names them.
async fn elsewhere(
    rows: &Arc<dyn Reads>,
    table: &'static TableDescriptor,
    wire: &[u8],
    ask: &Ask,
) -> Result<Option<Owned>, Error> {
    let partitions = Arc::clone(rows).partitions(table).await?;
    let own = partition_of(wire, partitions);
    let others: Vec<i32> = (0..partitions).filter(|other| *other != own).collect();
    let asked = others.iter().map(|other| {
        let rows = Arc::clone(rows);
        rows.ask(table, Of::Partition(*other), ask.clone(), false)
    });
    let mut found: Option<(i32, Owned)> = None;
    for (partition, answer) in others.iter().zip(all_of(asked.collect()).await) {
        let Some(row) = row_in(answer?)? else {
            continue;
        };
        if let Some((other, _)) = found {
            let text = format!(
                "table `{}`: key {} has a row in partition {other} and one in {partition}, and none in {own}, where it belongs: which is meant cannot be said; `all()` gives both",
                table.name,
                preview(wire)
            );
            return Err(Error::table(text));
        }
        found = Some((*partition, row));
    }
    Ok(found.map(|(_, row)| row))
}

/// Waits for all answers; they come in the order of the questions.
async fn all_of(mut asked: Vec<Asking<Found>>) -> Vec<Result<Found, Error>> {
    let mut answers: Vec<Option<_>> = asked.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (asked, answer) in asked.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = asked.as_mut().poll(cx)
            {
                *answer = Some(ready);
            }
        }
        match answers.iter().all(Option::is_some) {
            true => Poll::Ready(answers.drain(..).flatten().collect()),
            false => Poll::Pending,
        }
    })
    .await
}

/// All rows of a table, as they are read: some at a time, so that a table of any size takes little memory. Made by
/// [`TableReader::all`].
///
/// Each partition is read once, from its first to its last row, also when it goes to another worker meanwhile: every
/// row that was there all the time comes once. A row comes as of the last commit before it was read; rows that are
/// changed while the others are read come as they were before or after.
///
/// ```
/// # use stream_runtime::prelude::*;
/// # #[table(key = String)]
/// # #[derive(Clone, Default)]
/// # struct Counts { seen: u64 }
/// # #[agent(topic = "words")]
/// # async fn count(word: Event<String>, mut counts: Table<Counts>) { counts.update(word.key(), |count| count.seen += 1); }
/// #[timer("1m")]
/// async fn sum(counts: TableReader<Counts>) -> Result<()> {
///     let (mut rows, mut seen) = (counts.all(), 0);
///     while let Some((_, count)) = rows.next().await? {
///         seen += count.seen;
///     }
///     println!("{seen} words");
///     Ok(())
/// }
/// ```
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
    /// Returns the next row; `None` after the last row of the last partition.
    ///
    /// # Errors
    ///
    /// A partition cannot be read: the text names it, and who has it. The next call tries the same partition again.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[table(key = String)]
    /// # #[derive(Clone, Default)]
    /// # struct Counts { seen: u64 }
    /// # #[agent(topic = "words")]
    /// # async fn count(word: Event<String>, mut counts: Table<Counts>) { counts.update(word.key(), |count| count.seen += 1); }
    /// #[timer("1m")]
    /// async fn first(counts: TableReader<Counts>) -> Result<()> {
    ///     if let Some((word, count)) = counts.all().next().await? {
    ///         println!("{word}: {}", count.seen);
    ///     }
    ///     Ok(())
    /// }
    /// ```
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
                S::Kind::read_all::<S>(key, row, &mut ready).map_err(|error| {
                    let (partition, owner) = (self.partition, &found.owner);
                    error.context(format_args!(
                        "partition {partition}, from the worker at {owner}"
                    ))
                })?;
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
    /// Returns the row of a key; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Nobody has the key's partition, or who has it does not answer ([`Error::is_stopped`]): the text says who. Where
    /// that partition has no row this goes for every other one too. Or a store does not read.
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::web::Path;
    /// # #[table(value = u64)]
    /// # struct Counts;
    /// # #[agent(topic = "words")]
    /// # async fn count(_: String, Key(key): Key<String>, mut counts: Table<Counts>) { counts.update(&key, |n| *n += 1); }
    ///
    /// #[page("/get/{word}")]
    /// async fn show(Path(word): Path<String>, counts: TableReader<Counts>) -> Result<String> {
    ///     Ok(format!("{:?}", counts.get(&word).await?))
    /// }
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Reading<Option<S::Value>>
    where
        S::Kind: PlainKind,
        S::Key: KeyFor<Q>,
        Q: ?Sized,
    {
        self.ask(0, key, false, |row| row.map(row_of::<S>).transpose())
    }

    /// Returns the row of a key whose partition this worker has; nobody else is asked, and nothing is waited for.
    /// `None`: it is not in that partition, though it may lie in another one, as [`get`](TableReader::get) would find
    /// out.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get); also when the key's partition is with another worker or still recovers.
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::web::Path;
    /// # #[table(value = u64)]
    /// # struct Counts;
    /// # #[agent(topic = "words")]
    /// # async fn count(_: String, Key(key): Key<String>, mut counts: Table<Counts>) { counts.update(&key, |n| *n += 1); }
    ///
    /// #[page("/local/{word}")]
    /// async fn show(Path(word): Path<String>, counts: TableReader<Counts>) -> Result<String> {
    ///     Ok(format!("{:?} here", counts.get_local(&word).await?))
    /// }
    /// ```
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
    /// Returns the row of a key in the newest window that holds `time`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get).
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::web::Path;
    /// # #[table(tumbling = "1h", retention = "1d", value = u64)]
    /// # struct Hours;
    /// # #[agent(topic = "words")]
    /// # async fn count(_: String, Key(key): Key<String>, mut hours: Table<Hours>) { hours.update(&key, |n| *n += 1); }
    ///
    /// #[page("/at/{word}")]
    /// async fn show(Path(word): Path<String>, hours: TableReader<Hours>) -> Result<String> {
    ///     Ok(format!("{:?}", hours.at(&word, Utc::now()).await?))
    /// }
    /// ```
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
    /// Returns the windows of a key, in the order of their ends: those that are open, and those whose `retention` runs,
    /// as [`Table::windows`](crate::Table::windows) had them at the last commit.
    ///
    /// # Errors
    ///
    /// As [`get`](TableReader::get).
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::web::Path;
    /// # #[table(sliding = "1h", retention = "1d", value = u64)]
    /// # struct Hours;
    /// # #[agent(topic = "words")]
    /// # async fn count(_: String, Key(key): Key<String>, mut hours: Table<Hours>) { hours.update(&key, |n| *n += 1); }
    ///
    /// #[page("/windows/{word}")]
    /// async fn show(Path(word): Path<String>, hours: TableReader<Hours>) -> Result<String> {
    ///     let windows = hours.windows(&word).await?;
    ///     Ok(format!("{} windows of {word}", windows.len()))
    /// }
    /// ```
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
