//! Asking a person before something is done.

use std::io::{BufRead, IsTerminal, Write};

use super::error::{CliError, CliResult};

/// Whether a person at the terminal says yes. `without` names what `--yes` does.
pub(super) fn confirmed(without: &str) -> CliResult<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(
            CliError::usage("there is nobody to ask").next(format_args!("add --yes to {without}"))
        );
    }
    let failed = |error| CliError::failure(format_args!("cannot ask: {error}"));
    let mut out = std::io::stderr();
    write!(out, "Go on? [y/N] ")
        .and_then(|()| out.flush())
        .map_err(failed)?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
