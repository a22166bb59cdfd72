//! What runs beside the streams of a [`TestApp`](super::TestApp): timers and crontabs by its clock, tasks.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};

use super::cluster::Entry;
use super::drive::Drive;
use crate::app::Outlet;
use crate::beside::{
    Asking, BesideCx, BesideDescriptor, BesideFuture, Found, Of, Reads, Then, When, unpanicked,
};
use crate::error::{Error, Failure};
use crate::key::partition_of;
use crate::record::date;
use crate::schedule::Schedule;
use crate::task::{Now, States};
use crate::topology::TableDescriptor;
use crate::worker::{Answer, Ask, WorkerHandle};

/// How long a call that waits for something real is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it goes on.
const LOOK: Duration = Duration::from_millis(1);

/// The functions beside the streams, and when they are next called.
pub(super) struct Beside {
    calls: Vec<Call>,
    /// Calls that failed and are made again.
    agains: Vec<Attempt>,
    /// Tasks of the start that have not ended: most are loops.
    tasks: Vec<(&'static BesideDescriptor, BesideFuture)>,
    ends: Vec<&'static BesideDescriptor>,
    cx: BesideCx,
    outlet: Arc<Outlet>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

/// One call of a function, on one worker.
#[derive(Clone, Copy)]
struct Attempt {
    descriptor: &'static BesideDescriptor,
    worker: usize,
    /// The time that it is called for.
    due: DateTime<Utc>,
    /// Attempts that failed.
    failed: u32,
    /// Monotonic time at which it is made.
    at: u64,
}

/// A function that is called by the clock.
struct Call {
    descriptor: &'static BesideDescriptor,
    by: By,
}

enum By {
    /// At this monotonic time, and every so many ms from then on.
    Interval { next: u64, every: u64 },
    /// At this wall clock time, and as the calendar says from then on.
    Calendar {
        next: Option<i64>,
        schedule: Box<Schedule>,
    },
}

/// A function asks for rows.
struct Asked {
    table: &'static TableDescriptor,
    of: Of,
    ask: Ask,
    answer: oneshot::Sender<Result<Answer, Error>>,
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
        all: Vec<&'static BesideDescriptor>,
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
        let cx = BesideCx::reading("", states, Some(Arc::clone(&outlet)), worker, rows);
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
    fn due(&mut self, now: Now) -> Vec<(&'static BesideDescriptor, DateTime<Utc>)> {
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
    fn due_again(&mut self, now: Now) -> Vec<Attempt> {
        let due = self.agains.extract_if(.., |again| again.at <= now.mono);
        due.collect()
    }

    /// A worker dies, or all do, and with it what it would have tried again.
    pub(super) fn forget_calls(&mut self, worker: Option<usize>) {
        let dies = |again: &Attempt| worker.is_none_or(|worker| again.worker == worker);
        self.agains.retain(|again| !dies(again));
    }

    /// Ms until the next time of a crontab.
    fn left(&self, descriptor: &BesideDescriptor, now: Now) -> Option<i64> {
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

impl Drive {
    /// Calls what is due beside the streams, on every worker or on the one that leads. Returns whether anything was.
    pub(super) fn call_due(&mut self) -> Result<bool, Error> {
        let now = self.now;
        let mut attempts = self.beside.due_again(now);
        for (descriptor, due) in self.beside.due(now) {
            let workers = self.workers.iter().enumerate();
            let up = workers.filter(|(_, worker)| worker.up).map(|(at, _)| at);
            let called = if descriptor.on_leader { 1 } else { usize::MAX };
            attempts.extend(up.take(called).map(|worker| Attempt {
                descriptor,
                worker,
                due,
                failed: 0,
                at: now.mono,
            }));
        }
        for attempt in &attempts {
            self.call(*attempt)?;
        }
        Ok(!attempts.is_empty())
    }

    /// Calls the tasks of the end.
    pub(super) fn call_ends(&mut self) -> Result<(), Error> {
        for descriptor in std::mem::take(&mut self.beside.ends) {
            self.call(Attempt {
                descriptor,
                worker: 0,
                due: date(self.now.wall),
                failed: 0,
                at: self.now.mono,
            })?;
        }
        Ok(())
    }

    /// Lets the tasks of the start go on as far as they can; those that wait for something real go on later.
    pub(super) fn run_tasks(&mut self) -> Result<(), Error> {
        let tasks = std::mem::take(&mut self.beside.tasks);
        for (descriptor, mut task) in tasks {
            match self.poll(&mut task) {
                Some(Err(failure)) => {
                    let then = descriptor.then(&failure, u32::MAX, None);
                    told(descriptor, &failure, &then)?;
                }
                Some(Ok(())) => {}
                None => self.beside.tasks.push((descriptor, task)),
            }
        }
        self.deliver();
        Ok(())
    }

    fn call(&mut self, attempt: Attempt) -> Result<(), Error> {
        let descriptor = attempt.descriptor;
        let cx = self.beside.cx.due_at(attempt.due);
        let mut call: BesideFuture = Box::pin(unpanicked((descriptor.run)(cx)));
        let start = Instant::now();
        let result = loop {
            if let Some(result) = self.poll(&mut call) {
                break result;
            }
            if start.elapsed() > PATIENCE {
                let text = format!(
                    "{} `{}` has been waiting for {} s: a test goes on only when its call is done",
                    descriptor.when.what(),
                    descriptor.name,
                    PATIENCE.as_secs()
                );
                return Err(Error::agent(text));
            }
            self.runtime.block_on(tokio::time::sleep(LOOK));
        };
        self.deliver();
        let Err(failure) = result else {
            return Ok(());
        };
        let failed = attempt.failed + 1;
        let left = self.beside.left(descriptor, self.now);
        let then = descriptor.then(&failure, failed, left);
        if let Then::Again(wait) = then {
            let at = self.now.mono.saturating_add(wait);
            self.beside.agains.push(Attempt {
                failed,
                at,
                ..attempt
            });
        }
        told(descriptor, &failure, &then)
    }

    /// Polls a call until it waits for something that is not a row of the test's.
    fn poll(&mut self, call: &mut BesideFuture) -> Option<Result<(), Failure>> {
        loop {
            let polled = {
                let _entered = self.runtime.enter();
                call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            };
            if let Poll::Ready(result) = polled {
                return Some(result);
            }
            let mut answered = false;
            while let Ok(asked) = self.beside.asked.try_recv() {
                let rows = self.committed(asked.table, &asked.of, &asked.ask);
                let _ = asked.answer.send(rows);
                answered = true;
            }
            if !answered {
                return None;
            }
        }
    }

    fn committed(
        &self,
        table: &'static TableDescriptor,
        of: &Of,
        ask: &Ask,
    ) -> Result<Answer, Error> {
        let partition = match of {
            Of::Key(wire) => partition_of(wire, self.cluster.partitions),
            Of::Partition(partition) => *partition,
        };
        for seat in self.seats.iter().filter(|seat| seat.partition == partition) {
            let mut tables = self.topologies[seat.topology].tables.iter();
            if let Some(at) = tables.position(|planned| planned.descriptor == table) {
                return match ask {
                    Ask::Row(key) => seat.task.read_committed(at, key).map(Answer::Row),
                    Ask::Rows(scan) => seat.task.scan_committed(at, scan).map(Answer::Rows),
                };
            }
        }
        Err(Error::agent(format!(
            "no agent of the app keeps table `{}`",
            table.name
        )))
    }

    /// What was sent beside the streams is in its topics.
    fn deliver(&mut self) {
        for kept in self.beside.outlet.take() {
            let entry = Entry {
                key: kept.key,
                value: kept.value,
                timestamp: kept.timestamp.unwrap_or(self.now.wall),
                headers: kept.headers,
            };
            self.cluster.append(kept.topic, entry);
        }
    }
}

/// What is fatal to a worker fails the test; any other failure is told.
fn told(descriptor: &BesideDescriptor, failure: &Failure, then: &Then) -> Result<(), Error> {
    let (what, name) = (descriptor.when.what(), descriptor.name);
    let text = format!("{what} `{name}` failed: {failure}");
    match then {
        Then::Fatal => return Err(Error::agent(text)),
        Then::Again(wait) => tracing::warn!(retry_in_ms = wait, "{text}"),
        Then::GivenUp => tracing::error!("{text}"),
    }
    Ok(())
}
