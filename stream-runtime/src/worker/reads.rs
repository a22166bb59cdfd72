//! Committed rows for whoever asks: from the stream thread that runs their partition, once the group has said that it
//! is this worker's still.

use super::questions::Answer;
use super::questions::Ask;
use super::questions::Confirmation;
use super::questions::Moment;
use super::questions::NotHere;
use super::questions::ReadRequest;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::handle::WorkerHandle;
use super::messages::Reply;
use super::status::{PartitionState, TaskName};
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::kafka::{GroupToken, TopicPartitionOffset};
use crate::topology::TableDescriptor;

/// Longest wait for a stream thread's answer: what takes longer is told as it is, and may be asked again.
const THREAD_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for the group to confirm a membership, the time that a read waits at most.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

impl WorkerHandle {
    /// How many partitions a table has; `None` as long as the worker does not know.
    pub(crate) fn partitions_of(&self, table: &str) -> Option<i32> {
        Some(self.facts()?.tables.get(table)?.partitions)
    }

    /// Where other workers ask it; empty when they cannot.
    pub(crate) fn address(&self) -> String {
        self.address.get().cloned().unwrap_or_default()
    }

    /// The declaration of a table.
    pub(crate) fn table(&self, name: &str) -> Option<&'static TableDescriptor> {
        Some(self.facts()?.tables.get(name)?.descriptor)
    }

    /// What is committed in a partition that this worker runs.
    pub(crate) async fn read(
        &self,
        table: &str,
        partition: i32,
        ask: Ask,
    ) -> Result<Answer, NotHere> {
        let facts = self.facts();
        let home = facts.as_ref().and_then(|facts| facts.tables.get(table));
        let Some(home) = home else {
            let text = format!("table `{table}`: the worker is not that far yet");
            return Err(NotHere::NotNow(text));
        };
        let task = (home.topology, partition);
        let (answer, answered) = oneshot::channel();
        let request = ReadRequest {
            task,
            table: home.table,
            ask,
            answer,
        };
        if !self.ask(task, Reply::Read(request)) {
            return Err(self.not_here(table, task));
        }
        match tokio::time::timeout(THREAD_ANSWER_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.not_here(table, task)),
            // The request is void with this, whenever the thread comes to it.
            Err(_) => Err(NotHere::NotNow(format!(
                "table `{table}`: the stream thread of partition {partition} has not answered for {} s: it stands in a commit, in \
                 a handler, or in a question to the group",
                THREAD_ANSWER_TIMEOUT.as_secs()
            ))),
        }
    }

    /// Why a partition's rows cannot be had here.
    fn not_here(&self, table: &str, task: TaskName) -> NotHere {
        let views = self.status.snapshot();
        let view = views.into_iter().find(|view| view.task == task);
        match view.map(|view| view.state) {
            None | Some(PartitionState::Revoked) => NotHere::Elsewhere,
            Some(PartitionState::Failed(why)) => {
                let text = format!("table `{table}`: partition {} has stopped: {why}", task.1);
                NotHere::Never(Error::new(Kind::Stopped, text))
            }
            Some(state) => NotHere::NotNow(format!(
                "table `{table}`: partition {} is not running yet ({state})",
                task.1
            )),
        }
    }
}

impl StreamThread {
    /// Answers from the committed rows of a partition of this thread, or asks the group first: a worker that stood
    /// still, as a process that was stopped does, has rows of yesterday, and others have its partitions.
    pub(super) fn read(&mut self, request: ReadRequest) {
        if request.answer.is_closed() {
            return;
        }
        let valid = self.session() / 3;
        if self
            .group
            .confirmed
            .at
            .is_some_and(|at| at.elapsed() < valid)
        {
            self.answer(request);
            return;
        }
        self.group.confirmed.waiting.push(request);
        if !self.group.confirmed.asking {
            self.ask_the_group();
        }
    }

    /// How long the group waits for a member that says nothing.
    fn session(&self) -> Duration {
        let properties = &self.worker.settings.properties;
        let session = properties.get("session.timeout.ms");
        let session = session.and_then(|ms| ms.parse().ok());
        session.map_or(crate::kafka::SESSION, Duration::from_millis)
    }

    /// No event is half done here.
    fn answer(&self, request: ReadRequest) {
        let running = |p: &&super::partition::Partition| p.name == request.task && p.is_running();
        let answer = match self.tasks.partitions.iter().find(running) {
            None => Err(NotHere::Elsewhere),
            Some(partition) => {
                let (task, table) = (&partition.task, request.table);
                let answer = match &request.ask {
                    Ask::Row(key) => task.read_committed(table, key).map(Answer::Row),
                    Ask::Rows(scan) => task.scan_committed(table, scan).map(Answer::Rows),
                };
                answer.map_err(NotHere::Never)
            }
        };
        // Who asked may have given up.
        let _ = request.answer.send(answer);
    }

    /// Commits an offset that means nothing: only a member of the current generation may.
    fn ask_the_group(&mut self) {
        self.group.confirmed.asking = true;
        let (generation, lookup) = (self.group.generation, self.group.member.lookup());
        let (answer, wake) = (self.replies.0.clone(), self.wake.clone());
        let place = self.harmless();
        tokio::task::spawn_blocking(move || {
            let began = Moment::now();
            let before = lookup.token();
            let result = lookup.prove(&place, CONFIRM_TIMEOUT);
            let tokens = [before, lookup.token()];
            drop(lookup);
            let confirmation = Confirmation {
                began,
                tokens,
                result,
            };
            let _ = answer.send(Reply::Confirmed {
                generation,
                confirmation,
            });
            wake.wake();
        });
    }

    /// An offset that means nothing to anybody, at the end of its log so that no monitor sees a lag: of the topic of
    /// the workers, or of a changelog where the app cannot have that topic.
    fn harmless(&self) -> TopicPartitionOffset {
        if let Some(next) = self.worker.handle.workers.next() {
            return TopicPartitionOffset::new(self.worker.workers_topic.as_str(), 0, next);
        }
        for partition in &self.tasks.partitions {
            for table in &partition.tables {
                if let Some(topic) = &table.changelog {
                    return TopicPartitionOffset::new(
                        Arc::clone(topic),
                        partition.name.1,
                        table.next.max(0),
                    );
                }
            }
        }
        TopicPartitionOffset::new(self.worker.workers_topic.as_str(), 0, 0)
    }

    /// Nothing is known of the place in the group.
    pub(super) fn unconfirmed(&mut self) {
        self.group.confirmed.at = None;
    }

    /// The group has answered.
    pub(super) fn confirmed(&mut self, generation: u64, confirmation: Confirmation) {
        self.group.confirmed.asking = false;
        let Confirmation {
            began,
            tokens: [before, after],
            result,
        } = confirmation;
        let member = before.as_ref().is_some_and(GroupToken::is_member) && before == after;
        let waiting = std::mem::take(&mut self.group.confirmed.waiting);
        if generation == self.group.generation && member && result.is_ok() {
            self.group.confirmed.at = Some(began);
            waiting.into_iter().for_each(|request| self.read(request));
            return;
        }
        self.group.confirmed.at = None;
        let why = result
            .err()
            .map_or_else(String::new, |fault| format!(": {fault}"));
        for request in waiting {
            let text = format!(
                "the group has not confirmed that partition {} is this worker's{why}",
                request.task.1
            );
            let _ = request.answer.send(Err(NotHere::NotNow(text)));
        }
    }
}
