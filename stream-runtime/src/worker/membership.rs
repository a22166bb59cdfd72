//! A thread's place in the group: taken, and taken again when another has its instance id.

use std::time::{Duration, Instant};

use super::context::WorkerContext;
use super::status::PartitionState;
use super::thread::StreamThread;
use crate::error::{Error, quiet};
use crate::kafka::{Fault, FaultKind, GroupConsumer, GroupEvent, Wake};

/// A member that lived this long before it was fenced is not one of two that fence each other.
const PEACE: Duration = Duration::from_secs(60);
/// Time in which a group gives a member its partitions, also where it first waits for the session of another to end.
const GROUP_ANSWER: Duration = Duration::from_secs(30);

impl StreamThread {
    /// The thread's member of the group, which has not joined yet.
    pub(super) fn member(
        worker: &WorkerContext,
        number: usize,
        wake: &Wake,
    ) -> Result<GroupConsumer, Fault> {
        let instance = Self::instance(worker, number);
        GroupConsumer::new(
            &worker.settings.properties,
            &worker.app,
            instance.as_deref(),
            Some(&worker.writer(number)),
            wake,
        )
    }

    fn instance(worker: &WorkerContext, number: usize) -> Option<String> {
        let id = worker.settings.instance_id.as_ref()?;
        Some(format!("{id}-{number}"))
    }

    /// Does what the group asks for.
    pub(super) async fn serve_group(&mut self) -> Result<(), Error> {
        let mut events = std::mem::take(&mut self.group.events);
        self.group.member.events(&mut events);
        for event in events.drain(..) {
            self.unsettle(true);
            match event {
                GroupEvent::Assigned(partitions) => self.assigned(partitions)?,
                GroupEvent::Revoked { partitions, lost } => {
                    self.revoked(partitions.len(), lost).await?;
                }
                GroupEvent::Fenced(fault) => self.fenced(&fault),
                GroupEvent::Failed(fault) => match fault.kind() {
                    FaultKind::Refused | FaultKind::Fatal => {
                        return Err(fault.with_cure(&self.worker.settings.properties).into());
                    }
                    _ => tracing::warn!(thread = self.number, "{fault}"),
                },
            }
        }
        self.group.events = events;
        let now = Instant::now();
        if self.group.ask_again.is_some_and(|at| at <= now) {
            self.group.ask_again = None;
            self.ask();
        }
        if self.group.rejoin.at.is_some_and(|at| at <= now) {
            self.group.rejoin.at = None;
            self.group.member = Self::member(&self.worker, self.number, &self.wake)?;
            self.join()?;
        }
        self.say_that_it_waits(now);
        Ok(())
    }

    /// Says once in a while what a member waits for that the group does not answer.
    fn say_that_it_waits(&mut self, now: Instant) {
        if self.group.assigned.is_some() || self.group.rejoin.at.is_some() {
            self.group.say_waiting = None;
            return;
        }
        // A worker that ends asks the broker nothing.
        if self.worker.stop.is_asked()
            || now < *self.group.say_waiting.get_or_insert(now + GROUP_ANSWER)
        {
            return;
        }
        let why = self.worker.why_no_coordinator(
            "__consumer_offsets",
            "offsets.topic.replication.factor",
            "the coordinator is away, or another member of the group has not answered yet and has a longer `max.poll.interval.ms`",
        );
        let line = format!(
            "waiting for group `{}` to give partitions for more than {} s: {why}",
            self.worker.app,
            GROUP_ANSWER.as_secs()
        );
        if let Some(more) = quiet::news("group", &line) {
            tracing::warn!("{line}{}", quiet::and(more));
        }
        // The question may have taken long.
        self.group.say_waiting = Some(Instant::now() + GROUP_ANSWER);
    }

    /// Joins the group for the inputs, and for the leader's topic where there is one.
    pub(super) fn join(&self) -> Result<(), Fault> {
        let mut topics = self.worker.input_topics();
        topics.extend(self.worker.settings.leader_topic.as_deref());
        self.group.member.subscribe(&topics)
    }

    /// Another member has our instance id, and our partitions with it. Two workers with one id would take them from
    /// each other for ever: each waits longer every time.
    fn fenced(&mut self, fault: &Fault) {
        if self.group.rejoin.at.is_some() {
            return;
        }
        let now = Instant::now();
        if self
            .group
            .rejoin
            .fenced
            .is_none_or(|at| now.duration_since(at) > PEACE)
        {
            self.group.rejoin.backoff.succeed();
        }
        self.group.rejoin.fenced = Some(now);
        let wait = self.group.rejoin.backoff.fail(now) * 10;
        let wait = wait.min(Duration::from_secs(30));
        self.group.rejoin.at = Some(now + wait);
        tracing::error!(
            thread = self.number,
            instance = Self::instance(&self.worker, self.number),
            "{fault}: another worker runs under this instance id; give each its own `--instance-id`; joining again in {wait:?}"
        );
        self.drop_partitions(PartitionState::Revoked);
        self.unowned();
    }
}
