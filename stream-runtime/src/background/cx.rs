//! What the parameters of functions beside the streams are made from.

use std::any::TypeId;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Client;
use super::route::{Reads, Router};
use crate::error::{Error, Kind};
use crate::producer::Outlet;
use crate::table::{AnyReplica, GlobalSpec, GlobalTable};
use crate::task::States;
use crate::worker::WorkerHandle;

/// Longest wait for the rows of a global table that are being read.
const GLOBAL_ROWS_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks at whether they are complete.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A worker's resources, its way out, and the worker itself. Clones share them.
#[derive(Clone)]
pub struct BackgroundContext(Arc<Inner>, Option<DateTime<Utc>>);

struct Inner {
    /// The app's name on the wire.
    app: String,
    states: Arc<States>,
    /// `None` when nobody sends.
    outlet: Option<Arc<Outlet>>,
    worker: Arc<WorkerHandle>,
    rows: Arc<dyn Reads>,
}

impl BackgroundContext {
    pub(crate) fn new(
        app: &str,
        states: Arc<States>,
        outlet: Option<Arc<Outlet>>,
        worker: Arc<WorkerHandle>,
        client: Client,
    ) -> Self {
        let router = Router::of_worker(app, Arc::clone(&worker), client);
        Self::reading(app, states, outlet, worker, router)
    }

    /// The same with rows from elsewhere.
    pub(crate) fn reading(
        app: &str,
        states: Arc<States>,
        outlet: Option<Arc<Outlet>>,
        worker: Arc<WorkerHandle>,
        rows: Arc<dyn Reads>,
    ) -> Self {
        let inner = Inner {
            app: app.to_owned(),
            states,
            outlet,
            worker,
            rows,
        };
        BackgroundContext(Arc::new(inner), None)
    }

    /// The same for a call that was due at a time.
    pub(crate) fn due_at(&self, due: DateTime<Utc>) -> Self {
        BackgroundContext(Arc::clone(&self.0), Some(due))
    }

    pub(super) fn due(&self) -> Option<DateTime<Utc>> {
        self.1
    }

    pub(crate) fn app(&self) -> &str {
        &self.0.app
    }

    pub(crate) fn rows(&self) -> Arc<dyn Reads> {
        Arc::clone(&self.0.rows)
    }

    pub(super) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let state = self.0.states.get(&TypeId::of::<T>())?;
        Arc::clone(state).downcast().ok()
    }

    /// A global table of this worker.
    ///
    /// # Errors
    /// Its rows are still being read.
    pub(super) fn global<S: GlobalSpec>(&self) -> Result<GlobalTable<S>, Error> {
        let replica = self.0.worker.replicas.get(S::DESCRIPTOR.name)?;
        GlobalTable::of(replica)
    }

    /// The same; while its rows are being read it waits for them, 5 s at most.
    ///
    /// # Errors
    /// They are still being read then, or the worker ends.
    pub(crate) async fn global_in_time<S: GlobalSpec>(&self) -> Result<GlobalTable<S>, Error> {
        GlobalTable::of(self.replica_in_time(S::DESCRIPTOR.name).await?)
    }

    /// The rows of a global table of this worker; waits likewise.
    ///
    /// # Errors
    /// As [`global_in_time`](Self::global_in_time).
    pub(crate) async fn replica_in_time(
        &self,
        table: &'static str,
    ) -> Result<Arc<dyn AnyReplica>, Error> {
        let began = Instant::now();
        loop {
            let replica = self.0.worker.replicas.get(table);
            let waits = matches!(&replica, Err(error) if error.is_stopped());
            if !waits || began.elapsed() > GLOBAL_ROWS_TIMEOUT || self.0.worker.stop.is_asked() {
                return replica;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    pub(super) fn outlet(&self) -> Result<Arc<Outlet>, Error> {
        self.0
            .outlet
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "nobody was known to send"))
    }

    pub(crate) fn worker(&self) -> Arc<WorkerHandle> {
        Arc::clone(&self.0.worker)
    }

    /// Delivers what was sent.
    pub(super) async fn flush(&self) -> Result<(), Error> {
        match &self.0.outlet {
            Some(outlet) => outlet.flush().await,
            None => Ok(()),
        }
    }
}
