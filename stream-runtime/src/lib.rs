//! Stream processing on Apache Kafka from annotated async functions and structs.

// So that the attributes work in this crate as they do in a user's.
#[allow(unused_extern_crates)]
extern crate self as stream_runtime;

#[allow(dead_code)] // until the floors above use all of it
mod codec;
pub mod duration;
#[allow(dead_code)] // until the floors above use all of it
mod error;
#[allow(dead_code, unused_imports)] // until the floors above use all of it
mod kafka;
mod key;
mod record;
#[doc(hidden)]
pub mod store;

pub use error::Action;
pub use error::Error;
pub use error::Failure;
pub use error::Result;
pub use error::ResultExt;
pub use key::KeyError;
pub use key::StreamKey;
pub use record::DecodeError;
pub use record::EncodeError;
pub use record::Record;

/// What an app needs, in one `use`.
pub mod prelude {
    pub use crate::Record;
    pub use crate::Result;
    pub use crate::ResultExt;
    pub use chrono::DateTime;
    pub use chrono::Utc;
    pub use std::process::ExitCode;
}

/// What the attributes expand to. No part of the interface: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::record::Coerce;
    pub use crate::record::EventTime;
    pub use crate::record::coerce::Probe;
    pub use crate::record::coerce::ViaCoerce;
    pub use crate::record::coerce::ViaSerde;
    pub use crate::record::coerce::date_format;
    pub use crate::record::decode::decode_json;
    pub use crate::record::decode::encode_json;
    pub use crate::record::rules;
    pub use inventory;
    pub use serde;
}
