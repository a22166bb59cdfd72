#![doc = include_str!("docs/guide.md")]
// What only commands, pages or the broker use is not missed by the others.
#![cfg_attr(
    not(all(
        feature = "cli",
        feature = "web",
        feature = "broker",
        feature = "metrics"
    )),
    allow(dead_code, unused_imports)
)]

// So that the attributes work in this crate as they do in a user's.
#[allow(unused_extern_crates)]
extern crate self as stream_runtime;

#[cfg(panic = "abort")]
compile_error!(
    "stream-runtime ends a handler by unwinding, when a record is bad or a table stops: take `panic = \"abort\"` out of the profile"
);

mod app;
mod background;
#[cfg(feature = "cli")]
mod cli;
mod clock;
mod codec;
pub mod duration;
mod error;
#[doc(hidden)]
pub mod handler;
mod kafka;
mod key;
mod mutants;
mod producer;
mod record;
mod schedule;
#[doc(hidden)]
pub mod store;
mod sync;
#[doc(hidden)]
pub mod table;
#[doc(hidden)]
pub mod task;
pub mod testing;
#[doc(hidden)]
pub mod topology;
pub mod web;
mod window;
mod worker;

/// Of the whole process, librdkafka included (`override`): its threads allocate what stream threads free, and the C
/// library's arenas fight over that.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[doc = include_str!("docs/agent.md")]
pub use stream_macros::agent;
#[cfg(feature = "cli")]
#[doc = include_str!("docs/command.md")]
pub use stream_macros::command;
#[doc = include_str!("docs/crontab.md")]
pub use stream_macros::crontab;
#[doc = include_str!("docs/join.md")]
pub use stream_macros::join;
#[cfg(feature = "web")]
#[doc = include_str!("docs/page.md")]
pub use stream_macros::page;
#[doc = include_str!("docs/record.md")]
pub use stream_macros::record;
#[doc = include_str!("docs/state.md")]
pub use stream_macros::state;
#[doc = include_str!("docs/table.md")]
pub use stream_macros::table;
#[doc = include_str!("docs/task.md")]
pub use stream_macros::task;
#[doc = include_str!("docs/timer.md")]
pub use stream_macros::timer;
#[doc = include_str!("docs/topic.md")]
pub use stream_macros::topic;
/// Refuses, because commands need the feature `cli`.
#[cfg(not(feature = "cli"))]
pub use stream_macros::without_cli as command;
/// Refuses, because pages need the feature `web`.
#[cfg(not(feature = "web"))]
pub use stream_macros::without_web as page;

pub use app::Agents;
pub use app::App;
pub use app::OnGap;
pub use app::ProcessingGuarantee;
pub use app::Start;
pub use background::AllRows;
#[doc(hidden)]
pub use background::JobOutput;
#[doc(hidden)]
pub use background::JobParam;
#[doc(hidden)]
pub use background::JobParameter;
pub use background::Reading;
pub use background::TableReader;
#[cfg(feature = "cli")]
pub use cli::AppHandle;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::CommandOutput;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::CommandParam;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::CommandParameter;
#[cfg(feature = "cli")]
pub use cli::ReadRecord;
#[cfg(feature = "cli")]
pub use cli::Records;
#[cfg(feature = "cli")]
pub use cli::WorkerRun;
pub use error::Action;
pub use error::Error;
pub use error::Failure;
pub use error::Result;
pub use error::ResultExt;
pub use handler::Closed;
pub use handler::Due;
pub use handler::Event;
pub use handler::Headers;
pub use handler::Key;
pub use handler::NoAck;
pub use handler::Sending;
pub use handler::SentUnder;
pub use handler::State;
pub use handler::Stream;
pub use handler::TaskContext;
pub use handler::Topic;
pub use handler::TopicSpec;
pub use handler::Unacked;
pub use key::KeyError;
pub use key::StreamKey;
pub use producer::OutMessage;
pub use producer::Producer;
pub use producer::Queueing;
#[doc(hidden)]
pub use record::AsRecord;
pub use record::DecodeError;
pub use record::EncodeError;
#[doc(hidden)]
pub use record::Payload;
pub use record::Record;
pub use table::GlobalKeyFor;
pub use table::GlobalSpec;
pub use table::GlobalTable;
pub use table::InWindow;
pub use table::Iter;
pub use table::KeyFor;
pub use table::Merge;
pub use table::Table;
pub use table::TableSpec;
pub use window::Window;
pub use worker::OnForeignCommit;

#[doc = include_str!("docs/recipes.md")]
pub mod recipes {}

/// How the values of messages are written: what `#[record(codec = ..)]` names, and the trait for one of your own.
pub mod codecs {
    pub use crate::codec::{Binary, Codec, CodecError, MessagePack, MessagePackAsText, Raw, Text};
}

/// Which types the rules of `#[field]` and the options of `#[record]` may stand on.
pub mod fields {
    pub use crate::record::Coerce;
    pub use crate::record::EventTime;
    pub use crate::record::coerce::Dated;
    #[doc(hidden)]
    pub use crate::record::coerce::date_format;
    #[doc(hidden)]
    pub use crate::record::rules;
    pub use crate::record::rules::Bound;
    pub use crate::record::rules::Length;
    pub use crate::record::rules::Number;
}

/// What an app needs, in one `use`.
pub mod prelude {
    pub use crate::App;
    #[cfg(feature = "cli")]
    pub use crate::AppHandle;
    pub use crate::Closed;
    pub use crate::Due;
    pub use crate::Error;
    pub use crate::Event;
    pub use crate::GlobalTable;
    pub use crate::Headers;
    pub use crate::Key;
    pub use crate::Merge;
    pub use crate::OnGap;
    pub use crate::ProcessingGuarantee;
    pub use crate::Producer;
    pub use crate::Record;
    pub use crate::Result;
    pub use crate::ResultExt;
    pub use crate::Start;
    pub use crate::State;
    pub use crate::Stream;
    pub use crate::Table;
    pub use crate::TableReader;
    pub use crate::TaskContext;
    pub use crate::Topic;
    pub use crate::agent;
    pub use crate::command;
    pub use crate::crontab;
    pub use crate::join;
    pub use crate::page;
    pub use crate::record;
    pub use crate::state;
    pub use crate::table;
    pub use crate::task;
    pub use crate::timer;
    pub use crate::topic;
    pub use chrono::DateTime;
    pub use chrono::Utc;
    pub use std::process::ExitCode;
}

/// What the attributes expand to. No part of the interface: it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::__register as register;
    pub use crate::__stand_in as stand_in;
    pub use crate::AsRecord;
    #[cfg(feature = "cli")]
    pub use crate::CommandOutput;
    #[cfg(feature = "cli")]
    pub use crate::CommandParam;
    #[cfg(feature = "cli")]
    pub use crate::CommandParameter;
    pub use crate::DecodeError;
    pub use crate::EncodeError;
    pub use crate::JobOutput;
    pub use crate::JobParameter;
    pub use crate::Merge;
    pub use crate::Record;
    pub use crate::StreamKey;
    pub use crate::Window;
    pub use crate::app::Listed;
    pub use crate::app::Listing;
    pub use crate::background::JobDescriptor;
    pub use crate::background::When;
    #[cfg(feature = "cli")]
    pub use crate::cli::CommandCx;
    #[cfg(feature = "cli")]
    pub use crate::cli::CommandDescriptor;
    #[cfg(feature = "cli")]
    pub use crate::cli::CommandFuture;
    pub use crate::codecs;
    pub use crate::fields::Coerce;
    pub use crate::fields::EventTime;
    pub use crate::fields::date_format;
    pub use crate::fields::rules;
    pub use crate::handler::Agent;
    pub use crate::handler::AgentParts;
    pub use crate::handler::ClosedForm;
    pub use crate::handler::FactoryProbe;
    pub use crate::handler::Feeder;
    pub use crate::handler::IsNoTable;
    pub use crate::handler::JoinForm;
    pub use crate::handler::KeyProbe;
    pub use crate::handler::NoKeyAtAll;
    pub use crate::handler::RegroupedForm;
    pub use crate::handler::StateParts;
    pub use crate::handler::TableProbe;
    pub use crate::handler::TakesNoKey;
    pub use crate::handler::TickForm;
    pub use crate::handler::TopicSpec;
    pub use crate::handler::ViaResult;
    pub use crate::handler::ViaValue;
    pub use crate::handler::item_id;
    pub use crate::handler::join_of_topics;
    pub use crate::handler::same_key;
    pub use crate::handler::source_agent;
    pub use crate::handler::source_item;
    pub use crate::handler::source_replica;
    pub use crate::handler::state_parts;
    pub use crate::handler::topic_record;
    pub use crate::record::coerce::Probe;
    pub use crate::record::coerce::ViaCoerce;
    pub use crate::record::coerce::ViaSerde;
    pub use crate::record::decode::CameBack;
    pub use crate::record::decode::decode_by;
    pub use crate::record::decode::decode_json;
    pub use crate::record::decode::encode_by;
    pub use crate::record::decode::encode_json;
    pub use crate::record::is_written_by;
    pub use crate::record::path::HasField;
    pub use crate::record::shape::FieldShape;
    pub use crate::record::shape::InnerShape;
    pub use crate::record::shape::Shape;
    pub use crate::record::shape::ShapeProbe;
    pub use crate::record::shape::ViaName;
    pub use crate::record::shape::ViaRecord;
    pub use crate::table::BufferSpec;
    pub use crate::table::GlobalSpec;
    pub use crate::table::Hopping;
    pub use crate::table::MergeFn;
    pub use crate::table::Plain;
    pub use crate::table::SameProbe;
    pub use crate::table::Session;
    pub use crate::table::Sliding;
    pub use crate::table::TableSpec;
    pub use crate::table::Tumbling;
    pub use crate::table::ViaBytes;
    pub use crate::table::ViaEq;
    pub use crate::table::changelog_replica;
    pub use crate::table::key_form;
    pub use crate::table::key_name;
    pub use crate::table::open as open_table;
    pub use crate::table::open_buffer;
    pub use crate::topology::AgentDescriptor;
    pub use crate::topology::AgentFuture;
    pub use crate::topology::AgentOptions;
    pub use crate::topology::AgentShape;
    pub use crate::topology::GlobalDescriptor;
    pub use crate::topology::OnError;
    pub use crate::topology::OnGap;
    pub use crate::topology::OnUnreadable;
    pub use crate::topology::RecordInfo;
    pub use crate::topology::RegisteredTable;
    pub use crate::topology::RegisteredTopic;
    pub use crate::topology::RowsFrom;
    pub use crate::topology::Source;
    pub use crate::topology::SourceLocation;
    pub use crate::topology::Start;
    pub use crate::topology::StateDescriptor;
    pub use crate::topology::StateFuture;
    pub use crate::topology::TableDescriptor;
    pub use crate::topology::TopicDescriptor;
    #[cfg(feature = "web")]
    pub use crate::web::PageBody;
    pub use crate::web::PageDescriptor;
    #[cfg(feature = "web")]
    pub use crate::web::PageOutput;
    #[cfg(feature = "web")]
    pub use crate::web::PageParameter;
    #[cfg(feature = "web")]
    pub use crate::web::Request;
    #[cfg(feature = "cli")]
    pub use clap;
    #[cfg(feature = "inventory")]
    pub use inventory;
    pub use serde;
    pub use std::any::TypeId;
    pub use std::boxed::Box;
    pub use std::string::String;
    pub use std::vec::Vec;
}
