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
/// Its text names the place (topic, partition, offset, agent), the cause and the next step. What is promised of it are
/// the predicates: texts and `Debug` change from version to version. The cause, where it was a value, is also given by
/// [`source`](StdError::source); the text has it already.
///
/// ```
/// use stream_runtime::{Error, KeyError};
///
/// let error = Error::from(KeyError::missing());
/// assert!(error.is_record() && !error.is_retriable());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    cause: Option<BoxError>,
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
    /// A table's partition cannot go on: its rows do not read, do not fit, or are another table's.
    Table,
    /// A shared resource of the app could not be made.
    State,
    /// The local store failed: disk full, not writable, in use.
    Store,
    /// Bytes that are not a record or no key, or a value that has no encoding.
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
            cause: None,
        }))
    }

    /// An error with the text of its cause.
    pub(crate) fn caused(kind: Kind, cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        Self(Box::new(Inner {
            kind,
            message: cause.to_string().into(),
            cause: Some(cause),
        }))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// A table's partition cannot go on as it is.
    pub(crate) fn table(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Table, message)
    }

    /// The current event fails, for good; everything else goes on.
    pub(crate) fn event(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Event, message)
    }

    /// Whether it is the event's that is in flight.
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

    /// Returns `true` if the same call may succeed later without anything being changed.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn status(error: &Error) -> u16 {
    ///     if error.is_retriable() { 503 } else { 500 }
    /// }
    /// # let _ = status;
    /// ```
    pub fn is_retriable(&self) -> bool {
        matches!(self.0.kind, Kind::Broker | Kind::Store)
    }

    /// Returns `true` if the worker, or the partition that met it, does not go on until somebody has changed something.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn wakes_somebody(error: &Error) -> bool {
    ///     error.is_fatal()
    /// }
    /// # let _ = wakes_somebody;
    /// ```
    pub fn is_fatal(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Configuration | Kind::Topology | Kind::Refused | Kind::Table | Kind::Internal
        )
    }

    /// Returns `true` if a flag, a file or the code has to be changed.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn exit_code(error: &Error) -> u8 {
    ///     if error.is_configuration() { 2 } else { 1 }
    /// }
    /// # let _ = exit_code;
    /// ```
    pub fn is_configuration(&self) -> bool {
        matches!(self.0.kind, Kind::Configuration | Kind::Topology)
    }

    /// Returns `true` if the cluster did not do, or refused, what was asked.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn looks_at_the_broker(error: &Error) -> bool {
    ///     error.is_broker() && !error.is_fenced()
    /// }
    /// # let _ = looks_at_the_broker;
    /// ```
    pub fn is_broker(&self) -> bool {
        matches!(self.0.kind, Kind::Broker | Kind::Refused | Kind::Fenced)
    }

    /// Returns `true` if another worker took this one's partitions.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn is_rebalance(error: &Error) -> bool {
    ///     error.is_fenced()
    /// }
    /// # let _ = is_rebalance;
    /// ```
    pub fn is_fenced(&self) -> bool {
        self.0.kind == Kind::Fenced
    }

    /// Returns `true` if the local store failed.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn looks_at_the_disk(error: &Error) -> bool {
    ///     error.is_store()
    /// }
    /// # let _ = looks_at_the_disk;
    /// ```
    pub fn is_store(&self) -> bool {
        self.0.kind == Kind::Store
    }

    /// Returns `true` if the rows of a table do not read, do not fit, or are another table's.
    ///
    /// ```
    /// use stream_runtime::{Error, KeyError};
    ///
    /// assert!(!Error::from(KeyError::missing()).is_table());
    /// ```
    pub fn is_table(&self) -> bool {
        self.0.kind == Kind::Table
    }

    /// Returns `true` if a record or a key could not be read or written.
    ///
    /// ```
    /// use stream_runtime::{Error, KeyError};
    ///
    /// assert!(Error::from(KeyError::missing()).is_record());
    /// ```
    pub fn is_record(&self) -> bool {
        self.0.kind == Kind::Record
    }

    /// Returns `true` if the worker is shutting down.
    ///
    /// ```
    /// use stream_runtime::Error;
    ///
    /// fn asks_another_worker(error: &Error) -> bool {
    ///     error.is_stopped() || error.is_fenced()
    /// }
    /// # let _ = asks_another_worker;
    /// ```
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
    /// The kind and the text: `main` prints what it returns this way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let cause = self.0.cause.as_deref()?;
        Some(cause)
    }
}

/// Carries an [`Error`] of the framework up through a handler that cannot return it.
pub(crate) struct Raised(pub(crate) Error);

/// Carries the reason why the current record is bad up through its handler.
pub(crate) struct BadRecord(pub(crate) String);

/// Returns what a panic said, or `no message`.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

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
        assert_eq!(format!("{error:?}"), format!("Store: {error}"));
        assert!(StdError::source(&error).is_none());
    }

    fn cause_text() -> String {
        crate::KeyError::missing().to_string()
    }

    #[test]
    fn predicates_follow_the_kind() {
        assert!(Error::new(Kind::Broker, "gone").is_retriable());
        assert!(!Error::new(Kind::Refused, "wrong password").is_retriable());
        assert!(Error::new(Kind::Refused, "wrong password").is_fatal());
        assert!(Error::new(Kind::Fenced, "taken over").is_fenced());
        let table = Error::table("no rows of this one");
        assert!(table.is_table() && table.is_fatal() && !table.is_broker());
        let error = Error::from(crate::KeyError::missing());
        let cause = StdError::source(&error).unwrap();
        assert!(cause.is::<crate::KeyError>());
        assert_eq!(cause.to_string(), error.to_string());
        // A handler's failure has the text once.
        assert_eq!(Failure::from(error).to_string(), cause_text());
        assert!(Error::from(crate::KeyError::missing()).is_record());
        assert!(Error::new(Kind::Stopped, "going down").is_stopped());
    }
}
