//! What the parameters of functions beside the streams are made from.

use std::any::TypeId;
use std::sync::Arc;

use crate::app::Outlet;
use crate::error::{Error, Kind};
use crate::task::States;
use crate::worker::WorkerHandle;

/// A worker's resources, its way out, and the worker itself. Clones share them.
#[derive(Clone)]
pub struct BesideCx(Arc<Inner>);

struct Inner {
    states: Arc<States>,
    /// `None` when nobody sends.
    outlet: Option<Arc<Outlet>>,
    worker: Arc<WorkerHandle>,
}

impl BesideCx {
    pub(crate) fn new(
        states: Arc<States>,
        outlet: Option<Arc<Outlet>>,
        worker: Arc<WorkerHandle>,
    ) -> Self {
        BesideCx(Arc::new(Inner {
            states,
            outlet,
            worker,
        }))
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
