//! What a handler returns when it fails, and what is to be done about it.

use super::{BoxError, Error, Result};
use std::fmt;

/// A failed handler: any error, and what the framework shall do about it.
///
/// Every error converts into one with `?`, also `anyhow::Error`, a text, or an enum of your own. A failure is retried
/// by the agent's policy unless [`ResultExt`] says otherwise.
///
/// ```
/// use stream_runtime::{Result, ResultExt};
///
/// fn parse(text: &str) -> Result<u8> {
///     if text.is_empty() {
///         Err("nothing to parse")?; // retried
///     }
///     Ok(text.parse().reject()?) // retrying is pointless
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct Failure {
    action: Action,
    error: BoxError,
}

/// What follows a failure.
///
/// ```
/// use stream_runtime::{Action, Failure, Result, ResultExt};
///
/// let failed: Result<u8> = "x".parse::<u8>().reject();
/// assert_eq!(failed.unwrap_err().action(), Action::Reject);
/// assert_eq!(Failure::from("later").action(), Action::Retry);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Action {
    /// The event is handled again after the agent's `backoff`, at most `retries` times, then `on_error` applies.
    #[default]
    Retry,
    /// `on_error` applies at once.
    Reject,
    /// The worker stops; the event is not acknowledged.
    Fatal,
}

impl Failure {
    /// The same failure, its event not to be retried.
    pub(crate) fn rejected(mut self) -> Self {
        self.action = Action::Reject;
        self
    }

    /// Returns what is to be done.
    ///
    /// ```
    /// use stream_runtime::{Action, Failure};
    ///
    /// let failure = Failure::from("the till is closed");
    /// assert_eq!(failure.action(), Action::Retry);
    /// ```
    pub fn action(&self) -> Action {
        self.action
    }

    /// Returns the error that the handler met.
    ///
    /// ```
    /// use stream_runtime::{Action, Failure};
    ///
    /// let failure = Failure::from("the till is closed");
    /// # let _ = Action::Retry;
    /// assert_eq!(failure.error().to_string(), "the till is closed");
    /// ```
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Returns the error that the handler met, by value.
    ///
    /// ```
    /// use stream_runtime::{Action, Failure};
    ///
    /// let failure = Failure::from("the till is closed");
    /// # let _ = Action::Retry;
    /// assert_eq!(failure.into_error().to_string(), "the till is closed");
    /// ```
    pub fn into_error(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.error
    }
}

// `Failure` itself is not a `std::error::Error`: this blanket would overlap with the identity otherwise.
impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let action = match error.downcast_ref::<Error>() {
            Some(error) if error.is_fatal() => Action::Fatal,
            Some(error) if error.is_record() => Action::Reject,
            _ => Action::Retry,
        };
        Self { action, error }
    }
}

/// The error and, after colons, what lies below it.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        // The framework's own texts have their causes already.
        let mut below = match self.error.is::<Error>() {
            true => None,
            false => self.error.source(),
        };
        while let Some(error) = below {
            write!(f, ": {error}")?;
            below = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.action)
    }
}

/// Says what is to be done about an error.
///
/// ```
/// use stream_runtime::{Action, ResultExt};
///
/// let failure = "x".parse::<u8>().fatal().unwrap_err();
/// assert_eq!(failure.action(), Action::Fatal);
/// ```
pub trait ResultExt<T> {
    /// Retrying is pointless: the event goes where the agent's `on_error` says, at once.
    ///
    /// # Errors
    ///
    /// The same error, as a rejecting failure.
    fn reject(self) -> Result<T>;

    /// The worker shall stop.
    ///
    /// # Errors
    ///
    /// The same error, as a fatal failure.
    fn fatal(self) -> Result<T>;
}

impl<T, E: Into<Failure>> ResultExt<T> for std::result::Result<T, E> {
    fn reject(self) -> Result<T> {
        self.map_err(|error| Failure {
            action: Action::Reject,
            ..error.into()
        })
    }

    fn fatal(self) -> Result<T> {
        self.map_err(|error| Failure {
            action: Action::Fatal,
            ..error.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[derive(Debug)]
    struct Mine;

    impl fmt::Display for Mine {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("mine")
        }
    }

    impl std::error::Error for Mine {}

    fn own() -> Result {
        Err(Mine)?
    }

    fn text() -> Result {
        Err("plain text")?
    }

    fn any() -> Result {
        Err(anyhow::anyhow!("root").context("while baking"))?
    }

    fn nested() -> Result<u8> {
        own()?;
        Ok(1)
    }

    #[test]
    fn any_error_becomes_a_failure_that_is_retried() {
        assert!(own().unwrap_err().error().is::<Mine>());
        assert_eq!(text().unwrap_err().to_string(), "plain text");
        assert_eq!(any().unwrap_err().to_string(), "while baking: root");
        assert_eq!(nested().unwrap_err().action(), Action::Retry);
    }

    #[test]
    fn the_user_says_what_is_to_be_done() {
        assert_eq!(own().reject().unwrap_err().action(), Action::Reject);
        assert_eq!(
            "x".parse::<u8>().fatal().unwrap_err().action(),
            Action::Fatal
        );
        assert_eq!(format!("{:?}", own().fatal().unwrap_err()), "Fatal: mine");
        assert_eq!(Failure::from("late").into_error().to_string(), "late");
    }

    #[test]
    fn a_fatal_error_of_the_framework_stays_fatal() {
        assert_eq!(
            Failure::from(Error::new(Kind::Refused, "wrong password")).action(),
            Action::Fatal
        );
        assert_eq!(
            Failure::from(Error::new(Kind::Broker, "gone")).action(),
            Action::Retry
        );
    }
}
