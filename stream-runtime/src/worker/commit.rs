//! The commit of a stream thread: outputs, changelog rows, marks and offsets of its tasks, at once.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commit_producer::{Outlet, SEND_OFFSETS_TIMEOUT};
use super::context::WorkerContext;
use super::partition::Partition;
use super::status::PartitionState;
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::kafka::{
    Deliveries, DeliveryFailure, Fault, FaultKind, GroupConsumer, NUMBERED, TopicPartitionOffset,
};
use crate::task;
use crate::topology::OutputKind;

/// Commits that fail in the same way before the tasks stop.
const MAX_SAME_FAILURES: u32 = 3;
/// How long the group may take to say that a member is lost.
const GROUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the group's last yes holds, where nothing else fences: less than any session.
const PROOF_LIFETIME: Duration = Duration::from_secs(1);
/// How long deliveries may take outside transactions, and the calls that end a commit.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an abort may take: after that a new producer ends the transaction, which librdkafka's abort may never do.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The least time for a transaction's commit: of a shorter one the broker itself says that it is over.
const LEAST_COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// When it is said what a commit waits for.
const SAY_INTERVAL: Duration = Duration::from_secs(5);
/// Between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Why a commit did not succeed.
enum Broken {
    /// A call failed.
    Fault(Fault),
    /// A call did not come to an end in its time: what became of it is not known, and only a new producer helps.
    Overdue(Fault),
    /// The broker did not take some of the records. So many outputs had been sent.
    Undelivered(Box<Deliveries>, usize),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Broken::Fault(fault)
    }
}

impl Broken {
    fn kind(&self) -> FaultKind {
        match self {
            Broken::Fault(fault) | Broken::Overdue(fault) => fault.kind(),
            Broken::Undelivered(deliveries, _) => match deliveries.failures.first() {
                Some(cause) => cause.fault.kind(),
                None => FaultKind::Other,
            },
        }
    }

    fn text(&self) -> String {
        match self {
            Broken::Fault(fault) | Broken::Overdue(fault) => fault.to_string(),
            Broken::Undelivered(deliveries, _) => match deliveries.failures.first() {
                Some(cause) if deliveries.failed > 1 => {
                    format!("{cause} (and {} more)", deliveries.failed - 1)
                }
                Some(cause) => cause.to_string(),
                None => "some records were not delivered".to_owned(),
            },
        }
    }
}

/// The time that a commit has: every wait in it ends with it, and one line says what it waits for.
struct Wait<'a> {
    worker: &'a WorkerContext,
    member: &'a GroupConsumer,
    thread: usize,
    began: Instant,
    bound: Duration,
    said: Cell<bool>,
}

impl Wait<'_> {
    /// Returns whether there is time left. A worker that is stopping has less. One that has lost its partitions has
    /// none: the group takes no commit of it, and it can join again only after this one has ended.
    fn goes_on(&self, what: &str, why: Option<&Fault>) -> bool {
        let spent = self.began.elapsed();
        if spent >= SAY_INTERVAL && !self.said.replace(true) {
            let why = why.map_or_else(String::new, |fault| format!(": {fault}"));
            tracing::warn!(
                thread = self.thread,
                "a commit has waited {} s, and waits up to {} s, for {what}{why}",
                spent.as_secs(),
                self.bound.as_secs()
            );
        }
        spent < self.bound && !self.worker.is_late() && !self.member.is_lost()
    }

    /// Returns the wait for a part of the commit that has so long from now.
    fn part(&self, patience: Duration) -> Self {
        Self {
            bound: self.began.elapsed() + patience,
            said: Cell::new(self.said.get()),
            ..*self
        }
    }

    /// Returns the wait for the rest of the commit: what it has left, and at least so long.
    fn rest(&self, patience: Duration) -> Self {
        let part = self.part(patience);
        let bound = part.bound.max(self.bound);
        Self { bound, ..part }
    }

    /// Why a call failed: also by the time that it took.
    fn overdue(&self, fault: Fault) -> Broken {
        let over = self.began.elapsed() >= self.bound || self.member.is_lost();
        match fault.kind() {
            FaultKind::Retriable | FaultKind::Other if over => Broken::Overdue(fault),
            _ => Broken::Fault(fault),
        }
    }

    /// Makes a call, and again as long as it fails in a way that may pass by itself and there is time.
    fn again<T>(&self, what: &str, mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
        loop {
            match call() {
                Err(fault)
                    if fault.kind() == FaultKind::Retriable && self.goes_on(what, Some(&fault)) =>
                {
                    std::thread::sleep(RETRY_PAUSE);
                }
                result => return result,
            }
        }
    }
}

/// A record that could not be queued: what it is, when that is the reason.
fn unsent(
    topic: &str,
    record: (Option<&[u8]>, Option<&[u8]>),
    slot: usize,
    fault: Fault,
) -> Box<Result<DeliveryFailure, Fault>> {
    Box::new(match fault.kind() {
        FaultKind::Record => Ok(DeliveryFailure::unsent(topic, record, slot, fault)),
        _ => Err(fault),
    })
}

impl StreamThread {
    /// Commits what the tasks have acknowledged. A failure that can be repaired is: the tasks go back
    /// to their last commit and do the work again.
    ///
    /// # Errors
    /// The broker refuses for good.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.commits.pending = false;
        self.commits.heard = false;
        let began = Instant::now();
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for at in 0..self.tasks.partitions.len() {
            // Going back after a row that cannot be written may have ended all tasks.
            let Some(partition) = self.tasks.partitions.get_mut(at) else {
                return Ok(());
            };
            if !partition.may_commit() {
                continue;
            }
            if partition.is_running() && partition.task.holds_letters() {
                self.commits.pending = true;
                continue;
            }
            match partition.task.prepare() {
                Ok(false) => {}
                Ok(true) if partition.task.is_isolated() => alone.push(vec![at]),
                Ok(true) => together.push(at),
                Err(error) => {
                    self.unwritable(at, &error)?;
                    continue;
                }
            }
        }
        if !together.is_empty() {
            alone.push(together);
        }
        for group in alone {
            // An earlier group may have ended all tasks.
            if group.iter().any(|at| *at >= self.tasks.partitions.len()) {
                break;
            }
            self.commit_group(&group)?;
        }
        for partition in &mut self.tasks.partitions {
            partition.spent();
            partition.meters.read(&partition.task);
        }
        // Counted from its begin, so that what came meanwhile waits no longer than an interval; but a slow commit
        // leaves half an interval for work.
        let interval = self.worker.settings.intervals.commit;
        self.commits.last_commit =
            began.max(Instant::now().checked_sub(interval / 2).unwrap_or(began));
        Ok(())
    }

    fn commit_group(&mut self, group: &[usize]) -> Result<(), Error> {
        let began = Instant::now();
        let result = match &self.commits.outlet {
            Outlet::Exact(_) => self.transact(group),
            Outlet::Least(_) => self
                .prove_membership(group)
                .and_then(|()| self.send_in_order(group)),
        };
        match result {
            Ok(deliveries) => {
                for (slot, (at, table)) in self.slots(group).into_iter().enumerate() {
                    // After a retried batch there is no offset: the old one is only further back.
                    if let Some(Some(offset)) = deliveries.offsets.get(slot) {
                        let partition = &mut self.tasks.partitions[at];
                        let next = &mut partition.tables[table].next;
                        *next = (*next).max(offset + 1);
                        partition.task.changelog_at(table, *next);
                    }
                }
                self.was_taken(group, &deliveries.offsets);
                self.commits.meters.done(began.elapsed());
                for &at in group {
                    let partition = &mut self.tasks.partitions[at];
                    if partition.gets_further() {
                        self.tasks.stalled.remove(&partition.name);
                    }
                    partition.committed();
                    let committed = partition.inputs.iter().map(|input| input.committed);
                    self.worker
                        .handle
                        .committed(partition.sources().zip(committed));
                }
                self.commits.strikes = (0, String::new());
                self.group.proven = Instant::now();
                self.commits.backoff.succeed();
                self.commits.patience = SEND_OFFSETS_TIMEOUT;
                if std::mem::take(&mut self.commits.failing) {
                    self.worker.handle.commit_came_about(self.number);
                }
                Ok(())
            }
            Err(broken) => {
                self.commits.meters.failed();
                self.commits.failing = true;
                let why = broken.text();
                self.worker.handle.commit_failed(self.number, began, why);
                self.undo(group, broken)
            }
        }
    }

    /// Tables with a changelog, in the order of their delivery slots.
    pub(super) fn slots(&self, group: &[usize]) -> Vec<(usize, usize)> {
        let tables = |at: usize| {
            let with_log = self.tasks.partitions[at]
                .tables
                .iter()
                .enumerate()
                .filter(|(_, t)| t.changelog.is_some());
            with_log
                .map(move |(table, _)| (at, table))
                .collect::<Vec<_>>()
        };
        group.iter().flat_map(|&at| tables(at)).collect()
    }

    /// Exactly-once: one transaction.
    fn transact(&self, group: &[usize]) -> Result<Deliveries, Broken> {
        let Outlet::Exact(producer) = &self.commits.outlet else {
            return Err(Fault::new(FaultKind::Other, "commit", "no transactional producer").into());
        };
        let wait = self.wait(self.transaction_bound());
        producer.begin()?;
        let (sent, unsent) = self.send_all(group, &|| Ok(()))?;
        let goes_on = || wait.goes_on("its records to be delivered", None);
        let settled = producer.settle(goes_on);
        let mut deliveries = settled.map_err(|fault| wait.overdue(fault))?;
        if let Some(failure) = unsent {
            deliveries.unsent(failure);
        }
        if deliveries.failed > 0 {
            return Err(Broken::Undelivered(Box::new(deliveries), sent));
        }
        let offsets = self.offsets(group);
        let part = wait.part(self.commits.patience);
        let coordinator = "the group's coordinator to take the offsets";
        let patient = || part.goes_on(coordinator, None);
        let send = || producer.send_offsets(&offsets, &self.group.member, patient);
        let sent = part.again(coordinator, send);
        sent.map_err(|fault| part.overdue(fault))?;
        let part = wait.rest(self.commits.patience);
        let committed = part.again("the transactions' coordinator", || producer.commit());
        committed.map_err(|fault| part.overdue(fault))?;
        Ok(deliveries)
    }

    /// How long a transaction's commit may take: what takes longer the broker soon aborts by itself.
    fn transaction_bound(&self) -> Duration {
        let set = self
            .worker
            .settings
            .properties
            .get("transaction.timeout.ms");
        let set = set.and_then(|ms| ms.parse().ok());
        let set = set.map_or(crate::kafka::TRANSACTION, Duration::from_millis);
        (set * 2 / 3).max(LEAST_COMMIT_TIMEOUT)
    }

    /// Begins to wait for a commit.
    fn wait(&self, bound: Duration) -> Wait<'_> {
        Wait {
            worker: &self.worker,
            member: &self.group.member,
            thread: self.number,
            began: Instant::now(),
            bound,
            said: Cell::new(false),
        }
    }

    /// At-least-once: nothing fences what is sent now. A worker that was away, as a process that was stopped is, would
    /// write rows of yesterday over its successor's: so it asks the group first, by committing what is committed.
    fn prove_membership(&mut self, group: &[usize]) -> Result<(), Broken> {
        if self.group.proven.elapsed() < PROOF_LIFETIME {
            return Ok(());
        }
        let mut partitions = group.iter().map(|&at| &self.tasks.partitions[at]);
        if let Some(offsets) = partitions.find_map(Partition::as_committed) {
            self.commit_alone(&offsets)?;
        }
        self.group.proven = Instant::now();
        Ok(())
    }

    /// At-least-once: outputs; then rows, marks, tombstones; then offsets. Whatever happens in between,
    /// what comes later is not ahead of what came before, and what was delivered is not sent again.
    fn send_in_order(&mut self, group: &[usize]) -> Result<Deliveries, Broken> {
        let Outlet::Least(sender) = &self.commits.outlet else {
            return Err(Fault::new(FaultKind::Other, "commit", "no producer").into());
        };
        let sender = sender.clone();
        let delivered = || -> Result<(), Broken> {
            let deliveries = sender.flush(DELIVERY_TIMEOUT)?;
            match deliveries.failed {
                0 => Ok(()),
                _ => Err(Broken::Undelivered(Box::new(deliveries), usize::MAX)),
            }
        };
        let broken = match self.send_all(group, &delivered) {
            Err(Broken::Undelivered(deliveries, _)) => Err((deliveries, usize::MAX)),
            Err(broken) => return Err(broken),
            Ok((sent, unsent)) => {
                let mut deliveries = sender.flush(DELIVERY_TIMEOUT)?;
                if let Some(failure) = unsent {
                    deliveries.unsent(failure);
                }
                match deliveries.failed {
                    0 => Ok(deliveries),
                    _ => Err((Box::new(deliveries), sent)),
                }
            }
        };
        let deliveries = match broken {
            Ok(deliveries) => deliveries,
            Err((deliveries, sent)) => {
                self.keep_delivered(group, sent, &deliveries.undelivered);
                return Err(Broken::Undelivered(deliveries, sent));
            }
        };
        let committed = self.commit_offsets(group);
        if committed.is_err() {
            self.keep_delivered(group, usize::MAX, &[]);
        }
        committed.map(|()| deliveries)
    }

    fn commit_offsets(&self, group: &[usize]) -> Result<(), Broken> {
        self.commit_alone(&self.offsets(group))
    }

    /// Commits offsets outside a transaction.
    fn commit_alone(&self, offsets: &[(TopicPartitionOffset, String)]) -> Result<(), Broken> {
        if !self
            .group
            .member
            .token()
            .is_some_and(|token| token.is_member())
        {
            let text = "this worker is not a member of the group any more";
            return Err(Fault::new(FaultKind::Lost, "commit offsets", text).into());
        }
        let coordinator = "the group's coordinator to take the offsets";
        let wait = self.wait(DELIVERY_TIMEOUT);
        let patient = || wait.goes_on(coordinator, None);
        wait.again(coordinator, || self.group.member.commit(offsets, patient))?;
        Ok(())
    }

    /// Sends outputs, then, after `between`, rows, marks and tombstones. Returns how many outputs went out, and the
    /// record at which it ended because the client does not take it.
    fn send_all(
        &self,
        group: &[usize],
        between: &dyn Fn() -> Result<(), Broken>,
    ) -> Result<(usize, Option<DeliveryFailure>), Broken> {
        let (sent, unsent) = self.send_outputs(group)?;
        if unsent.is_some() {
            return Ok((sent, unsent));
        }
        if sent > 0 {
            between()?;
        }
        let unsent = self.send_changes(group)?;
        if unsent.is_none() {
            self.send_watermarks(group)?;
        }
        Ok((sent, unsent))
    }

    /// Says how far the tasks are as sources, behind all that they send.
    fn send_watermarks(&self, group: &[usize]) -> Result<(), Broken> {
        let wall = crate::clock::wall_ms();
        for &at in group {
            let each = |topic: &str, headers: &[u8], timestamp| {
                self.send_watermark(topic, headers, timestamp, wall)
            };
            self.tasks.partitions[at].task.each_watermark(each)?;
        }
        Ok(())
    }

    /// Sends a watermark to every partition of its topic.
    pub(super) fn send_watermark(
        &self,
        topic: &str,
        headers: &[u8],
        timestamp: i64,
        wall: i64,
    ) -> Result<(), Fault> {
        let partitions = super::repartition_lag::count(&self.worker, topic).unwrap_or(0);
        (0..partitions).try_for_each(|partition| {
            let place = (topic, partition);
            self.commits
                .outlet
                .send_watermark(place, headers, timestamp, wall)
        })
    }

    fn send_outputs(&self, group: &[usize]) -> Result<(usize, Option<DeliveryFailure>), Fault> {
        let wall = crate::clock::wall_ms();
        let mut number = 0;
        for &at in group {
            let partition = &self.tasks.partitions[at];
            let mut delivered = partition.sent.delivered_before();
            let each = |topic: &str, out: task::Outgoing<'_>| {
                let slot = NUMBERED + number;
                partition.sent.goes_to(out.topic);
                if !delivered(&out) {
                    let output = &partition.task.topology().outputs[out.topic];
                    let limit = match output.kind {
                        // Most outputs: they are not looked for among the letters.
                        OutputKind::Sink | OutputKind::Repartition => None,
                        OutputKind::DeadLetters | OutputKind::Unreadable => {
                            self.worker.topics.dead_letters.get(topic).copied()
                        }
                    };
                    let place = match out.key {
                        // Without a key: all in one place, as every other group.
                        None if output.kind == OutputKind::Repartition => {
                            super::repartition_lag::keyless(&self.worker, topic)
                        }
                        _ => None,
                    };
                    let sent =
                        self.commits
                            .outlet
                            .send_output((topic, place), &out, limit, (wall, slot));
                    sent.map_err(|fault| unsent(topic, (out.key, out.value), slot, fault))?;
                }
                number += 1;
                Ok::<(), Box<Result<DeliveryFailure, Fault>>>(())
            };
            if let Err(failure) = partition.task.each_output(each) {
                return failure.map(|failure| (number, Some(failure)));
            }
        }
        Ok((number, None))
    }

    fn send_changes(&self, group: &[usize]) -> Result<Option<DeliveryFailure>, Fault> {
        for (slot, (at, table)) in self.slots(group).into_iter().enumerate() {
            let partition = &self.tasks.partitions[at];
            let Some(changelog) = &partition.tables[table].changelog else {
                continue;
            };
            let mut result = Ok(());
            partition.task.with_changes(table, &mut |rows, mark| {
                let number = partition.name.1;
                let send = |key: &[u8], value| {
                    let sent =
                        self.commits
                            .outlet
                            .send_change(changelog, number, key, value, slot + 1);
                    sent.map_err(|fault| unsent(changelog, (Some(key), value), slot + 1, fault))
                };
                result = (|| {
                    rows.upserts()
                        .try_for_each(|(key, value)| send(key, Some(value)))?;
                    if let Some((key, value)) = mark {
                        send(key, Some(value))?;
                    }
                    rows.tombstones().try_for_each(|key| send(key, None))
                })();
            });
            if let Err(failure) = result {
                return failure.map(Some);
            }
        }
        Ok(None)
    }

    /// Offsets of all input partitions of the tasks, moved or not, with their tables' incarnations.
    fn offsets(&self, group: &[usize]) -> Vec<(TopicPartitionOffset, String)> {
        let mut offsets = Vec::new();
        for &at in group {
            let partition = &self.tasks.partitions[at];
            let metadata = partition.task.commit_metadata();
            for (at, offset) in partition.task.commit_offsets() {
                let input = &partition.inputs[at];
                let place =
                    TopicPartitionOffset::new(Arc::clone(&input.topic), input.partition, offset);
                offsets.push((place, metadata.clone()));
            }
        }
        offsets
    }

    /// A commit did not succeed.
    fn undo(&mut self, group: &[usize], mut broken: Broken) -> Result<(), Error> {
        let gone = match (&broken, broken.kind()) {
            (_, FaultKind::Record | FaultKind::Lost) => false,
            (Broken::Undelivered(..) | Broken::Overdue(_), _) => self.note_gone(group),
            // What the client knows already it does not even send.
            (Broken::Fault(fault), _) => fault.is_unknown_topic() && self.note_gone(group),
        };
        let later = match (&broken, broken.kind()) {
            (Broken::Overdue(_), _) | (_, FaultKind::Fatal) => None,
            _ => self.abort()?,
        };
        let Some(later) = later else {
            // Fenced, or nobody knows what became of it: a new producer ends the transaction, and the
            // tasks come back from what the broker has. A coordinator that needs long gets more time.
            self.commits.patience = (self.commits.patience * 2).min(self.transaction_bound());
            let text = broken.text();
            tracing::warn!(
                thread = self.number,
                "the commit failed, and the tasks start again: {text}"
            );
            return self.renew();
        };
        if let Broken::Undelivered(deliveries, _) = &mut broken {
            deliveries.append(later);
        }
        let text = broken.text();
        match (broken.kind(), &broken) {
            (FaultKind::Lost, _) => {
                // The group says so with one of its next events; until then nothing runs.
                tracing::warn!(thread = self.number, "the commit failed: {text}");
                self.drop_partitions(PartitionState::Assigned);
                self.group.generation += 1;
                self.group.ask_again = Some(Instant::now() + GROUP_TIMEOUT);
                Ok(())
            }
            _ if gone => self.without_gone(group),
            (FaultKind::Refused, _) => Err(Error::new(Kind::Refused, text)),
            (FaultKind::Record, Broken::Undelivered(deliveries, sent)) => {
                self.refused(group, *sent, deliveries)
            }
            _ => self.again_later(group, &broken, text),
        }
    }

    /// The work is done again after a while, unless it has failed alike too often.
    fn again_later(&mut self, group: &[usize], broken: &Broken, text: String) -> Result<(), Error> {
        self.void(group);
        let is_record = matches!(broken, Broken::Undelivered(..));
        let same = is_record && self.commits.strikes.1 == text;
        self.commits.strikes = (if same { self.commits.strikes.0 + 1 } else { 1 }, text);
        let text = &self.commits.strikes.1;
        if is_record && self.commits.strikes.0 >= MAX_SAME_FAILURES {
            let error = Error::new(
                Kind::Broker,
                format!(
                    "{MAX_SAME_FAILURES} commits in a row failed alike: {text}; look at the topic's settings and at the broker"
                ),
            );
            for &at in group {
                self.give_up(at, &error)?;
            }
            return Ok(());
        }
        let wait = self.commits.backoff.fail(Instant::now());
        tracing::warn!(
            thread = self.number,
            "the commit failed, and is made again in {wait:?}: {text}"
        );
        self.rewind(group)
    }

    /// A new producer, and the tasks from what the broker has. A worker that ends needs neither.
    pub(super) fn renew(&mut self) -> Result<(), Error> {
        if !self.worker.stop.is_asked() {
            match Self::outlet(&self.worker, self.number) {
                Ok(outlet) => {
                    self.commits.outlet = outlet;
                    self.start_again();
                    return Ok(());
                }
                Err(error) if !self.worker.stop.is_asked() => return Err(error),
                Err(error) => tracing::warn!(thread = self.number, "{error}"),
            }
        }
        self.drop_partitions(PartitionState::Assigned);
        Ok(())
    }

    /// Aborts the transaction, and returns what was reported meanwhile. `None`: its outcome is unknown, or the producer
    /// is finished.
    pub(super) fn abort(&self) -> Result<Option<Deliveries>, Error> {
        match &self.commits.outlet {
            Outlet::Exact(producer) => match self
                .wait(ABORT_TIMEOUT)
                .again("its transaction to be aborted", || producer.abort())
            {
                Ok(later) => Ok(Some(later)),
                Err(fault) if fault.kind() == FaultKind::Refused => Err(fault.into()),
                Err(fault) => {
                    tracing::warn!(thread = self.number, "{fault}");
                    Ok(None)
                }
            },
            // Late reports of this commit must not count for the next.
            Outlet::Least(sender) => Ok(Some(sender.flush(DELIVERY_TIMEOUT).unwrap_or_default())),
        }
    }

    /// A row of this task cannot be written as it is: until that is behind, rows are looked at event by event, and the
    /// event that makes such a row fails by its `on_error`.
    fn unwritable(&mut self, at: usize, error: &Error) -> Result<(), Error> {
        if self.tasks.partitions[at].task.be_careful() {
            tracing::debug!(thread = self.number, "looking for the event: {error}");
            return self.rewind(&[at]);
        }
        self.give_up(at, error)
    }

    /// Takes tasks back to their last commit.
    pub(super) fn rewind(&mut self, group: &[usize]) -> Result<(), Error> {
        let mut places = Vec::new();
        for &at in group {
            let partition = &mut self.tasks.partitions[at];
            match partition.task.aborted() {
                Ok(offsets) => places.extend(partition.places(&offsets)),
                Err(error) => self.fail(at, &error),
            }
        }
        if let Err(fault) = self.group.member.seek(&places) {
            tracing::warn!(thread = self.number, "{fault}; starting again");
            self.start_again();
        }
        Ok(())
    }

    pub(super) fn give_up(&mut self, at: usize, error: &Error) -> Result<(), Error> {
        self.rewind(&[at])?;
        if at < self.tasks.partitions.len() {
            self.fail(at, error);
            self.tasks.partitions[at].spent();
        }
        Ok(())
    }
}

impl Partition {
    /// The offsets that are committed, as a commit would name them; `None` when it would name anything new.
    pub(super) fn as_committed(&self) -> Option<Vec<(TopicPartitionOffset, String)>> {
        let known = |at: usize| self.tables[at].changelog.is_none() || self.task.mark(at).is_some();
        let metadata = self.task.committed_metadata();
        let offsets = self.inputs.iter().filter(|input| input.committed >= 0);
        let offsets: Vec<_> = offsets
            .map(|input| {
                let place = TopicPartitionOffset::new(
                    Arc::clone(&input.topic),
                    input.partition,
                    input.committed,
                );
                (place, metadata.clone())
            })
            .collect();
        (!offsets.is_empty() && (0..self.tables.len()).all(known)).then_some(offsets)
    }

    /// Returns whether the prepared commit holds an offset further on.
    fn gets_further(&self) -> bool {
        let mut inputs = self.inputs.iter().zip(self.task.offsets());
        inputs.any(|(input, (_, offset))| offset > input.committed.max(input.start))
    }

    /// The prepared commit is durable.
    fn committed(&mut self) {
        for (input, (_, offset)) in self.inputs.iter_mut().zip(self.task.offsets()) {
            input.committed = offset;
        }
        self.task.committed();
    }
}
