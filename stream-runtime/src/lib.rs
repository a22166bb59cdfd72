//! Runtime.

#[doc(hidden)]
pub mod store;
