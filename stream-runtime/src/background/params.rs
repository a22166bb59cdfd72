//! What a function beside the streams may ask for and return.

use std::any::TypeId;

use super::{BackgroundContext, TableReader};
use crate::error::{Error, Failure, Kind};
use crate::handler::{Due, State, TopicSpec};
use crate::producer::Producer;
use crate::table::{GlobalSpec, GlobalTable, TableSpec};
use crate::topology::Edge;

/// A parameter of type `T`: what it ties the function to, and how it is made.
///
/// Its type is asked for its traits here and nowhere else, so that a wrong one is one error.
pub struct JobParameter<T> {
    edge: fn() -> Option<Edge>,
    make: fn(&BackgroundContext) -> Result<T, Error>,
}

impl<T: JobParam> JobParameter<T> {
    /// That of the type.
    pub const fn of() -> Self {
        JobParameter {
            edge: T::edge,
            make: T::from_worker,
        }
    }
}

impl<T> JobParameter<T> {
    /// What it ties the function to.
    pub const fn edge(&self) -> fn() -> Option<Edge> {
        self.edge
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// When the broker or a resource it needs is not there.
    pub fn make(&self, cx: &BackgroundContext) -> Result<T, Error> {
        (self.make)(cx)
    }
}

/// A parameter of a timer, a crontab or a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be asked for beside the streams",
    label = "not a parameter of a timer, a crontab or a task",
    note = "a timer, a crontab or a task takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S> and Due; a timer or a crontab with `per = \"partition\"` takes what agents take"
)]
pub trait JobParam: Sized {
    /// What it ties the function to.
    fn edge() -> Option<Edge>;

    /// Makes it.
    ///
    /// # Errors
    ///
    /// When the broker or a resource it needs is not there.
    fn from_worker(cx: &BackgroundContext) -> Result<Self, Error>;
}

impl<T: Send + Sync + 'static> JobParam for State<T> {
    fn edge() -> Option<Edge> {
        Some(Edge::State {
            type_id: TypeId::of::<T>,
            name: std::any::type_name::<T>,
        })
    }

    fn from_worker(cx: &BackgroundContext) -> Result<Self, Error> {
        cx.state::<T>().map(State::from_arc).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            Error::new(Kind::Topology, format!("nobody makes a State<{name}>"))
        })
    }
}

impl<S: TopicSpec> JobParam for Producer<S> {
    fn edge() -> Option<Edge> {
        Some(Edge::Sends(S::DESCRIPTOR))
    }

    fn from_worker(cx: &BackgroundContext) -> Result<Self, Error> {
        Producer::new(cx.outlet()?)
    }
}

impl<S: TableSpec> JobParam for TableReader<S> {
    fn edge() -> Option<Edge> {
        Some(Edge::Table {
            table: S::DESCRIPTOR,
            writes: false,
        })
    }

    fn from_worker(cx: &BackgroundContext) -> Result<Self, Error> {
        Ok(TableReader::new(cx.rows()))
    }
}

impl<S: GlobalSpec> JobParam for GlobalTable<S> {
    fn edge() -> Option<Edge> {
        Some(Edge::Global(S::DESCRIPTOR))
    }

    fn from_worker(cx: &BackgroundContext) -> Result<Self, Error> {
        cx.global()
    }
}

impl JobParam for Due {
    fn edge() -> Option<Edge> {
        None
    }

    fn from_worker(cx: &BackgroundContext) -> Result<Self, Error> {
        let due = cx.due();
        due.map(Due)
            .ok_or_else(|| Error::new(Kind::Internal, "a call beside the streams had no time"))
    }
}

/// What a timer, a crontab or a task may return.
#[diagnostic::on_unimplemented(
    message = "a function beside the streams cannot return `{Self}`",
    label = "neither `()` nor a `Result<()>`",
    note = "a timer, a crontab or a task returns () or Result<()>; to send something, ask for a `Producer<S>` (per partition: a `Topic<S>`)"
)]
pub trait JobOutput {
    /// The failure, if it is one.
    ///
    /// # Errors
    ///
    /// The function's own.
    fn finish(self) -> Result<(), Failure>;
}

impl JobOutput for () {
    fn finish(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure>> JobOutput for Result<(), E> {
    fn finish(self) -> Result<(), Failure> {
        self.map_err(Into::into)
    }
}
