//! The worker's web server: the app's pages, and what there is to see of the worker.
//!
//! A `#[page]` is an axum handler; what it takes and returns is axum's, re-exported here.
//!
//! | file | noun |
//! |---|---|
//! | `server` | the server, where it listens, who is let in |
//! | `page`, `params` | the app's pages and their parameters |
//! | `status`, `gauges` | `/`, `/health`, `/ready`, `/metrics` |
//! | `tables`, `reads` | rows for people, and for other workers |

mod gauges;
mod page;
mod params;
mod reads;
mod server;
mod status;
mod tables;

pub use axum;
pub use axum::Json;
pub use axum::extract::{Path, Query, Request};
pub use axum::http::{HeaderMap, Method, StatusCode, Uri};
pub use axum::response::{Html, IntoResponse, Redirect, Response};

pub(crate) use page::problems;
#[doc(hidden)]
pub use page::{PageDescriptor, PageFuture};
#[doc(hidden)]
pub use params::{PageBody, PageLast, PageOutput, PageParam, PageParameter};
pub(crate) use server::{Door, Port, Server};
