//! The worker's web server: the app's pages, and what there is to see of the worker.
//!
//! A `#[page]` is an axum handler; what it takes and returns is axum's, re-exported here.
//!
//! | file | noun |
//! |---|---|
//! | `door` | where it listens, and who is let in |
//! | `server` | the server; `without` is there when the feature `web` is not |
//! | `page`, `params` | the app's pages and their parameters |
//! | `status`, `gauges` | `/`, `/health`, `/ready`, `/metrics` |
//! | `tables`, `reads` | rows for people, and for other workers |

mod door;
#[cfg(feature = "metrics")]
mod gauges;
mod page;
#[cfg(feature = "web")]
mod params;
#[cfg(feature = "web")]
mod reads;
#[cfg(feature = "web")]
mod server;
#[cfg(feature = "web")]
mod status;
#[cfg(feature = "web")]
mod tables;
#[cfg(not(feature = "web"))]
mod without;
#[cfg(all(feature = "web", not(feature = "metrics")))]
mod without_gauges;

#[cfg(feature = "web")]
pub use axum;
#[cfg(feature = "web")]
pub use axum::Json;
#[cfg(feature = "web")]
pub use axum::extract::{Path, Query, Request};
#[cfg(feature = "web")]
pub use axum::http::{HeaderMap, Method, StatusCode, Uri};
#[cfg(feature = "web")]
pub use axum::response::{Html, IntoResponse, Redirect, Response};

pub(crate) use door::{Door, Port};
#[doc(hidden)]
pub use page::PageDescriptor;
#[cfg(feature = "web")]
#[doc(hidden)]
pub use page::PageFuture;
pub(crate) use page::problems;
#[cfg(feature = "web")]
#[doc(hidden)]
pub use params::{PageBody, PageLast, PageOutput, PageParam, PageParameter};
#[cfg(feature = "web")]
pub(crate) use server::Server;
#[cfg(not(feature = "web"))]
pub(crate) use without::Server;
