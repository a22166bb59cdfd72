//! One partition of one sub-topology, without threads, sockets or clocks: records in, effects out.
//!
//! | file | noun |
//! |---|---|
//! | `task`, `state`, `open` | a task; its state and that state's owners; how it is opened |
//! | `inbox`, `headers`, `lookahead` | records that wait, and the times of those at the front |
//! | `choose` | the input of the next event |
//! | `lifecycle`, `dispatch` | the life of an event: begin, dispatch, acknowledge, fail, retry, release; and how far it is |
//! | `in_flight` | several events in flight at once |
//! | `failure_policy`, `bad`, `dead_letter`, `unreadable`, `late_records` | events that fail, records that do not decode, rows that do not read, what is late |
//! | `record_buffer`, `limits`, `origin`, `blame`, `refused` | outputs, what the broker takes, and the event of one that it refuses |
//! | `commit`, `prepared`, `signature`, `recover` | what a commit takes, the text beside its offsets, and the start from there |
//! | `agent`, `poll_probe`, `metrics` | an agent's state, whether it is being polled, what is seen from outside |
//! | `timer`, `crontab`, `calls` | timers, and calls of crontabs |
//! | `hop`, `watermark`, `sources`, `source_time` | time behind a repartition topic |
//! | `again` | windows that are sent again |
//! | `letter`, `letter_place` | a dead letter that is read, and where it lies |

pub(crate) mod again;
pub(crate) mod agent;
pub(crate) mod bad;
pub(crate) mod blame;
pub(crate) mod calls;
pub(crate) mod choose;
pub(crate) mod commit;
pub(crate) mod crontab;
pub(crate) mod dead_letter;
pub(crate) mod dispatch;
pub(crate) mod failure_policy;
pub(crate) mod headers;
pub(crate) mod hop;
pub(crate) mod in_flight;
pub(crate) mod inbox;
pub(crate) mod late_records;
pub(crate) mod letter;
pub(crate) mod letter_place;
pub(crate) mod lifecycle;
pub(crate) mod limits;
pub(crate) mod lookahead;
pub(crate) mod metrics;
pub(crate) mod open;
pub(crate) mod origin;
pub(crate) mod poll_probe;
pub(crate) mod prepared;
pub(crate) mod record_buffer;
pub(crate) mod recover;
pub(crate) mod refused;
pub(crate) mod signature;
pub(crate) mod source_time;
pub(crate) mod sources;
pub(crate) mod state;
#[allow(clippy::module_inception)]
pub(crate) mod task;
pub(crate) mod timer;
pub(crate) mod unreadable;
pub(crate) mod watermark;

#[cfg(test)]
pub(crate) mod tests;

pub use commit::KeyValue;
pub(crate) use failure_policy::backoff;
pub use headers::{decode_headers, encode_headers};
pub(crate) use inbox::{EVENT_TIME, SOURCE_AT};
pub use inbox::{Inbox, RawRecord, commit_offset};
pub use limits::{Limits, MESSAGE_BYTES, TopicLimit};
pub use metrics::Retrying;
pub use open::TaskParts;
pub use origin::Origin;
pub use poll_probe::{Beat, Pulse, Stand};
pub use record_buffer::{Outgoing, RecordBuffer};
pub(crate) use recover::not_the_named;
pub use recover::{Committed, StartAt};
pub use refused::Found;
pub use source_time::Lull;
pub use state::{AgentCx, CACHE_BYTES, States, TaskFailure, TaskSettings};
pub use task::{Now, Task, Turn};
