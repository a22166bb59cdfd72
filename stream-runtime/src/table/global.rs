//! `GlobalTable<S>`: all rows of a table, held by every worker.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use papaya::HashMap;
use tokio::sync::Notify;

use super::description::Description;
use super::key_for::GlobalKeyFor;
use super::layout;
use super::mark::{MARK_TAG, Mark, ROW_TAG};
use super::query::{row_of, row_to_json};
use super::spec::{Plain, TableSpec};
use crate::error::{Error, raise};
use crate::key::StreamKey;
use crate::topology::{GlobalDescriptor, TableDescriptor};

/// All rows of a global table, for lookups by any key, in any agent and beside the streams.
///
/// Every worker holds the rows of all partitions, in memory. They are read before its streams start, and followed from
/// then on: a row is here shortly after the commit that changed it, or, with `source`, after the record came. Reading
/// takes no lock. Agents, timers, crontabs, tasks, pages and commands ask for it as a parameter; nobody writes through
/// it.
///
/// Nobody sees it before it has been read to what was its end when the worker began. A page that is asked before that
/// waits, 5 s at most, and is then answered with 503 and how far it is. A command reads the table's topic by itself,
/// before it begins, and needs no worker for that.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[record]
/// #[derive(Clone, Default)]
/// struct Price { cents: u64 }
///
/// #[topic("prices", value = Price, key = String, compact)]
/// struct Prices;
///
/// /// The topic's records by their key.
/// #[table(global, source = Prices)]
/// struct PriceOf;
///
/// #[agent(topic = "orders", sink = "bills")]
/// async fn bill(item: String, prices: GlobalTable<PriceOf>) -> Option<Price> {
///     prices.get(&item)
/// }
/// ```
pub struct GlobalTable<S> {
    // A `Replica<S>`, erased: with a bound on the struct, an `S` that is not global would be an error at every mention.
    rows: Arc<dyn Any + Send + Sync>,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for GlobalTable<S> {
    fn clone(&self) -> Self {
        GlobalTable {
            rows: Arc::clone(&self.rows),
            _of: PhantomData,
        }
    }
}

impl<S: GlobalSpec> GlobalTable<S> {
    pub(crate) fn new(replica: Arc<Replica<S>>) -> Self {
        GlobalTable {
            rows: replica,
            _of: PhantomData,
        }
    }

    /// That of a replica, whatever its type.
    ///
    /// # Errors
    /// It is one of another table.
    pub(crate) fn of(replica: Arc<dyn AnyReplica>) -> Result<Self, Error> {
        let rows = replica.as_any();
        if !rows.is::<Replica<S>>() {
            let table = S::DESCRIPTOR.name;
            let text = format!("two global tables of the app are called `{table}`");
            return Err(Error::table(text));
        }
        Ok(GlobalTable {
            rows,
            _of: PhantomData,
        })
    }

    #[inline]
    fn replica(&self) -> &Replica<S> {
        match self.rows.downcast_ref() {
            Some(replica) => replica,
            None => raise(Error::table("a global table of another type")), // `new` is the only way to make one
        }
    }

    /// Returns a copy of the row; `None` if there is none.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[topic("names", key = String, value = String)]
    /// # struct Names;
    /// # #[table(global, source = Names)]
    /// # struct NameOf;
    /// #[agent(topic = "ids", sink = "greetings")]
    /// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
    ///     names.get(id.as_str()).unwrap_or_default()
    /// }
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Option<S::Value>
    where
        S::Key: GlobalKeyFor<Q>,
        Q: ?Sized,
    {
        self.read(key, S::Value::clone)
    }

    /// Reads the row without copying it; `None` when there is none.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[topic("names", key = String, value = String)]
    /// # struct Names;
    /// # #[table(global, source = Names)]
    /// # struct NameOf;
    /// #[agent(topic = "ids", sink = "greetings")]
    /// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
    ///     names.read(id.as_str(), |name| format!("Hello {name}")).unwrap_or_default()
    /// }
    /// ```
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&S::Value) -> R) -> Option<R>
    where
        S::Key: GlobalKeyFor<Q>,
        Q: ?Sized,
    {
        let key = <S::Key as GlobalKeyFor<Q>>::form(key);
        self.replica().rows.pin().get(key).map(f)
    }

    /// Waits until there is a row of this key, for as long as `within`; a copy of it, or `None`.
    ///
    /// A global table is not in step with the streams: a row that was sent before a record may be here after it. Where
    /// that matters wait for it: the partition waits too, so let `within` be short, and decide what `None` means. A row
    /// that this partition itself is to make comes only after the call. In a test the time is real.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stream_runtime::prelude::*;
    /// use stream_runtime::testing::TestApp;
    ///
    /// #[record]
    /// #[derive(Clone, Default)]
    /// struct Customer { name: String }
    ///
    /// #[topic("known_customers", value = Customer, key = String, compact)]
    /// struct Customers;
    ///
    /// #[table(global, source = Customers)]
    /// struct CustomerById;
    ///
    /// #[agent(topic = "payments", sink = "alerts")]
    /// async fn alert(card: String, customers: GlobalTable<CustomerById>) -> Result<String> {
    ///     // Not there in 2 s: the event is tried again, and in the end a dead letter.
    ///     let customer = customers.wait_for(&card, Duration::from_secs(2)).await;
    ///     let customer = customer.ok_or("nobody knows this customer")?;
    ///     Ok(format!("call {}", customer.name))
    /// }
    ///
    /// let mut app = TestApp::only((alert,));
    /// app.send("known_customers", "7", Customer { name: "Ann".into() });
    /// app.send("payments", "p1", "7".to_owned());
    /// assert_eq!(*app.sent::<String>("alerts")[0], "call Ann");
    /// ```
    pub async fn wait_for<Q>(&self, key: &Q, within: Duration) -> Option<S::Value>
    where
        S::Key: GlobalKeyFor<Q>,
        Q: ?Sized,
    {
        let there = async {
            loop {
                // Whatever comes from here on is told.
                let mut changed = pin!(self.replica().changed.notified());
                changed.as_mut().enable();
                if let Some(row) = self.get(key) {
                    return row;
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, there).await.ok()
    }

    /// Returns `true` if there is such a row.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[topic("names", key = String, value = String)]
    /// # struct Names;
    /// # #[table(global, source = Names)]
    /// # struct NameOf;
    /// #[agent(topic = "ids", sink = "greetings")]
    /// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
    ///     if names.contains(id.as_str()) { "known".to_owned() } else { "new".to_owned() }
    /// }
    /// ```
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        S::Key: GlobalKeyFor<Q>,
        Q: ?Sized,
    {
        let key = <S::Key as GlobalKeyFor<Q>>::form(key);
        self.replica().rows.pin().contains_key(key)
    }

    /// Returns the number of rows.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[topic("names", key = String, value = String)]
    /// # struct Names;
    /// # #[table(global, source = Names)]
    /// # struct NameOf;
    /// #[agent(topic = "ids", sink = "greetings")]
    /// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
    ///     format!("{} of {}", *id, names.len())
    /// }
    /// ```
    pub fn len(&self) -> usize {
        self.replica().rows.len()
    }

    /// Returns `true` if there are no rows.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[topic("names", key = String, value = String)]
    /// # struct Names;
    /// # #[table(global, source = Names)]
    /// # struct NameOf;
    /// #[agent(topic = "ids", sink = "greetings")]
    /// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
    ///     if names.is_empty() { "nobody".to_owned() } else { id.to_string() }
    /// }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Implemented by `#[table(global)]` for the type it stands on.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("names", key = String, value = String)]
/// struct Names;
///
/// #[table(global, source = Names)]
/// struct NameOf;
///
/// #[agent(topic = "ids", sink = "greetings")]
/// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
///     names.get(id.as_str()).unwrap_or_default()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a global table",
    label = "a worker has only its own partitions of it",
    note = "add `global` to its `#[table(..)]`, or ask for a `Table<{Self}>`"
)]
pub trait GlobalSpec: TableSpec<Key: Send + Sync, Value: Send + Sync, Kind = Plain> {}

/// The rows of a global table on this worker.
pub struct Replica<S: GlobalSpec> {
    rows: HashMap<S::Key, S::Value>,
    take: Take<S>,
    /// Rung for those who wait for a row.
    changed: Notify,
}

/// How a record becomes a row; `Ok(None)` is one that says nothing of the rows.
type Take<S> =
    fn(
        Option<&[u8]>,
        Option<&[u8]>,
    ) -> Result<Option<(<S as TableSpec>::Key, Option<<S as TableSpec>::Value>)>, Error>;

impl<S: GlobalSpec> Replica<S> {
    /// Empty; `take` reads its records. As a descriptor wants it.
    pub(crate) fn boxed(take: Take<S>) -> Box<dyn Any> {
        let replica: Arc<dyn AnyReplica> = Arc::new(Replica::<S> {
            rows: HashMap::new(),
            take,
            changed: Notify::new(),
        });
        Box::new(replica)
    }
}

/// A global table's rows, whatever their types.
pub trait AnyReplica: Send + Sync {
    /// Takes a record of the topic that it follows.
    ///
    /// # Errors
    /// It does not read.
    fn take(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Error>;
    /// Forgets all rows.
    fn clear(&self);
    /// The row of a key, which is given in its ordered form, as people read it.
    ///
    /// # Errors
    /// The bytes are not a key of the table, or the row has no form as JSON.
    fn shown(&self, key: &[u8]) -> Result<Option<serde_json::Value>, Error>;
    /// Returns the number of rows.
    fn rows(&self) -> usize;
    /// Type of the replica, by which the handles find it.
    fn id(&self) -> TypeId;
    /// For the handles.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl fmt::Debug for dyn AnyReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows())
    }
}

impl<S: GlobalSpec> AnyReplica for Replica<S> {
    fn take(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Error> {
        match (self.take)(key, value)? {
            Some((key, Some(row))) => {
                self.rows.pin().insert(key, row);
                self.changed.notify_waiters();
            }
            Some((key, None)) => drop(self.rows.pin().remove(&key)),
            None => {}
        }
        Ok(())
    }

    fn clear(&self) {
        self.rows.pin().clear();
    }

    fn shown(&self, key: &[u8]) -> Result<Option<serde_json::Value>, Error> {
        let key = S::Key::decode_ordered(key)?;
        let rows = self.rows.pin();
        let Some(row) = rows.get(&key) else {
            return Ok(None);
        };
        row_to_json::<S>(row).map(Some)
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn id(&self) -> TypeId {
        TypeId::of::<Self>()
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Makes the replica that a descriptor describes.
///
/// # Errors
/// The table was registered by another version of the runtime.
pub fn replica_of(
    table: &'static TableDescriptor,
    global: GlobalDescriptor,
) -> Result<Arc<dyn AnyReplica>, Error> {
    let made = (global.replica)().downcast::<Arc<dyn AnyReplica>>();
    made.map(|replica| *replica).map_err(|_| {
        Error::table(format!(
            "table `{}` was registered by another version of the runtime: build the app with one version",
            table.name
        ))
    })
}

/// A replica that follows the table's changelog; what `GlobalDescriptor::replica` points to.
pub fn changelog_replica<S: GlobalSpec>() -> Box<dyn Any> {
    Replica::<S>::boxed(|key, value| {
        let table = S::DESCRIPTOR.name;
        match key.unwrap_or_default().split_first() {
            Some((&ROW_TAG, layout)) => {
                let (_, key) = layout::parse::<S::Key>(false, layout, table)?;
                Ok(Some((key, value.map(row_of::<S>).transpose()?)))
            }
            Some((&MARK_TAG, _)) => {
                let mark = value.map(Mark::decode).transpose()?;
                if let Some(was) = mark.and_then(|mark| mark.table) {
                    // The task that owns the rows has asked whether something was renamed.
                    let own = Description::of(S::DESCRIPTOR);
                    own.takes(&Description::decode(&was)?, true)
                        .map_err(|why| Error::table(format!("table `{table}`: {why}")))?;
                }
                Ok(None)
            }
            _ => Err(Error::table(format!(
                "the changelog of table `{table}` holds a record that is not this framework's"
            ))),
        }
    })
}
