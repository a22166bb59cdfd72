//! A worker inside a program: beside what else its process does.

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

#[cfg(not(feature = "cli"))]
use super::client_settings;
use super::ending::{CliError, CliResult};
use super::local_broker::{BrokerDir, Joined};
use super::plan_lock::{self, Guard, On};
use super::{App, States, WorkerOptions, WorkerRuntime, not_together};
use crate::error::{Error, Kind, counted};
use crate::kafka::Properties;
use crate::web::{Door, Server};
use crate::worker::{Ended, ShutdownSignal};

/// Where state lies unless it is said otherwise.
#[cfg(not(feature = "cli"))]
const DATA_DIR: &str = ".stream";
/// The plan that is kept, unless it is said otherwise.
#[cfg(not(feature = "cli"))]
const PLAN_LOCK: &str = "plan.lock";

/// A worker that is about to run in a program's own runtime.
pub(crate) struct InProcess {
    pub(crate) app: App,
    pub(crate) states: States,
    pub(crate) options: WorkerOptions,
    pub(crate) door: Door,
    /// As configured; without bootstrap servers when the broker of the directory is meant.
    pub(crate) configured: Properties,
    pub(crate) data_dir: PathBuf,
    /// Port of the development broker; `None`: 9092, or another that is free.
    pub(crate) broker_port: Option<u16>,
    pub(crate) guard: Guard,
}

impl InProcess {
    /// Runs the worker until it ends. Dropping the future stops it in order.
    ///
    /// # Errors
    /// It cannot start, cannot go on, or a partition has stopped.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let stop = StopOnDrop(ShutdownSignal::new());
        let (asked, runtime) = (stop.0.clone(), Handle::current());
        let running = tokio::task::spawn_blocking(move || self.work(&asked, &runtime));
        running.await.map_err(|error| {
            Error::new(
                Kind::Internal,
                format!("the worker's thread ended: {error}"),
            )
        })?
    }

    /// Runs it on this thread.
    fn work(self, asked: &ShutdownSignal, runtime: &Handle) -> Result<(), Error> {
        let (app, data_dir) = (&self.app, &self.data_dir);
        let plan = app.plan().map_err(not_together)?;
        let broker = Broker::find(&self.configured, data_dir, self.broker_port)
            .map_err(CliError::into_error)?;
        let mut settings = self.options.settings(app, broker.properties(), data_dir);
        settings.rows_confirmed = self.guard.confirmed;
        self.guard.keep().map_err(CliError::into_error)?;
        let token = self.door.token.clone();
        let worker = WorkerRuntime {
            app,
            web: Server::new(self.door)?,
            token,
            runtime,
        };
        let ended = worker.run(plan, self.states, settings, asked, |_| ());
        broker.leave();
        match failures(&ended?) {
            None => Ok(()),
            Some(text) => Err(Error::new(Kind::Stopped, text)),
        }
    }
}

/// Asks the worker to stop when what waits for it is dropped.
struct StopOnDrop(ShutdownSignal);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Says which broker a worker is to start on, as far as its plan goes.
pub(crate) fn on(configured: &Properties) -> On {
    match configured.bootstrap() {
        Some(_) => On::Named,
        None => On::Development,
    }
}

/// Compares the plan with the one that was kept; what does not fit together is told later.
pub(crate) fn guard(
    app: &App,
    plan_lock: &Path,
    configured: &Properties,
    data_dir: &Path,
) -> CliResult<Guard> {
    match app.plan() {
        Ok(plan) => plan_lock::at_start(app, &plan, plan_lock, data_dir, on(configured)),
        Err(_) => Ok(Guard::default()),
    }
}

/// The broker a worker talks to.
pub(crate) enum Broker {
    /// Named by a setting.
    Configured(Properties),
    /// The one of the directory.
    Local(Properties, Joined),
}

impl Broker {
    pub(crate) fn find(
        configured: &Properties,
        data_dir: &Path,
        port: Option<u16>,
    ) -> CliResult<Broker> {
        if configured.bootstrap().is_some() {
            return Ok(Broker::Configured(configured.clone()));
        }
        let joined = BrokerDir::new(data_dir).join(port)?;
        let mut properties = configured.clone();
        properties.set_broker(&joined.address().to_string());
        Ok(Broker::Local(properties, joined))
    }

    pub(crate) fn properties(&self) -> &Properties {
        match self {
            Broker::Configured(properties) | Broker::Local(properties, _) => properties,
        }
    }

    /// Ends a broker that runs in this process.
    pub(crate) fn leave(self) {
        if let Broker::Local(_, joined) = self {
            joined.leave();
        }
    }
}

/// Says which partitions had stopped, and why; `None`: none.
pub(crate) fn failures(ended: &Ended) -> Option<String> {
    if ended.failed.is_empty() {
        return None;
    }
    let lines: Vec<String> = ended
        .failed
        .iter()
        .map(|(partition, why)| format!("\n  {partition}: {why}"))
        .collect();
    let partitions = counted(lines.len(), "partition");
    Some(format!("{partitions} stopped:{}", lines.concat()))
}

#[cfg(not(feature = "cli"))]
impl App {
    /// Runs a worker inside an existing tokio runtime, with the code's settings alone; dropping the future stops it in
    /// order.
    ///
    /// Its state lies in `.stream`, and it is compared with `plan.lock`, both in the current directory.
    ///
    /// # Errors
    ///
    /// When it cannot start, cannot go on, or a partition has stopped.
    pub async fn run(self) -> Result<(), Error> {
        if !self.mistakes.is_empty() {
            return Err(Error::new(Kind::Configuration, self.mistakes.join("\n")));
        }
        let data_dir = PathBuf::from(DATA_DIR);
        let configured = self.client_settings().map_err(CliError::into_error)?;
        client_settings::check_instance(&configured).map_err(CliError::into_error)?;
        let guard = guard(&self, Path::new(PLAN_LOCK), &configured, &data_dir);
        let worker = InProcess {
            states: self.all_states().make().await?,
            app: self,
            options: WorkerOptions::default(),
            door: Door::default(),
            configured,
            data_dir,
            broker_port: None,
            guard: guard.map_err(CliError::into_error)?,
        };
        worker.run().await
    }
}
