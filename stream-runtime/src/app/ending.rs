//! The end of a command, or of a start, that did not go well.

use std::fmt;
use std::process::ExitCode;

use crate::error::{Error, Kind};
use crate::kafka::{Fault, FaultKind};

/// Error of a command: what went wrong, what to do next, and the exit code.
#[derive(Debug)]
pub(crate) struct CliError {
    text: String,
    next: Option<String>,
    code: u8,
    quiet: bool,
    kind: Kind,
}

impl CliError {
    /// Something failed: exit code 1.
    pub(crate) fn failure(text: impl fmt::Display) -> Self {
        CliError {
            text: text.to_string(),
            next: None,
            code: 1,
            quiet: false,
            kind: Kind::Refused,
        }
    }

    /// The command was not understood, or its settings are not valid: exit code 2.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        CliError {
            code: 2,
            kind: Kind::Configuration,
            ..Self::failure(text)
        }
    }

    /// The reader of our output has gone, as `| head` does: no message, exit code 0.
    pub(crate) fn reader_gone() -> Self {
        CliError {
            code: 0,
            quiet: true,
            ..Self::failure("")
        }
    }

    /// All has been said already; only the exit code is left.
    pub(crate) fn said(code: u8) -> Self {
        CliError {
            code,
            quiet: true,
            ..Self::failure("")
        }
    }

    /// Adds the next step.
    pub(crate) fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = Some(next.to_string());
        self
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// Returns `true` if there is nothing to print.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns the error that a program gets which calls the command.
    pub(crate) fn into_error(self) -> Error {
        let text = match &self.next {
            Some(next) => format!("{}: {next}", self.text),
            None => self.text,
        };
        Error::new(self.kind, text)
    }

    /// The next step, where one is known.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Result of a command.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl From<Fault> for CliError {
    fn from(fault: Fault) -> Self {
        let is_authentication = fault.is_authentication();
        let kind = Error::from(fault.clone()).kind();
        let error = CliError {
            kind,
            ..CliError::failure(&fault)
        };
        match fault.kind() {
            FaultKind::Refused if is_authentication => {
                error.next("check user and password: the file of --config, or App::sasl_plain")
            }
            FaultKind::Refused => {
                error.next("check the settings and this user's rights on the broker")
            }
            FaultKind::Record if fault.is_too_large() => error.next(
                "raise the topic's max.message.bytes and --kafka message.max.bytes, or send less",
            ),
            FaultKind::Retriable if !fault.is_unknown_topic() => error
                .next("is the broker running, and reachable under this address? Then try again"),
            _ => error,
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let said = match error.is_configuration() {
            true => CliError::usage(error),
            false => CliError::failure(error),
        };
        CliError { kind, ..said }
    }
}
