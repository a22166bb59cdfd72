//! SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::{CliError, CliResult};

/// Listens from when it is made: a signal that comes before it is waited for is not lost.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// To be called inside a runtime.
    pub(crate) fn listen() -> CliResult<Self> {
        let failed = |error| CliError::failure(format_args!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// Waits until the process is asked to end.
    pub(crate) async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until the process is asked to end.
pub(crate) async fn stop() -> CliResult {
    Signals::listen()?.asked().await;
    Ok(())
}
