//! Calls functions beside the streams when their time comes.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};

use super::{BackgroundContext, JobDescriptor, Then, When};
use crate::error::{Error, Failure, panic_text};
use crate::schedule::Schedule;
use crate::sync::Mutex;

/// Interval between checks whether the worker has recovered, and whether it leads.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Longest rest before the wall clock is looked at again: it may be set.
const LONGEST_REST: Duration = Duration::from_secs(20);
/// By how much the wall clock may be set back without a crontab's time being met again.
const BACK: TimeDelta = TimeDelta::hours(1);
/// How long tasks that began with the worker may take to end with it: most are loops.
const TASK_END_TIMEOUT: Duration = Duration::from_secs(1);

/// Functions beside the streams of a worker that runs.
pub(crate) struct Running {
    all: Vec<&'static JobDescriptor>,
    cx: BackgroundContext,
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
    all: Vec<&'static JobDescriptor>,
    cx: BackgroundContext,
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
            end(&mut self.starts, bound.min(TASK_END_TIMEOUT)).await;
            end(&mut self.calls, bound).await;
            let mut last = JoinSet::new();
            for descriptor in self.all.iter().filter(|d| d.when == When::Stop) {
                let caller = Caller {
                    descriptor,
                    cx: self.cx.clone(),
                    stopped: self.stop.subscribe(),
                    fatal: Arc::clone(&self.fatal),
                };
                last.spawn(async move { caller.call(Utc::now()).await });
            }
            end(&mut last, bound).await;
            self.cx.flush().await
        });
        let fatal = self.fatal.lock().take();
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
    descriptor: &'static JobDescriptor,
    cx: BackgroundContext,
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
            let due = tokio::select! {
                due = ticks.tick() => due,
                _ = self.stopped.wait_for(|stopped| *stopped) => return,
            };
            if self.may_call() {
                let late = TimeDelta::from_std(due.elapsed()).unwrap_or_default();
                self.call(Utc::now() - late).await;
            }
        }
    }

    async fn by_calendar(mut self, schedule: Schedule) {
        if !self.recovered().await {
            return;
        }
        let mut last = DateTime::UNIX_EPOCH;
        loop {
            // A clock that was set back a little does not call for the same time again.
            let now = Utc::now();
            let from = if now < last && last - now < BACK {
                last
            } else {
                now
            };
            let Some(next) = schedule.next(from) else {
                return;
            };
            while let Ok(left) = (next - Utc::now()).to_std() {
                // A little more, so that the clock has surely passed it.
                let rest = (left + Duration::from_millis(1)).min(LONGEST_REST);
                if self.rests(rest).await {
                    return;
                }
            }
            last = next;
            if self.may_call() && self.call_until_done(next, &schedule).await {
                return;
            }
        }
    }

    /// Calls a crontab, again after a failure, but not beyond its next time; whether the worker's end cut that short.
    async fn call_until_done(&mut self, due: DateTime<Utc>, schedule: &Schedule) -> bool {
        let JobDescriptor { name, retries, .. } = *self.descriptor;
        let mut failed = 0;
        loop {
            let Err(failure) = self.attempt(due).await else {
                return false;
            };
            failed += 1;
            let left = schedule
                .next(due)
                .map(|next| (next - Utc::now()).num_milliseconds());
            let due = due.to_rfc3339_opts(SecondsFormat::Secs, true);
            match self.descriptor.then(&failure, failed, left) {
                Then::Fatal => {
                    self.fatal(&failure);
                    return true;
                }
                Then::Again(wait) => {
                    tracing::warn!(
                        attempt = failed,
                        of = u64::from(retries) + 1,
                        retry_in_ms = wait,
                        "crontab `{name}`, due at {due}, failed: {failure}"
                    );
                    if self.rests(Duration::from_millis(wait)).await {
                        tracing::error!(
                            "crontab `{name}`, due at {due}, failed: {failure}; the worker ends before the next attempt, and nobody makes up for it"
                        );
                        return true;
                    }
                }
                Then::GivenUp => {
                    tracing::error!(
                        "crontab `{name}`, due at {due}, failed {failed} time(s), until its next time: {failure}"
                    );
                    return false;
                }
            }
        }
    }

    async fn at_start(mut self) {
        if !self.recovered().await {
            return;
        }
        while self.descriptor.on_leader && !self.cx.worker().is_leader() {
            if self.rests(CHECK_INTERVAL).await {
                return;
            }
        }
        self.call(Utc::now()).await;
    }

    /// Waits until the worker's partitions have recovered; `false` when it stops before.
    async fn recovered(&mut self) -> bool {
        while !self.cx.worker().has_recovered() {
            if self.rests(CHECK_INTERVAL).await {
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

    /// Whether the function is called here: not when the worker is about to end, or another one leads.
    fn may_call(&self) -> bool {
        let worker = self.cx.worker();
        !worker.stop.is_asked() && (!self.descriptor.on_leader || worker.is_leader())
    }

    /// Calls the function once for a time; a failure is told.
    async fn call(&self, due: DateTime<Utc>) {
        let JobDescriptor { name, when, .. } = *self.descriptor;
        let Err(failure) = self.attempt(due).await else {
            return;
        };
        match self.descriptor.then(&failure, u32::MAX, None) {
            Then::Fatal => self.fatal(&failure),
            _ => tracing::error!("{} `{name}` failed: {failure}", when.what()),
        }
    }

    async fn attempt(&self, due: DateTime<Utc>) -> Result<(), Failure> {
        let called = unpanicked((self.descriptor.run)(self.cx.due_at(due))).await;
        if called.is_err() {
            metrics::counter!("stream_beside_failures_total", "function" => self.descriptor.name)
                .increment(1);
        }
        called
    }

    /// The worker ends by the function's word.
    fn fatal(&self, failure: &Failure) {
        let JobDescriptor { name, when, .. } = *self.descriptor;
        let text = format!("{} `{name}`: fatal: {failure}", when.what());
        tracing::error!("{text}");
        let mut fatal = self.fatal.lock();
        fatal.get_or_insert(Error::agent(text));
        self.cx.worker().stop.ask();
    }
}

/// A panic is a failure like any other.
pub(crate) async fn unpanicked<T>(
    mut call: Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + '_>>,
) -> Result<T, Failure> {
    poll_fn(move |cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut call).poll(cx)));
        polled.unwrap_or_else(|payload| {
            let text = format!("panicked: {}", panic_text(&*payload));
            Poll::Ready(Err(Failure::from(text)))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::background::{Asking, Found, Of, Reads};
    use crate::prelude::*;
    use crate::topology::TableDescriptor;
    use crate::worker::{Ask, ShutdownSignal, Status, WorkerHandle};

    #[agent(topic = "run-words")]
    async fn some(_: String) {}

    static TRIED: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

    fn tries(which: usize, succeeds_at: u32) -> Result<()> {
        match TRIED[which].fetch_add(1, Ordering::Relaxed) + 1 >= succeeds_at {
            true => Ok(()),
            false => Err("not yet")?,
        }
    }

    #[crontab("0 0 1 1 *", backoff = "1ms")]
    async fn third_time(_: Due) -> Result<()> {
        tries(0, 3)
    }

    #[crontab("0 0 1 1 *", retries = 2, backoff = "1ms")]
    async fn never() -> Result<()> {
        tries(1, u32::MAX)
    }

    #[crontab("0 0 1 1 *", backoff = "1m")]
    async fn slowly() -> Result<()> {
        tries(2, u32::MAX)
    }

    struct NoRows;

    impl Reads for NoRows {
        fn ask(
            self: Arc<Self>,
            _: &'static TableDescriptor,
            _: Of,
            _: Ask,
            _: bool,
        ) -> Asking<Found> {
            Box::pin(std::future::ready(Err(Error::agent("no rows"))))
        }

        fn partitions(self: Arc<Self>, _: &'static TableDescriptor) -> Asking<i32> {
            Box::pin(std::future::ready(Ok(1)))
        }
    }

    #[test]
    fn a_worker_calls_a_crontab_again_that_failed_until_it_gives_up_or_ends() {
        let plan = App::new("run").only((some,)).plan_among(&[]).ok().unwrap();
        let (stop, stopped) = watch::channel(false);
        let call = |name: &str| {
            let mut all = inventory::iter::<JobDescriptor>.into_iter();
            let descriptor = all.find(|one| one.name == name && one.place.module == module_path!());
            let handle = WorkerHandle::new(ShutdownSignal::new(), Status::of(&plan));
            let cx =
                BackgroundContext::reading("run", Arc::default(), None, handle, Arc::new(NoRows));
            let mut caller = Caller {
                descriptor: descriptor.unwrap(),
                cx,
                stopped: stopped.clone(),
                fatal: Arc::default(),
            };
            async move {
                let schedule = Schedule::new("0 0 1 1 *", "UTC").unwrap();
                caller.call_until_done(Utc::now(), &schedule).await
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            assert!(!call("third_time").await);
            assert!(!call("never").await);
            let slow = tokio::spawn(call("slowly"));
            while TRIED[2].load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            stop.send(true).unwrap();
            // It does not wait for the next attempt.
            assert!(slow.await.unwrap());
        });
        let tried: Vec<u32> = TRIED.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        assert_eq!(tried, [3, 3, 1]);
    }
}
