//! What runs beside the streams: timers, crontabs, tasks, and what they can ask for.

mod cx;
mod descriptor;
mod params;
mod reader;
mod run;
mod schedule;

pub use cx::BesideCx;
pub(crate) use cx::Rows;
pub use descriptor::{BesideDescriptor, BesideFuture, When};
pub use params::{BesideOutput, BesideParam, BesideParameter};
pub use reader::TableReader;
pub(crate) use run::{start, unpanicked};
pub(crate) use schedule::Schedule;
