//! SIGINT and SIGTERM: the first ends the worker in order, the second at once.

use tokio::signal::unix::{SignalKind, signal};

use super::Stop;

/// Exit code of a process that ended at once, as a shell has it for SIGINT.
const HARD: i32 = 130;

/// Listens from now on, on a thread of its own, for as long as the process lives.
///
/// # Errors
/// The system gives no thread or no signal handler.
pub(crate) fn listen(stop: Stop) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
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
                let mut asked = false;
                loop {
                    let name = tokio::select! {
                        Some(()) = interrupt.recv() => "SIGINT",
                        Some(()) = terminate.recv() => "SIGTERM",
                        else => return,
                    };
                    if asked {
                        tracing::warn!(
                            "{name} again: stopping at once; what is not committed is done again"
                        );
                        std::process::exit(HARD);
                    }
                    asked = true;
                    tracing::info!("{name}: stopping; once more to stop at once");
                    stop.ask();
                }
            });
        })?;
    Ok(())
}
