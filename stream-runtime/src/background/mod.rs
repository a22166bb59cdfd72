//! What runs beside the streams: timers, crontabs, tasks, and what they can ask for.
//!
//! | file | noun |
//! |---|---|
//! | `descriptor`, `params`, `cx` | a function, its parameters, and what they are made from |
//! | `run` | when functions are called, and again |
//! | `reader`, `lookup` | `TableReader`, and the tables that it finds |
//! | `route`, `client`, `wire`, `token` | whom to ask for a row, and how |

#[cfg(feature = "web")]
mod client;
mod cx;
mod descriptor;
pub(crate) mod lookup;
mod params;
mod reader;
mod route;
mod run;
mod token;
pub(crate) mod wire;
#[cfg(not(feature = "web"))]
mod without_client;

#[cfg(feature = "web")]
pub(crate) use client::Client;
pub use cx::BackgroundContext;
pub(crate) use descriptor::Then;
pub use descriptor::{JobDescriptor, JobFuture, When};
pub use params::{JobOutput, JobParam, JobParameter};
pub use reader::{AllRows, Reading, TableReader};
pub(crate) use route::{Asking, Found, Of, Reads, Router};
pub(crate) use run::{start, unpanicked};
pub(crate) use token::Token;
#[cfg(not(feature = "web"))]
pub(crate) use without_client::Client;
