//! Tasks that cannot go on, as sources of the time behind `group_by`: their readers are told, wait for `hold`, and then
//! go on without them. And tasks that start again where they may have said that they are idle.

use super::failed::Stalled;
use std::time::{Duration, Instant};

use super::commit_producer::Outlet;
use super::partition::Partition;
use super::status::TaskName;
use super::thread::StreamThread;
use crate::error::Error;
use crate::kafka::{Fault, TopicPartitionOffset};
use crate::table::NO_TIME;
use crate::task::watermark::{SourceState, Word, put_watermark, source_of};

/// Time that telling may take, and between two attempts.
const TELL: Duration = Duration::from_secs(5);

impl StreamThread {
    /// A task failed; `again`: it had run well for long.
    pub(super) fn stalls(&mut self, name: TaskName, again: bool) {
        let topology = &self.worker.topologies[name.0];
        let times = vec![NO_TIME; topology.fills.len()];
        if times.is_empty() {
            return;
        }
        if again {
            self.tasks.stalled.remove(&name);
        }
        let stalled = self.tasks.stalled.entry(name).or_insert_with(|| Stalled {
            since: Instant::now(),
            told: None,
            times,
            offsets: Vec::new(),
            again: None,
        });
        // It may have told something else in between.
        if stalled.told == Some(SourceState::Stopped) {
            stalled.told = None;
        }
    }

    /// A failed task is taken out of the round: how far its last commit is.
    pub(super) fn stalled_at(&mut self, partition: &Partition) {
        if let Some(stalled) = self.tasks.stalled.get_mut(&partition.name) {
            stalled.times = partition.task.times_as_source();
            stalled.offsets = partition.as_committed().unwrap_or_default();
        }
    }

    /// Returns whether the readers of a task go on without it.
    pub(super) fn is_left_out(&self, name: TaskName) -> bool {
        let stalled = self.tasks.stalled.get(&name);
        stalled.is_some_and(|stalled| stalled.told == Some(SourceState::LeftOut))
    }

    /// Tells the readers of tasks that failed what they have to know by now.
    ///
    /// # Errors
    /// The thread cannot go on.
    pub(super) fn tell_stalled(&mut self) -> Result<(), Error> {
        if self.tasks.stalled.is_empty() || self.commits.backoff.waits(Instant::now()).is_some() {
            return Ok(());
        }
        let hold = self.worker.settings.time.hold;
        for at in 0..self.tasks.down.len() {
            let name = self.tasks.down[at].name;
            let Some(stalled) = self.tasks.stalled.get(&name) else {
                continue;
            };
            let stands = stalled.stands(hold);
            if stalled.told == Some(stands)
                || stalled.again.is_some_and(|again| again > Instant::now())
            {
                continue;
            }
            let times = stalled.times.iter().copied();
            let words: Vec<(String, Word)> = self.words(name, times, stands).collect();
            let told = self.tell(&words, &stalled.offsets);
            let label = self.worker.status.label(name);
            let Some(stalled) = self.tasks.stalled.get_mut(&name) else {
                continue;
            };
            match told {
                Ok(()) => {
                    stalled.told = Some(stands);
                    if stands == SourceState::LeftOut {
                        tracing::warn!(
                            partition = label,
                            "has failed for {} s (`hold`): time behind it goes on without it, and its records will be late there",
                            stalled.since.elapsed().as_secs()
                        );
                    }
                }
                Err(fault) => {
                    stalled.again = Some(Instant::now() + TELL);
                    tracing::warn!(partition = label, "{fault}; told again later");
                    if self.abort()?.is_none() {
                        return self.renew();
                    }
                }
            }
        }
        Ok(())
    }

    /// Says of the sources of a static member that they count, before their tasks recover: it is back in the generation
    /// in which it may have said that they are idle. Returns whether that is done; it is tried again otherwise.
    ///
    /// # Errors
    /// The thread cannot go on.
    pub(super) fn tell_that_sources_count(&mut self) -> Result<bool, Error> {
        if self.worker.settings.instance_id.is_none() {
            return Ok(true);
        }
        let mut words = Vec::new();
        for share in self.shares() {
            // How far it is its tables say; nobody takes a time back.
            let times = std::iter::repeat(NO_TIME);
            words.extend(self.words(share.name(), times, SourceState::Counts));
        }
        if words.is_empty() {
            return Ok(true);
        }
        let Err(fault) = self.tell(&words, &[]) else {
            return Ok(true);
        };
        tracing::warn!(
            thread = self.number,
            "{fault}; that its partitions count is told again before they begin"
        );
        if self.abort()?.is_none() {
            self.renew()?;
        }
        Ok(false)
    }

    /// Returns what a task of this thread says of itself in each topic that it fills, by its times there.
    fn words(
        &self,
        name: TaskName,
        times: impl Iterator<Item = i64>,
        state: SourceState,
    ) -> impl Iterator<Item = (String, Word)> {
        let topology = &self.worker.topologies[name.0];
        let fills = topology.fills.iter().zip(times);
        fills.map(move |(fill, time)| {
            let word = Word {
                source: source_of(fill.number, name.1),
                time,
                state,
                generation: self.group.assigned_in,
            };
            (topology.outputs[fill.output].topic.clone(), word)
        })
    }

    /// One commit of watermarks alone, with the offsets as they are.
    fn tell(
        &self,
        words: &[(String, Word)],
        offsets: &[(TopicPartitionOffset, String)],
    ) -> Result<(), Fault> {
        if let Outlet::Exact(producer) = &self.commits.outlet {
            producer.begin()?;
        }
        let wall = crate::clock::wall_ms();
        for (topic, word) in words {
            let mut headers = Vec::new();
            put_watermark(&[*word], &mut headers);
            self.send_watermark(topic, &headers, word.stamp().unwrap_or(wall), wall)?;
        }
        let began = Instant::now();
        let patient = || began.elapsed() < TELL && !self.worker.is_late();
        let failed = match &self.commits.outlet {
            Outlet::Exact(producer) => producer.settle(patient)?,
            Outlet::Least(sender) => sender.flush(TELL)?,
        };
        if let Some(failure) = failed.failures.into_iter().next() {
            return Err(failure.fault);
        }
        if let Outlet::Exact(producer) = &self.commits.outlet {
            if !offsets.is_empty() {
                producer.send_offsets(offsets, &self.group.member, patient)?;
            }
            producer.commit()?;
        }
        Ok(())
    }
}
