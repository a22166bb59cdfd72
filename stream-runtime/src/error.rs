//! What the framework returns ([`Error`]) and what handlers return ([`Failure`]).

mod failure;
mod meant;
pub(crate) mod quiet;

pub use failure::{Action, Failure, ResultExt};
pub(crate) use meant::meant;

use std::{borrow::Cow, error::Error as StdError, fmt};

/// Any error, as handlers may return it.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The result of a handler: any error converts into its [`Failure`] with `?`.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// An error of the framework.
///
/// Its text names the place (topic, partition, offset, agent), the cause and the next step; there is nothing more behind
/// it. Ask the predicates, not the text, what to do about it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
}

/// A count and what is counted: `1 record`, `2 records`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// What went wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A flag, a file or a setting is wrong.
    Configuration,
    /// The agents, tables and topics of the app do not fit together.
    Topology,
    /// The cluster did not do what was asked, and may do it later.
    Broker,
    /// The cluster refused for good: wrong password, missing right, topic that does not exist.
    Refused,
    /// Another worker took this one's place.
    Fenced,
    /// The local store failed: disk full, not writable, in use.
    Store,
    /// Bytes that are no record or no key, or a value that has no encoding.
    Record,
    /// The user's code failed.
    Handler,
    /// What a handler asked for cannot be had: its event fails, and nothing else.
    Event,
    /// The worker stops; nothing new is begun.
    Stopped,
    /// A bug of the framework.
    Internal,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
        }))
    }

    /// A table's partition cannot go on as it is.
    pub(crate) fn table(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// The event in hand fails, for good; everything else goes on.
    pub(crate) fn event(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Event, message)
    }

    /// Whether it is the event's that is in hand.
    pub(crate) fn is_of_event(&self) -> bool {
        self.0.kind == Kind::Event
    }

    /// An agent cannot go on.
    pub(crate) fn agent(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Handler, message)
    }

    /// Puts what was being done in front of the text: `{context}: {text}`.
    pub(crate) fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message).into();
        self
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retriable(&self) -> bool {
        matches!(self.0.kind, Kind::Broker | Kind::Store)
    }

    /// Whether the worker cannot go on after it.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Configuration | Kind::Topology | Kind::Refused | Kind::Internal
        )
    }

    /// Whether a flag, a file or the code has to be changed.
    pub fn is_configuration(&self) -> bool {
        matches!(self.0.kind, Kind::Configuration | Kind::Topology)
    }

    /// Whether the cluster is what failed.
    pub fn is_broker(&self) -> bool {
        matches!(self.0.kind, Kind::Broker | Kind::Refused | Kind::Fenced)
    }

    /// Whether another worker took this one's partitions.
    pub fn is_fenced(&self) -> bool {
        self.0.kind == Kind::Fenced
    }

    /// Whether the local store is what failed.
    pub fn is_store(&self) -> bool {
        self.0.kind == Kind::Store
    }

    /// Whether a record or a key could not be read or written.
    pub fn is_record(&self) -> bool {
        self.0.kind == Kind::Record
    }

    /// Whether the worker is on its way down.
    pub fn is_stopped(&self) -> bool {
        self.0.kind == Kind::Stopped
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    /// As the text: `main` prints what it returns this way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {}

impl From<crate::KeyError> for Error {
    fn from(error: crate::KeyError) -> Self {
        Self::new(Kind::Record, error.to_string())
    }
}

impl From<crate::DecodeError> for Error {
    fn from(error: crate::DecodeError) -> Self {
        Self::new(Kind::Record, error.to_string())
    }
}

impl From<crate::EncodeError> for Error {
    fn from(error: crate::EncodeError) -> Self {
        Self::new(Kind::Record, error.to_string())
    }
}

/// Carries an [`Error`] of the framework up through a handler that cannot return it.
pub(crate) struct Raised(pub(crate) Error);

/// Carries the reason why the record in hand is bad up through its handler.
pub(crate) struct BadRecord(pub(crate) String);

/// Ends the handler; its task fails with this error. Not a panic: no hook runs.
pub(crate) fn raise(error: Error) -> ! {
    std::panic::resume_unwind(Box::new(Raised(error)))
}

/// Ends the handler; `on_decode_error` decides about the record.
pub(crate) fn raise_bad_record(why: String) -> ! {
    std::panic::resume_unwind(Box::new(BadRecord(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_leads_from_the_place_to_the_cause() {
        let error = Error::new(Kind::Store, "cannot write: disk full").context("table hourly[3]");
        assert_eq!(
            error.to_string(),
            "table hourly[3]: cannot write: disk full"
        );
        assert_eq!(format!("{error:?}"), error.to_string());
    }

    #[test]
    fn predicates_follow_the_kind() {
        assert!(Error::new(Kind::Broker, "gone").is_retriable());
        assert!(!Error::new(Kind::Refused, "wrong password").is_retriable());
        assert!(Error::new(Kind::Refused, "wrong password").is_fatal());
        assert!(Error::new(Kind::Fenced, "taken over").is_fenced());
        assert!(Error::from(crate::KeyError::missing()).is_record());
        assert!(Error::new(Kind::Stopped, "going down").is_stopped());
    }
}
