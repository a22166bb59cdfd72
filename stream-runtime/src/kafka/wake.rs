//! The one wake-up a stream thread parks on.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes the stream thread it belongs to: from librdkafka's threads, from agents' wakers, from
/// threads that finished something for it. A wake-up that comes while nobody waits is kept, so
/// none is lost between a last look and the wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Wakes the thread, or lets its next wait return at once.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits until woken.
    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn a_wake_before_the_wait_is_kept() {
        runtime().block_on(async {
            let wake = Wake::new();
            wake.wake();
            wake.wake();
            tokio::time::timeout(Duration::from_secs(5), wake.wait())
                .await
                .expect("kept");
            // Two wake-ups before the wait are one.
            assert!(
                tokio::time::timeout(Duration::from_millis(20), wake.wait())
                    .await
                    .is_err()
            );
        });
    }

    #[test]
    fn another_thread_wakes_the_waiter() {
        let wake = Wake::new();
        let other = wake.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            other.wake();
        });
        runtime().block_on(async {
            tokio::time::timeout(Duration::from_secs(5), wake.wait())
                .await
                .expect("woken");
        });
        thread.join().unwrap();
    }
}
