//! Errors that only commands have.

pub(crate) use crate::app::ending::{CliError, CliResult};
use crate::error::meant;

/// An error of writing to standard output.
pub(crate) fn output_error(error: std::io::Error) -> CliError {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::reader_gone(),
        _ => CliError::failure(format_args!("cannot write the output: {error}")),
    }
}

/// There is no such topic, and perhaps another one was meant.
pub(super) fn no_topic<'a>(
    name: &str,
    among: impl IntoIterator<Item = &'a str>,
    else_next: &str,
) -> CliError {
    let error = CliError::failure(format_args!("there is no topic {name}"));
    match meant(name, among) {
        Some(other) => error.next(format_args!("did you mean `{other}`? {else_next}")),
        None => error.next(else_next),
    }
}
