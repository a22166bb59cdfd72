//! One partition of one sub-topology, without threads, sockets or clocks: records in, effects out.

mod again;
mod agent;
mod bad;
mod blame;
mod build;
mod closed;
mod commit;
mod crontab;
pub(crate) mod dead_letter;
mod event;
mod failing;
mod group;
mod headers;
mod heads;
mod held;
mod hop;
mod inbox;
mod inject;
mod input;
mod join;
mod key_probe;
mod late;
mod limits;
mod made;
mod outbuf;
mod outputs;
mod parts;
mod pulse;
mod recover;
mod regroup;
mod several;
mod shared;
pub(crate) mod signature;
mod source;
mod sources;
mod stream;
mod take;
#[allow(clippy::module_inception)]
mod task;
mod tick;
mod topic;
mod unacked;
mod unreadable;
mod view;
pub(crate) mod watermark;

#[cfg(test)]
mod tests;

pub use agent::AgentCx;
pub use blame::{Found, Origin};
pub use build::TaskParts;
pub use closed::Closed;
pub use commit::KeyValue;
pub use event::Event;
pub(crate) use failing::backoff;
pub use group::{Feeder, Grouped, NoKeyAtAll, TakesKey, TopicInput};
pub use headers::Headers;
pub use hop::Lull;
pub(crate) use inbox::{EVENT_TIME, SOURCE_AT};
pub use inbox::{Inbox, RawRecord, commit_offset, decode_headers, encode_headers};
pub use inject::{FromContext, Key, PerEvent, State, TaskContext};
pub use input::{AnyKey, ClosedForm, Cx, EventForm, Input, StreamForm};
pub use join::{JoinForm, JoinSide, SameKey, Side, SideOf};
pub use key_probe::{IsNoTable, KeyProbe, TableProbe, TakesNoKey, join_of_topics, same_key};
pub use limits::{Limits, MESSAGE_BYTES, TopicLimit};
pub use made::{MadeProbe, StateParts, ViaResult, ViaValue, state_parts};
pub use outbuf::{OutBuf, Outgoing};
pub use outputs::{Emitter, Outputs};
pub use parts::{
    Agent, AgentParts, IsClosed, Parameter, Returned, Returns, SameRecord, TopicForm, item_id,
};
pub use pulse::{Beat, Pulse, Stand};
pub(crate) use recover::not_the_named;
pub use recover::{Committed, StartAt};
pub use regroup::{ClosedRecord, RegroupedForm};
pub use shared::{States, TaskFailure, TaskSettings};
pub use source::{source_agent, source_item, source_replica};
pub use stream::Stream;
pub use task::{Now, Task, Turn};
pub use tick::{Due, TickForm};
pub use topic::{Message, Sending, SentUnder, Topic, TopicSpec, topic_record};
pub use unacked::{NoAck, Unacked};
pub use view::Retrying;
