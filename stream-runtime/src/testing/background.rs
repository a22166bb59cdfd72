//! What runs beside the streams of a [`TestApp`](super::TestApp): timers and crontabs by its clock, tasks.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};

use crate::background::{
    Asking, BackgroundContext, Found, JobDescriptor, JobFuture, Of, Reads, When, unpanicked,
};
use crate::error::Error;
use crate::producer::Outlet;
use crate::record::date;
use crate::schedule::Schedule;
use crate::task::{Now, States};
use crate::topology::TableDescriptor;
use crate::worker::{Answer, Ask, WorkerHandle};

/// The functions beside the streams, and when they are next called.
pub(super) struct Beside {
    pub(super) calls: Vec<Call>,
    /// Calls that failed and are made again.
    pub(super) agains: Vec<Attempt>,
    /// Tasks of the start that have not ended: most are loops.
    pub(super) tasks: Vec<(&'static JobDescriptor, JobFuture)>,
    pub(super) ends: Vec<&'static JobDescriptor>,
    pub(super) cx: BackgroundContext,
    pub(super) outlet: Arc<Outlet>,
    pub(super) asked: mpsc::UnboundedReceiver<Asked>,
}

/// One call of a function, on one worker.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) descriptor: &'static JobDescriptor,
    pub(super) worker: usize,
    /// The time that it is called for.
    pub(super) due: DateTime<Utc>,
    /// Attempts that failed.
    pub(super) failed: u32,
    /// Monotonic time at which it is made.
    pub(super) at: u64,
}

/// A function that is called by the clock.
pub(super) struct Call {
    descriptor: &'static JobDescriptor,
    by: By,
}

pub(super) enum By {
    /// At this monotonic time, and every so many ms from then on.
    Interval { next: u64, every: u64 },
    /// At this wall clock time, and as the calendar says from then on.
    Calendar {
        next: Option<i64>,
        schedule: Box<Schedule>,
    },
}

/// A function asks for rows.
pub(super) struct Asked {
    pub(super) table: &'static TableDescriptor,
    pub(super) of: Of,
    pub(super) ask: Ask,
    pub(super) answer: oneshot::Sender<Result<Answer, Error>>,
}

/// The way from a function to the test that has the rows.
struct Asks {
    asked: mpsc::UnboundedSender<Asked>,
    partitions: i32,
}

impl Reads for Asks {
    fn ask(
        self: Arc<Self>,
        table: &'static TableDescriptor,
        of: Of,
        ask: Ask,
        _: bool,
    ) -> Asking<Found> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asked.send(Asked {
            table,
            of,
            ask,
            answer,
        });
        Box::pin(async move {
            let over = |_| Err(Error::agent("the test is over"));
            let owner = "the test".to_owned();
            let answer = answered.await.unwrap_or_else(over)?;
            Ok(Found { answer, owner })
        })
    }

    fn partitions(self: Arc<Self>, _: &'static TableDescriptor) -> Asking<i32> {
        Box::pin(std::future::ready(Ok(self.partitions)))
    }
}

impl Beside {
    pub(super) fn new(
        all: Vec<&'static JobDescriptor>,
        states: Arc<States>,
        worker: Arc<WorkerHandle>,
        partitions: i32,
    ) -> Result<Self, Error> {
        let (ask, asked) = mpsc::unbounded_channel();
        let rows = Arc::new(Asks {
            asked: ask,
            partitions,
        });
        let outlet = Outlet::memory();
        let cx = BackgroundContext::reading("", states, Some(Arc::clone(&outlet)), worker, rows);
        let mut beside = Beside {
            calls: Vec::new(),
            agains: Vec::new(),
            tasks: Vec::new(),
            ends: Vec::new(),
            outlet,
            asked,
            cx,
        };
        for descriptor in all {
            let by = match descriptor.when {
                When::Every { ms } => By::Interval {
                    next: ms,
                    every: ms,
                },
                When::Crontab {
                    expression,
                    timezone,
                } => By::Calendar {
                    next: None,
                    schedule: Box::new(
                        Schedule::new(expression, timezone)
                            .map_err(|error| error.context(descriptor.place))?,
                    ),
                },
                When::Start => {
                    let task = (descriptor.run)(beside.cx.due_at(DateTime::UNIX_EPOCH));
                    beside.tasks.push((descriptor, Box::pin(unpanicked(task))));
                    continue;
                }
                When::Stop => {
                    beside.ends.push(descriptor);
                    continue;
                }
            };
            beside.calls.push(Call { descriptor, by });
        }
        Ok(beside)
    }

    /// The calendar goes on from here: what lay on the way of records that moved the clock is left out.
    pub(super) fn look_at_the_calendar(&mut self, now: Now) {
        for call in &mut self.calls {
            if let By::Calendar { next, schedule } = &mut call.by {
                *next = after(schedule, now.wall);
            }
        }
    }

    /// Monotonic time of the next call.
    pub(super) fn next(&self, now: Now) -> Option<u64> {
        let times = self.calls.iter().filter_map(|call| match &call.by {
            By::Interval { next, .. } => Some(*next),
            By::Calendar { next, .. } => {
                let left = u64::try_from((*next)? - now.wall).unwrap_or(0);
                Some(now.mono + left)
            }
        });
        times.chain(self.agains.iter().map(|again| again.at)).min()
    }

    /// Functions whose time has come, and that time; they have their next one then.
    pub(super) fn due(&mut self, now: Now) -> Vec<(&'static JobDescriptor, DateTime<Utc>)> {
        let mut due = Vec::new();
        for call in &mut self.calls {
            let at = match &mut call.by {
                By::Interval { next, every } if *next <= now.mono => {
                    let late = i64::try_from(now.mono - *next).unwrap_or(i64::MAX);
                    *next += *every;
                    now.wall.saturating_sub(late)
                }
                By::Calendar { next, schedule } => match *next {
                    Some(at) if at <= now.wall => {
                        *next = after(schedule, now.wall);
                        at
                    }
                    _ => continue,
                },
                By::Interval { .. } => continue,
            };
            due.push((call.descriptor, date(at)));
        }
        due
    }

    /// Calls that failed and whose next attempt has come.
    pub(super) fn due_again(&mut self, now: Now) -> Vec<Attempt> {
        let due = self.agains.extract_if(.., |again| again.at <= now.mono);
        due.collect()
    }

    /// A worker dies, or all do, and with it what it would have tried again.
    pub(super) fn forget_calls(&mut self, worker: Option<usize>) {
        let dies = |again: &Attempt| worker.is_none_or(|worker| again.worker == worker);
        self.agains.retain(|again| !dies(again));
    }

    /// Ms until the next time of a crontab.
    pub(super) fn left(&self, descriptor: &JobDescriptor, now: Now) -> Option<i64> {
        let mut calls = self.calls.iter();
        let call = calls.find(|call| std::ptr::eq(call.descriptor, descriptor))?;
        match call.by {
            By::Calendar { next, .. } => Some(next? - now.wall),
            By::Interval { .. } => None,
        }
    }
}

fn after(schedule: &Schedule, wall: i64) -> Option<i64> {
    let next = schedule.next(DateTime::from_timestamp_millis(wall)?)?;
    Some(next.timestamp_millis())
}
