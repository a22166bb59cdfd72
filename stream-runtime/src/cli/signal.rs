//! SIGINT and SIGTERM.

use super::error::{CliError, CliResult};

/// Waits until the process is asked to end.
pub(crate) async fn stop() -> CliResult {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| CliError::failure(format_args!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
