//! The log, on standard error.

use tracing_subscriber::EnvFilter;

use super::error::{CliError, CliResult};
use super::progress::AboveBars;
use super::style::Style;

/// Starts the log. `level` is a level, or directives as `warn,stream_runtime=debug`; `default` holds without one.
pub(crate) fn start(level: Option<&str>, default: &str, style: Style) -> CliResult {
    let filter = EnvFilter::builder().parse(level.unwrap_or(default)).map_err(|error| {
        CliError::usage(format_args!("--log-level {}: {error}", level.unwrap_or(default)))
            .next("use off, error, warn, info, debug or trace, or a list as `warn,stream_runtime=debug`")
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| AboveBars)
        .with_ansi(style.is_on())
        .with_target(false);
    // A program that embeds the app may have a log of its own already: that one is kept.
    let _ = log.try_init();
    Ok(())
}
