//! What runs beside the streams: timers, crontabs, tasks, and what they can ask for.

mod client;
mod cx;
mod descriptor;
pub(crate) mod lookup;
mod params;
mod reader;
mod route;
mod run;
pub(crate) mod wire;

pub(crate) use client::Client;
pub use cx::BesideCx;
pub(crate) use descriptor::Then;
pub use descriptor::{BesideDescriptor, BesideFuture, When};
pub use params::{BesideOutput, BesideParam, BesideParameter};
pub use reader::{AllRows, Reading, TableReader};
pub(crate) use route::{Asking, Found, Of, Reads, Router};
pub(crate) use run::{start, unpanicked};
