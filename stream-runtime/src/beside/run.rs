//! Calls functions beside the streams when their time comes.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use chrono::Utc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};

use super::schedule::Schedule;
use super::{BesideCx, BesideDescriptor, When};
use crate::error::{Action, Error, Failure};

/// How often it is looked whether the worker has recovered, and whether it leads.
const LOOK: Duration = Duration::from_millis(20);
/// Longest rest before the wall clock is looked at again: it may be set.
const REST: Duration = Duration::from_secs(20);
/// How long tasks that began with the worker may take to end with it: most are loops.
const GOODBYE: Duration = Duration::from_secs(1);

/// Functions beside the streams of a worker that runs.
pub(crate) struct Running {
    all: Vec<&'static BesideDescriptor>,
    cx: BesideCx,
    runtime: Handle,
    stop: watch::Sender<bool>,
    /// Calls that may take their time to end.
    calls: JoinSet<()>,
    /// Tasks of the start.
    starts: JoinSet<()>,
    fatal: Arc<Fatal>,
}

/// The first failure that stops the worker.
type Fatal = Mutex<Option<Error>>;

/// Begins; each function is first called after recovery.
///
/// # Errors
/// A crontab does not read.
pub(crate) fn start(
    all: Vec<&'static BesideDescriptor>,
    cx: BesideCx,
    runtime: &Handle,
) -> Result<Running, Error> {
    let (stop, stopped) = watch::channel(false);
    let mut running = Running {
        cx,
        runtime: runtime.clone(),
        stop,
        calls: JoinSet::new(),
        starts: JoinSet::new(),
        fatal: Arc::default(),
        all,
    };
    for descriptor in &running.all {
        let caller = Caller {
            descriptor,
            cx: running.cx.clone(),
            stopped: stopped.clone(),
            fatal: Arc::clone(&running.fatal),
        };
        match descriptor.when {
            When::Every { ms } => {
                running
                    .calls
                    .spawn_on(caller.every(Duration::from_millis(ms)), runtime);
            }
            When::Crontab {
                expression,
                timezone,
            } => {
                let schedule = Schedule::new(expression, timezone)
                    .map_err(|error| error.context(descriptor.place))?;
                running
                    .calls
                    .spawn_on(caller.by_calendar(schedule), runtime);
            }
            When::Start => {
                running.starts.spawn_on(caller.at_start(), runtime);
            }
            When::Stop => {}
        }
    }
    Ok(running)
}

impl Running {
    /// The worker's streams have ended: lets what runs end, calls the tasks of the end, delivers what was sent.
    /// Blocks, `bound` at most for each of these.
    ///
    /// # Errors
    /// What stopped the worker, if it was a function beside the streams; or something that was sent was not delivered.
    pub(crate) fn stop(mut self, bound: Duration) -> Result<(), Error> {
        let _ = self.stop.send(true);
        let runtime = self.runtime.clone();
        let flushed = runtime.block_on(async {
            end(&mut self.starts, bound.min(GOODBYE)).await;
            end(&mut self.calls, bound).await;
            let mut last = JoinSet::new();
            for descriptor in self.all.iter().filter(|d| d.when == When::Stop) {
                let caller = Caller {
                    descriptor,
                    cx: self.cx.clone(),
                    stopped: self.stop.subscribe(),
                    fatal: Arc::clone(&self.fatal),
                };
                last.spawn(async move { caller.call().await });
            }
            end(&mut last, bound).await;
            self.cx.flush().await
        });
        let fatal = self
            .fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match fatal {
            Some(error) => Err(error),
            None => flushed,
        }
    }
}

/// Waits for calls to end; those that take longer are dropped where they wait.
async fn end(calls: &mut JoinSet<()>, bound: Duration) {
    let until = Instant::now() + bound;
    while let Ok(Some(_)) = timeout_at(until, calls.join_next()).await {}
    calls.shutdown().await;
}

/// Calls one function.
struct Caller {
    descriptor: &'static BesideDescriptor,
    cx: BesideCx,
    stopped: watch::Receiver<bool>,
    fatal: Arc<Fatal>,
}

impl Caller {
    async fn every(mut self, every: Duration) {
        if !self.recovered().await {
            return;
        }
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = self.stopped.wait_for(|stopped| *stopped) => return,
            }
            self.call_if_it_may().await;
        }
    }

    async fn by_calendar(mut self, schedule: Schedule) {
        if !self.recovered().await {
            return;
        }
        loop {
            let now = Utc::now();
            let Some(next) = schedule.next(now) else {
                return;
            };
            while let Ok(left) = (next - Utc::now()).to_std() {
                // A little more, so that the clock has surely passed it.
                let rest = (left + Duration::from_millis(1)).min(REST);
                if self.rests(rest).await {
                    return;
                }
            }
            self.call_if_it_may().await;
        }
    }

    async fn at_start(mut self) {
        if !self.recovered().await {
            return;
        }
        while self.descriptor.on_leader && !self.cx.worker().is_leader() {
            if self.rests(LOOK).await {
                return;
            }
        }
        self.call().await;
    }

    /// Waits until the worker's partitions have recovered; `false` when it stops before.
    async fn recovered(&mut self) -> bool {
        while !self.cx.worker().has_recovered() {
            if self.rests(LOOK).await {
                return false;
            }
        }
        true
    }

    /// Rests; whether it was ended by the worker's end.
    async fn rests(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = sleep(time) => false,
            _ = self.stopped.wait_for(|stopped| *stopped) => true,
        }
    }

    /// Calls the function unless the worker is about to end, or another one leads.
    async fn call_if_it_may(&self) {
        let worker = self.cx.worker();
        if !worker.stop.is_asked() && (!self.descriptor.on_leader || worker.is_leader()) {
            self.call().await;
        }
    }

    async fn call(&self) {
        let BesideDescriptor { name, when, .. } = *self.descriptor;
        let called = unpanicked((self.descriptor.run)(self.cx.clone())).await;
        let Err(failure) = called else { return };
        metrics::counter!("stream_beside_failures_total", "function" => name).increment(1);
        if failure.action() == Action::Fatal {
            let text = format!("{} `{name}`: fatal: {failure}", when.what());
            tracing::error!("{text}");
            let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
            fatal.get_or_insert(Error::agent(text));
            self.cx.worker().stop.ask();
        } else {
            tracing::error!("{} `{name}` failed: {failure}", when.what());
        }
    }
}

/// A panic is a failure like any other.
pub(crate) async fn unpanicked<T>(
    mut call: Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + '_>>,
) -> Result<T, Failure> {
    poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut call).poll(cx)));
        polled.unwrap_or_else(|payload| {
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            let text = format!("panicked: {}", text.unwrap_or("no message"));
            Poll::Ready(Err(Failure::from(text)))
        })
    })
    .await
}
