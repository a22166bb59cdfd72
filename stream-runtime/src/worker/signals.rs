//! SIGINT and SIGTERM: the first ends the worker in order, the second at once.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::shutdown_signal::ShutdownSignal;

/// Exit code of a process that ended at once, as a shell has it for SIGINT.
const HARD: i32 = 130;

/// Exit code of a process that was asked to end, and did not.
const NOT_ENDED: i32 = 1;

/// Listens from now on, on a thread of its own, for as long as the process lives. A worker that has not ended `bound`
/// after the first signal is ended: nothing is lost, and who asked waits for it.
///
/// # Errors
/// The system gives no thread or no signal handler.
pub(crate) fn listen(stop: ShutdownSignal, bound: Duration) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut until: Option<tokio::time::Instant> = None;
                loop {
                    let late = async {
                        match until {
                            Some(until) => tokio::time::sleep_until(until).await,
                            None => std::future::pending().await,
                        }
                    };
                    let name = tokio::select! {
                        Some(()) = interrupt.recv() => "SIGINT",
                        Some(()) = terminate.recv() => "SIGTERM",
                        () = late => {
                            tracing::error!(
                                "not ended {bound:?} after the signal: stopping at once; what is not committed is done again"
                            );
                            std::process::exit(NOT_ENDED);
                        }
                    };
                    if until.is_some() {
                        tracing::warn!(
                            "{name} again: stopping at once; what is not committed is done again"
                        );
                        std::process::exit(HARD);
                    }
                    until = Some(tokio::time::Instant::now() + bound);
                    tracing::info!("{name}: stopping; once more to stop at once");
                    stop.ask();
                }
            });
        })?;
    Ok(())
}
