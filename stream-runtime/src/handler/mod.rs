//! What the functions of an app are made of: their parameters, the forms of agents, what they return and send. It
//! builds on `task`, which knows none of it.
//!
//! | file | noun |
//! |---|---|
//! | `context`, `form` | the forms that an agent may have, and how each is driven |
//! | `event`, `closed`, `headers` | what a handler gets |
//! | `stream`, `batch`, `gathering`, `concurrent`, `unacked` | events one by one, in batches, several at once, acknowledged later |
//! | `repartition`, `regroup` | records get another key on their way |
//! | `join` | two streams by key and time |
//! | `tick`, `source` | timers; tables that a topic fills |
//! | `outputs`, `topic` | what is returned, and what is sent |
//! | `extract`, `state_factory`, `key_probe`, `agent_builder` | other parameters, `#[state]`, and what the macros put together |

pub(crate) mod agent_builder;
pub(crate) mod batch;
pub(crate) mod closed;
pub(crate) mod concurrent;
pub(crate) mod context;
pub(crate) mod event;
pub(crate) mod extract;
pub(crate) mod form;
pub(crate) mod gathering;
pub(crate) mod headers;
pub(crate) mod join;
pub(crate) mod key_probe;
pub(crate) mod outputs;
pub(crate) mod regroup;
mod repartition;
pub(crate) mod source;
pub(crate) mod state_factory;
pub(crate) mod stream;
pub(crate) mod tick;
pub(crate) mod topic;
pub(crate) mod unacked;

pub use agent_builder::{Agent, AgentParts, IsClosed, Parameter, TopicForm, item_id};
pub use closed::Closed;
pub use context::{AnyKey, ClosedForm, Cx, EventForm, StreamForm};
pub use event::Event;
pub use extract::{FromContext, Key, PerEvent, State, TaskContext};
pub use form::Input;
pub use headers::Headers;
pub use join::{JoinForm, JoinSide, SameKey, Side, SideOf};
pub use key_probe::{IsNoTable, KeyProbe, TableProbe, TakesNoKey, join_of_topics, same_key};
pub use outputs::{Emitter, Outputs};
pub use outputs::{Returned, Returns, SameRecord};
pub use regroup::{ClosedRecord, RegroupedForm};
pub use repartition::{Feeder, Grouped, NoKeyAtAll, TakesKey, TopicInput};
pub use source::{source_agent, source_item, source_replica};
pub use state_factory::{FactoryProbe, StateParts, ViaResult, ViaValue, state_parts};
pub use stream::Stream;
pub use tick::{Due, TickForm};
pub use topic::{Message, Sending, SentUnder, Topic, TopicSpec, topic_record};
pub use unacked::{NoAck, Unacked};
