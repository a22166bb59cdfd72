//! `AppHandle`: what a command of the app can do with it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::args::{Global, WorkerArgs};
use super::connection;
use super::error::CliError;
use super::readers::{self, Readers};
use super::records::{ReadRecord, ReadTopic, Records};
use super::worker;
use crate::app::in_process::{self, InProcess};
use crate::app::plan_lock::Guard;
use crate::app::{App, States};
use crate::background::Router;
use crate::error::Error;
use crate::handler::TopicSpec;
use crate::kafka::Properties;
use crate::producer::{Outlet, Producer};
use crate::sync::Mutex;
use crate::table::AnyReplica;
use crate::topology::TableDescriptor;
use crate::worker::Followed;

/// The app from inside one of its commands: its broker, its topics, a worker.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[command]
/// async fn look(app: AppHandle) -> Result<()> {
///     println!("{} keeps its state in {}", app.name(), app.data_dir().display());
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct AppHandle {
    inner: Arc<Inner>,
}

struct Inner {
    app: App,
    global: Global,
    /// As configured, or of the scratch broker.
    properties: Properties,
    states: States,
    outlet: Mutex<Option<Arc<Outlet>>>,
    readers: Mutex<Option<Readers>>,
    /// Global tables that the command has asked for.
    globals: Mutex<HashMap<&'static str, Followed>>,
    scratch: Mutex<Option<connection::Scratch>>,
}

impl AppHandle {
    pub(super) fn new(app: &App, global: &Global, properties: &Properties, states: States) -> Self {
        let inner = Inner {
            app: app.clone(),
            global: global.clone(),
            properties: properties.clone(),
            states,
            outlet: Mutex::default(),
            readers: Mutex::default(),
            globals: Mutex::default(),
            scratch: Mutex::default(),
        };
        AppHandle {
            inner: Arc::new(inner),
        }
    }

    /// Returns the app's name.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     println!("{}", app.name());
    ///     Ok(())
    /// }
    /// ```
    pub fn name(&self) -> &str {
        &self.inner.app.name
    }

    /// Returns the broker's address: the configured one, else that of the broker that runs for this directory.
    ///
    /// # Errors
    ///
    /// When none is configured and none runs; the text says how to start one.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     println!("{}", app.broker()?);
    ///     Ok(())
    /// }
    /// ```
    pub fn broker(&self) -> Result<String, Error> {
        let properties = self.client()?;
        Ok(properties.bootstrap().unwrap_or_default().to_owned())
    }

    /// Returns the directory in which the app keeps its files.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     println!("{}", app.data_dir().display());
    ///     Ok(())
    /// }
    /// ```
    pub fn data_dir(&self) -> &Path {
        &self.inner.global.data_dir
    }

    /// Starts the same app on a broker and in a directory of its own, which are gone when the last handle is: for
    /// demos.
    ///
    /// # Errors
    ///
    /// When the broker cannot be started.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     let demo = app.scratch()?;
    ///     demo.producer::<Orders>()?.send("ann", "tea".to_owned()).await?;
    ///     demo.worker().until_caught_up().run().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn scratch(&self) -> Result<AppHandle, Error> {
        let scratch = connection::Scratch::start().map_err(CliError::into_error)?;
        let mut properties = Properties::default();
        properties.set_broker(&scratch.address().to_string());
        let mut global = self.inner.global.clone();
        global.data_dir = scratch.data_dir().to_owned();
        let inner = Inner {
            app: self.inner.app.clone(),
            global,
            properties,
            states: self.inner.states.clone(),
            outlet: Mutex::default(),
            readers: Mutex::default(),
            globals: Mutex::default(),
            scratch: Mutex::new(Some(scratch)),
        };
        Ok(AppHandle {
            inner: Arc::new(inner),
        })
    }

    /// Creates a worker of the app, to be run in this process.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     app.worker().until_caught_up().run().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn worker(&self) -> WorkerRun {
        let args = WorkerArgs {
            threads: None,
            processing_guarantee: None,
            commit_interval: None,
            shutdown_timeout: None,
            plan_lock: "plan.lock".into(),
            instance_id: None,
            broker_port: None,
            web_port: None,
            web_bind: None,
            advertise: None,
            web_tables: false,
            // The command has the process; a worker of it is seen through the handle.
            without_web: true,
            until_caught_up: false,
            on_foreign_commit: None,
            commit_events: None,
            store_interval: None,
        };
        WorkerRun {
            handle: self.clone(),
            args,
        }
    }

    /// Creates a producer to the topic of `S`, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// When there is no broker, or it refuses.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     app.producer::<Orders>()?.send("ann", "tea".to_owned()).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn producer<S: TopicSpec>(&self) -> Result<Producer<S>, Error> {
        Producer::new(self.outlet()?)
    }

    /// Reads the committed records of a topic from its beginning, and those that come; of `Option<MyTopic>` the
    /// tombstones too, as `None`.
    ///
    /// # Errors
    ///
    /// When there is no broker.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     let mut orders = app.records::<Orders>()?;
    ///     let order = orders.next().await?;
    ///     println!("{}: {}", order.key, order.value);
    ///     Ok(())
    /// }
    /// ```
    pub fn records<S: ReadTopic>(&self) -> Result<Records<S>, Error> {
        Records::start(self.client()?, &self.inner.app.id(), false)
    }

    /// Reads the committed records that a topic has now, partition by partition; of `Option<MyTopic>` the tombstones
    /// too, as `None`.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # #[record] struct Customer { name: String }
    /// #[topic("customers", value = Customer, compact)]
    /// struct Customers;
    ///
    /// /// Prints who is there, and who is gone
    /// #[command]
    /// async fn who(app: AppHandle) -> Result<()> {
    ///     for record in app.all_records::<Option<Customers>>().await? {
    ///         match &record.value {
    ///             Some(customer) => println!("{}: {}", record.key, customer.name),
    ///             None => println!("{} is gone", record.key),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no broker or no such topic, or a record does not decode.
    pub async fn all_records<S: ReadTopic>(
        &self,
    ) -> Result<Vec<ReadRecord<<S::Topic as TopicSpec>::Key, S::Value>>, Error> {
        Records::<S>::start(self.client()?, &self.inner.app.id(), true)?
            .all()
            .await
    }

    pub(crate) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.inner.states.get::<T>()
    }

    /// Delivers what was sent, and ends a broker of its own.
    pub(super) async fn finish(&self) -> Result<(), Error> {
        let outlet = self.inner.outlet.lock().take();
        let (readers, globals) = (&self.inner.readers, &self.inner.globals);
        // They follow the broker, which may go away with the scratch directory.
        drop(readers.lock().take());
        let followed = std::mem::take(&mut *globals.lock());
        drop(followed);
        let flushed = match outlet {
            Some(outlet) => outlet.flush().await,
            None => Ok(()),
        };
        if let Some(scratch) = self.inner.scratch.lock().take() {
            scratch.stop();
        }
        flushed
    }

    /// The way to rows of the workers' tables.
    pub(super) fn router(&self) -> Result<Arc<Router>, Error> {
        let readers = &self.inner.readers;
        let mut readers = readers.lock();
        if let Some(readers) = &*readers {
            return Ok(Arc::clone(&readers.router));
        }
        let made = Readers::start(&self.inner.app, &self.client()?, self.inner.global.token()?)?;
        Ok(Arc::clone(&readers.insert(made).router))
    }

    /// The rows of a global table, as they are on the broker now and from now on.
    pub(super) fn global(
        &self,
        table: &'static TableDescriptor,
    ) -> Result<Arc<dyn AnyReplica>, Error> {
        let globals = &self.inner.globals;
        let mut globals = globals.lock();
        if let Some(followed) = globals.get(table.name) {
            return Ok(followed.replica());
        }
        let (app, properties) = (&self.inner.app, self.client()?);
        let read = || readers::global(app, &properties, table);
        let followed = tokio::task::block_in_place(read)?;
        let replica = followed.replica();
        globals.insert(table.name, followed);
        Ok(replica)
    }

    pub(super) fn client(&self) -> Result<Properties, Error> {
        connection::client(&self.inner.properties, &self.inner.global.data_dir)
            .map_err(CliError::into_error)
    }

    fn outlet(&self) -> Result<Arc<Outlet>, Error> {
        let mut outlet = self.inner.outlet.lock();
        if let Some(outlet) = &*outlet {
            return Ok(Arc::clone(outlet));
        }
        let app = &self.inner.app;
        let made = Outlet::new(&self.client()?, app.new_topics)?;
        Ok(Arc::clone(outlet.insert(made)))
    }
}

/// A worker that is about to run; see [`AppHandle::worker`].
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("orders", key = String, value = String)]
/// struct Orders;
///
/// #[command]
/// async fn look(app: AppHandle) -> Result<()> {
///     app.worker().threads(2).until_caught_up().run().await?;
///     Ok(())
/// }
/// ```
#[must_use = "a worker runs with `run`"]
pub struct WorkerRun {
    handle: AppHandle,
    args: WorkerArgs,
}

impl WorkerRun {
    /// Ends once everything there is has been processed and committed, and windows that `idle` can close are closed.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     app.worker().until_caught_up().run().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn until_caught_up(mut self) -> Self {
        self.args.until_caught_up = true;
        self
    }

    /// Sets the number of stream threads, 1 to 256. Default: the number of cores.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     app.worker().threads(2).run().await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn threads(mut self, threads: u16) -> Self {
        self.args.threads = Some(threads.clamp(1, 256));
        self
    }

    /// Runs it until it ends. Dropping the future asks it to stop in order.
    ///
    /// # Errors
    ///
    /// When it cannot start, cannot go on, or a partition has stopped.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// #[topic("orders", key = String, value = String)]
    /// struct Orders;
    ///
    /// #[command]
    /// async fn look(app: AppHandle) -> Result<()> {
    ///     app.worker().until_caught_up().run().await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn run(self) -> Result<(), Error> {
        let inner = &self.handle.inner;
        let (app, states) = (inner.app.clone(), inner.states.clone());
        let scratch = inner.scratch.lock().is_some();
        let guard = match scratch {
            // Its state is gone with it.
            true => Guard::default(),
            false => in_process::guard(
                &app,
                &self.args.plan_lock,
                &inner.properties,
                &inner.global.data_dir,
            )
            .map_err(CliError::into_error)?,
        };
        let worker = InProcess {
            app,
            states,
            options: self.args.options(),
            door: worker::door(&self.args, inner.global.token()?),
            configured: inner.properties.clone(),
            data_dir: inner.global.data_dir.clone(),
            broker_port: self.args.broker_port,
            guard,
        };
        worker.run().await
    }
}
