//! What runs beside the streams of a [`TestApp`](super::TestApp): timers and crontabs by its clock, tasks.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chrono::DateTime;
use tokio::sync::{mpsc, oneshot};

use super::cluster::Entry;
use super::drive::Drive;
use crate::app::Outlet;
use crate::beside::{
    Asking, BesideCx, BesideDescriptor, BesideFuture, Of, Reads, Schedule, When, unpanicked,
};
use crate::error::{Action, Error, Failure};
use crate::key::partition_of;
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
    /// Tasks of the start that have not ended: most are loops.
    tasks: Vec<(&'static BesideDescriptor, BesideFuture)>,
    ends: Vec<&'static BesideDescriptor>,
    cx: BesideCx,
    outlet: Arc<Outlet>,
    asked: mpsc::UnboundedReceiver<Asked>,
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
    ) -> Asking<Answer> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asked.send(Asked {
            table,
            of,
            ask,
            answer,
        });
        Box::pin(async move {
            let over = |_| Err(Error::agent("the test is over"));
            answered.await.unwrap_or_else(over)
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
                    let task = (descriptor.run)(beside.cx.clone());
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
        times.min()
    }

    /// Functions whose time has come; they have their next one then.
    fn due(&mut self, now: Now) -> Vec<&'static BesideDescriptor> {
        let mut due = Vec::new();
        for call in &mut self.calls {
            match &mut call.by {
                By::Interval { next, every } if *next <= now.mono => *next += *every,
                By::Calendar { next, schedule } if next.is_some_and(|at| at <= now.wall) => {
                    *next = after(schedule, now.wall);
                }
                _ => continue,
            }
            due.push(call.descriptor);
        }
        due
    }
}

fn after(schedule: &Schedule, wall: i64) -> Option<i64> {
    let next = schedule.next(DateTime::from_timestamp_millis(wall)?)?;
    Some(next.timestamp_millis())
}

impl Drive {
    /// Calls what is due beside the streams, on every worker or on the one that leads. Returns whether anything was.
    pub(super) fn call_due(&mut self) -> Result<bool, Error> {
        let due = self.beside.due(self.now);
        let up = self.workers.iter().filter(|worker| worker.up).count();
        for descriptor in &due {
            let times = if descriptor.on_leader { 1 } else { up };
            for _ in 0..times {
                self.call(descriptor)?;
            }
        }
        Ok(!due.is_empty())
    }

    /// Calls the tasks of the end.
    pub(super) fn call_ends(&mut self) -> Result<(), Error> {
        for descriptor in std::mem::take(&mut self.beside.ends) {
            self.call(descriptor)?;
        }
        Ok(())
    }

    /// Lets the tasks of the start go on as far as they can; those that wait for something real go on later.
    pub(super) fn run_tasks(&mut self) -> Result<(), Error> {
        let tasks = std::mem::take(&mut self.beside.tasks);
        for (descriptor, mut task) in tasks {
            match self.poll(&mut task) {
                Some(result) => ended(descriptor, result)?,
                None => self.beside.tasks.push((descriptor, task)),
            }
        }
        self.deliver();
        Ok(())
    }

    fn call(&mut self, descriptor: &'static BesideDescriptor) -> Result<(), Error> {
        let mut call: BesideFuture = Box::pin(unpanicked((descriptor.run)(self.beside.cx.clone())));
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
        ended(descriptor, result)
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

/// What is fatal to a worker fails the test; any other failure is told, and the next call comes in its time.
fn ended(descriptor: &BesideDescriptor, result: Result<(), Failure>) -> Result<(), Error> {
    let Err(failure) = result else {
        return Ok(());
    };
    let text = format!(
        "{} `{}` failed: {failure}",
        descriptor.when.what(),
        descriptor.name
    );
    if failure.action() == Action::Fatal {
        return Err(Error::agent(text));
    }
    tracing::error!("{text}");
    Ok(())
}
