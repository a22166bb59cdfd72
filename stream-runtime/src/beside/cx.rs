//! What the parameters of functions beside the streams are made from.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::app::Outlet;
use crate::error::{Error, Kind};
use crate::task::States;
use crate::topology::TableDescriptor;
use crate::worker::WorkerHandle;

/// A worker's resources, its way out, and the worker itself. Clones share them.
#[derive(Clone)]
pub struct BesideCx(Arc<Inner>);

struct Inner {
    states: Arc<States>,
    /// `None` when nobody sends.
    outlet: Option<Arc<Outlet>>,
    worker: Arc<WorkerHandle>,
    rows: Rows,
}

/// How committed rows are read: the table, the key's wire form, its layout key.
pub(crate) type Rows =
    Arc<dyn Fn(&'static TableDescriptor, Vec<u8>, Vec<u8>) -> RowFuture + Send + Sync>;

/// A row on its way.
pub(crate) type RowFuture = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, Error>> + Send>>;

impl BesideCx {
    pub(crate) fn new(
        states: Arc<States>,
        outlet: Option<Arc<Outlet>>,
        worker: Arc<WorkerHandle>,
    ) -> Self {
        let handle = Arc::clone(&worker);
        let rows: Rows = Arc::new(move |table, wire, layout| {
            let handle = Arc::clone(&handle);
            Box::pin(async move { handle.read(table, &wire, layout).await })
        });
        Self::reading(states, outlet, worker, rows)
    }

    /// The same with rows from elsewhere.
    pub(crate) fn reading(
        states: Arc<States>,
        outlet: Option<Arc<Outlet>>,
        worker: Arc<WorkerHandle>,
        rows: Rows,
    ) -> Self {
        BesideCx(Arc::new(Inner {
            states,
            outlet,
            worker,
            rows,
        }))
    }

    pub(crate) fn rows(&self) -> Rows {
        Arc::clone(&self.0.rows)
    }

    pub(super) fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let state = self.0.states.get(&TypeId::of::<T>())?;
        Arc::clone(state).downcast().ok()
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
