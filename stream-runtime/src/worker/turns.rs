//! The loop of a stream thread: the group, answers, recovery, work, commits, the store, and rest.

use super::failed::Down;
use super::flush;
use super::messages::Reply;
use super::partition::Partition;
use super::status::{PartitionState, Retry};
use super::thread::StreamThread;
use crate::error::Error;
use crate::task::{Stand, TaskFailure};
use std::time::{Duration, Instant};

/// Rows that await the store at most, about.
const ROUND_ROWS: usize = 100_000;

/// Longest rest: events of the group are served this often at least.
const REST: Duration = Duration::from_secs(1);

/// The same while a table with `idle` has open windows.
const IDLE_REST: Duration = Duration::from_millis(500);

/// Time that watermarks wait for a commit of their own.
const HEARD: Duration = Duration::from_secs(1);

/// What a turn of a thread's tasks came to.
#[derive(Default)]
struct Turned {
    /// There may be more to do at once.
    busy: bool,
    /// Records came, or events were processed: more than timers that ticked.
    moved: bool,
    commit_due: bool,
}

impl StreamThread {
    /// The loop, until the worker is asked to stop.
    ///
    /// # Errors
    /// The thread cannot go on: the whole worker ends.
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        self.join()?;
        loop {
            self.pulse.at(Stand::Group);
            self.serve_group().await?;
            if self.worker.stop.is_asked() {
                self.pulse.at(Stand::Ends);
                self.leave().await?;
                return self.fatal.take().map_or(Ok(()), Err);
            }
            self.pulse.at(Stand::Answers);
            self.take_replies()?;
            self.take_stored();
            self.pulse.at(Stand::Recovery);
            let mut moved = self.recover()?;
            let mut busy = moved;
            self.pulse.at(Stand::Work);
            if self.commits.backoff.waits(Instant::now()).is_none() {
                let turn = self.process();
                busy |= turn.busy;
                moved |= turn.moved;
                let since = self.commits.last_commit.elapsed();
                if self.commits.pending
                    && (turn.commit_due || since >= self.worker.settings.intervals.commit)
                    || self.commits.heard && since >= HEARD
                {
                    self.pulse.at(Stand::Commit);
                    self.commit()?;
                    self.purge();
                }
            }
            self.pulse.at(Stand::Store);
            self.bring_back();
            self.tell_stalled()?;
            self.look_at_times();
            self.write_rounds();
            self.pulse.at(Stand::Rest);
            if busy {
                self.unsettle(moved);
                // Lets timers and sockets that agents wait for come in.
                tokio::task::yield_now().await;
            } else {
                self.settle();
                self.rest().await;
            }
        }
    }

    fn take_replies(&mut self) -> Result<(), Error> {
        while let Ok(reply) = self.replies.1.try_recv() {
            match reply {
                Reply::Found {
                    generation,
                    task,
                    result,
                } if generation == self.group.generation => match task {
                    None => self.found(result)?,
                    Some(task) => self.found_one(task, result)?,
                },
                Reply::Ends {
                    generation,
                    task,
                    lull,
                    result,
                } if generation == self.group.generation => match lull {
                    None => self.ends(task, result),
                    Some(lull) => self.lull_ends(task, lull, result),
                },
                Reply::Read(request) => self.read(request),
                Reply::Unfit { task, why } => self.unfit(task, why),
                Reply::Confirmed {
                    generation,
                    confirmation,
                } => self.confirmed(generation, confirmation),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_stored(&mut self) {
        while let Some(stored) = self.storer.try_done() {
            if let (Some(at), Err(error)) = (
                flush::done(&mut self.tasks.partitions, &stored),
                stored.result,
            ) {
                self.fail(at, &error.into());
            }
        }
    }

    /// Fills inboxes and runs tasks.
    fn process(&mut self) -> Turned {
        let mut turn = Turned::default();
        let now = self.worker.now();
        self.look_at_sources();
        for at in 0..self.tasks.partitions.len() {
            if self.sits_out(at) {
                continue;
            }
            let partition = &mut self.tasks.partitions[at];
            // With a full cache it waits for the store, whose end wakes the thread.
            if !partition.is_running() || partition.task.is_full() {
                continue;
            }
            let read = partition.read(&mut self.reading.batch, &mut self.reading.headers);
            partition.turn.brought = read.items > 0;
            let result = partition.task.run(now);
            let (more, due) = result
                .as_ref()
                .map_or((false, false), |turn| (turn.more, turn.commit_due));
            let processed = partition.task.processed();
            // Ticks are committed like other events, and leave a quiet input quiet.
            let ticks = partition.task.ticks();
            let ticked = std::mem::replace(&mut partition.turn.ticks, ticks) != ticks;
            let moved = read.items > 0 || processed != partition.turn.seen;
            partition.turn.seen = processed;
            self.commits.pending |= moved || ticked || partition.task.is_dirty();
            let heard = partition.task.heard();
            let passed =
                std::mem::replace(&mut partition.turn.heard, heard) != heard || read.passed > 0;
            self.commits.heard |= passed;
            let moved_on = passed || moved || more;
            turn.moved |= moved_on;
            turn.busy |= moved_on || ticked || (partition.task.is_woken() && result.is_ok());
            turn.commit_due |= due;
            if let Some(fault) = read.error {
                self.unreadable(at, fault);
                continue;
            }
            if let Err(failure) = result {
                self.failed_task(at, failure);
                continue;
            }
            self.watch_idle(at, moved, now.wall, now.mono);
            self.watch_lulls(at, now.mono);
            self.watch_retries(at);
        }
        turn
    }

    /// A task said that it cannot go on, or that nobody can.
    pub(super) fn failed_task(&mut self, at: usize, failure: TaskFailure) {
        if !failure.fatal {
            self.fail(at, &failure.error);
            return;
        }
        // The others end in order, and what is acknowledged is committed.
        self.lose(at, &failure.error);
        self.fatal.get_or_insert(failure.error);
        self.worker.handle.stop.ask();
    }

    fn watch_retries(&mut self, at: usize) {
        let partition = &mut self.tasks.partitions[at];
        let retrying = partition.task.retrying();
        if retrying == partition.retrying {
            return;
        }
        partition.retrying = retrying;
        let state = match retrying {
            None => PartitionState::Running,
            Some(retrying) => PartitionState::Retrying(Retry {
                why: format!(
                    "agent `{}` failed at {}",
                    retrying.agent,
                    partition.task.record_location()
                ),
                failed: retrying.failed,
                at: self.worker.began + Duration::from_millis(retrying.at),
            }),
        };
        self.worker.status.retries(partition.name, state);
    }

    /// Looks what holds back the time of tasks behind a hop.
    fn look_at_times(&mut self) {
        if self.looked.elapsed() < REST {
            return;
        }
        self.looked = Instant::now();
        let behind = |p: &&mut Partition| p.is_running() && p.task.is_behind_a_hop();
        for partition in self.tasks.partitions.iter_mut().filter(behind) {
            let held = partition.held();
            self.worker.status.holds(partition.name, held);
        }
    }

    fn write_rounds(&mut self) {
        let rows = |p: &Partition| {
            (0..p.tables.len())
                .map(|at| p.task.unstored(at))
                .sum::<usize>()
        };
        // Also of tasks that recover: their tables may be larger than the cache.
        for partition in self
            .tasks
            .partitions
            .iter_mut()
            .filter(|p| p.task.is_full())
        {
            partition.store(&mut self.storer, crate::clock::wall_ms());
        }
        let due = self.last_round.elapsed() >= self.worker.settings.intervals.store;
        if !due && self.tasks.partitions.iter().map(rows).sum::<usize>() < ROUND_ROWS {
            return;
        }
        self.last_round = Instant::now();
        self.store_rows();
        self.look_for_others();
    }

    /// Hands all rows that await the store to the storer.
    pub(super) fn store_rows(&mut self) {
        crate::error::quiet::say_left_out(false);
        crate::kafka::say_over();
        let wall = crate::clock::wall_ms();
        for partition in self.tasks.partitions.iter_mut().filter(|p| p.is_running()) {
            partition.store(&mut self.storer, wall);
            partition.say_late();
        }
    }

    /// Waits for the first of: something to read, an agent, the group, an answer, the next deadline.
    async fn rest(&mut self) {
        let now = Instant::now();
        let mut until = now + REST;
        if self.commits.pending {
            until = until.min(self.commits.last_commit + self.worker.settings.intervals.commit);
        }
        if self.commits.heard {
            until = until.min(self.commits.last_commit + HEARD);
        }
        if let Some(at) = self.commits.backoff.waits(now) {
            until = at.min(now + REST);
        }
        for at in [self.group.ask_again, self.group.rejoin.at]
            .into_iter()
            .flatten()
        {
            until = until.min(at);
        }
        for at in self.tasks.down.iter().filter_map(Down::due) {
            until = until.min(at);
        }
        // While a failed commit is waited for, nothing is begun.
        let begins = self.commits.backoff.waits(now).is_none();
        for partition in self
            .tasks
            .partitions
            .iter()
            .filter(|p| begins && p.is_running())
        {
            if let Some(mono) = partition.task.next_wake() {
                until = until.min(self.worker.began + Duration::from_millis(mono));
            }
            if let Some(after) = partition.task.idle_after() {
                until = until.min(now + IDLE_REST.min(Duration::from_millis(after.max(1))));
            }
            if let Some(idle) = self.worker.settings.time.source_idle
                && partition.waits_to_rest()
            {
                until = until.min(now + IDLE_REST.min(idle.max(Duration::from_millis(1))));
            }
        }
        if until <= now {
            tokio::task::yield_now().await;
            return;
        }
        let wake = self.wake.clone();
        let _ = tokio::time::timeout_at(until.into(), wake.wait()).await;
    }
}
