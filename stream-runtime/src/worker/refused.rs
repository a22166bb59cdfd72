//! What happens to a commit in which the broker refuses records for what they are: their events fail, by `on_error`,
//! and all the rest is committed without them.

use super::sent::Names;
use super::sent::OutputName;
use super::sent::content_of;
use super::sent::takes_nothing;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::partition::Partition;
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::kafka::{Deliveries, DeliveryFailure, NUMBERED, Undelivered};
use crate::task::{Found, Origin};

impl Partition {
    /// The outputs of the prepared commit: topic, and its place among the sub-topology's outputs.
    fn output_topics(&self) -> Vec<(String, usize)> {
        let mut topics = Vec::new();
        let _ = self.task.each_output(|topic, out| {
            topics.push((topic.to_owned(), out.topic));
            Ok::<_, std::convert::Infallible>(())
        });
        topics
    }
}

/// Records of one place that are refused.
#[derive(Default)]
struct Refusals<'d> {
    failures: Vec<&'d DeliveryFailure>,
    events: HashSet<(usize, Origin)>,
}

impl StreamThread {
    /// At-least-once: what the broker has of a commit that does not succeed is not sent again. `sent` outputs went out.
    pub(super) fn keep_delivered(
        &mut self,
        group: &[usize],
        sent: usize,
        undelivered: &[(usize, Undelivered)],
    ) {
        let undelivered: HashSet<usize> = undelivered.iter().map(|(slot, _)| *slot).collect();
        let mut number = 0;
        for &at in group {
            let partition = &mut self.tasks.partitions[at];
            let (mut names, mut delivered) = (Names::new(), Vec::new());
            let _ = partition.task.each_output(|_, out| {
                let name = names.next(&out);
                if number < sent && !undelivered.contains(&(NUMBERED + number)) {
                    let content = |name: OutputName| match name.0.is_of_several() {
                        true => content_of(&out),
                        false => 0,
                    };
                    delivered.extend(name.map(|name| (name, content(name))));
                }
                number += 1;
                Ok::<_, std::convert::Infallible>(())
            });
            let Partition { sent, task, .. } = partition;
            sent.keep(|origin| task.events_of(origin), delivered);
        }
    }

    /// The broker will never take some of what was sent, of which `sent` were outputs. The transaction is aborted.
    pub(super) fn refused(
        &mut self,
        group: &[usize],
        sent: usize,
        deliveries: &Deliveries,
    ) -> Result<(), Error> {
        // Whose each output is.
        let mut outputs: Vec<(usize, usize)> = Vec::new();
        let mut topics: Vec<String> = Vec::new();
        for &at in group {
            let own = self.tasks.partitions[at].output_topics();
            outputs.extend((0..own.len()).map(|index| (at, index)));
            topics.extend(own.into_iter().map(|(topic, _)| topic));
        }
        let mut places: BTreeMap<(&str, i32), Refusals<'_>> = BTreeMap::new();
        let (mut unclear, mut logs) = (BTreeMap::new(), BTreeSet::new());
        let slots = self.slots(group);
        for failure in &deliveries.refused {
            let number = failure.slot.checked_sub(NUMBERED);
            if let Some(&(at, index)) = number.and_then(|number| outputs.get(number)) {
                let origin = self.tasks.partitions[at].task.origin_of(index);
                let place = (failure.topic.as_str(), failure.partition);
                let refusals = places.entry(place).or_default();
                refusals.failures.push(failure);
                refusals.events.insert((at, origin));
            } else if let Some(&(at, table)) = slots.get(failure.slot.wrapping_sub(1)) {
                // Which event a row is of is seen when there is one.
                unclear.entry(at).or_insert_with(|| failure.to_string());
                logs.insert((at, table));
            }
        }
        // Where the broker does not say which of a batch it means, it may be any.
        let mut certain: BTreeMap<usize, Vec<(usize, String)>> = BTreeMap::new();
        let mut blamed: HashMap<&str, HashSet<(usize, Origin)>> = HashMap::new();
        for ((topic, partition), refusals) in &places {
            let mut told = deliveries.told.iter();
            let told = told.any(|(of, number)| of == topic && number == partition);
            let clear = told || refusals.events.len() == 1;
            for failure in &refusals.failures {
                let (at, index) = outputs[failure.slot - NUMBERED];
                if clear {
                    let list = certain.entry(at).or_default();
                    list.push((index, failure.to_string()));
                } else {
                    unclear.entry(at).or_insert_with(|| failure.to_string());
                }
            }
            if clear {
                blamed.entry(topic).or_default().extend(&refusals.events);
            }
        }
        // What else was sent there says whether it is the topic that takes nothing.
        let undelivered: HashMap<usize, Undelivered> =
            deliveries.undelivered.iter().copied().collect();
        let is_taken = |number: usize| match undelivered.get(&(NUMBERED + number)) {
            None => number < sent,
            Some(why) => *why == Undelivered::Beside,
        };
        let mut closed: HashMap<&str, usize> = HashMap::new();
        for (topic, events) in blamed {
            let mut sent_there = topics.iter().enumerate().filter(|(_, to)| *to == topic);
            let took = sent_there.any(|(number, _)| is_taken(number));
            let before = self.has_taken(topic);
            let standing = self.commits.standing.entry(topic.to_owned()).or_default();
            if let Some(count) = standing.refuse(took, before, events.len()) {
                closed.insert(topic, count);
            }
        }
        let mut given_up: Vec<(usize, Error)> = Vec::new();
        for &at in group {
            let mut closed_here = certain.get(&at).into_iter().flatten();
            let closed_here = closed_here.find_map(|(index, why)| {
                let number = outputs.iter().position(|place| *place == (at, *index))?;
                let topic = topics[number].as_str();
                Some((topic, closed.get(topic)?, why))
            });
            if let Some((topic, count, why)) = closed_here {
                given_up.push((at, takes_nothing(topic, *count, why)));
                continue;
            }
            let task = &mut self.tasks.partitions[at].task;
            let (found, why) = match (certain.get(&at), unclear.get(&at)) {
                (Some(list), _) => (task.refused(list), &list[0].1),
                (None, Some(why)) => (task.narrow(why), why),
                (None, None) => continue,
            };
            let log = logs.iter().find(|(of, _)| *of == at);
            let log = log
                .and_then(|(_, table)| self.tasks.partitions[at].tables[*table].changelog.clone());
            if found == Found::Hopeless {
                let text = format!("a record is refused whatever its event comes to: {why}");
                given_up.push((at, Error::new(Kind::Broker, text)));
            } else if let (Found::Events, Some(topic), None) = (found, log, certain.get(&at)) {
                let before = self.has_taken(&topic);
                let standing = self.commits.standing.entry(topic.to_string()).or_default();
                if let Some(count) = standing.refuse(false, before, 1) {
                    given_up.push((at, takes_nothing(&topic, count, why)));
                }
            }
        }
        tracing::debug!(
            thread = self.number,
            refused = deliveries.refused.len(),
            "the commit was refused in part, and is made again without"
        );
        let going: Vec<usize> = group.to_vec();
        for &at in &going {
            self.tasks.partitions[at].sent.aborted();
        }
        let stays = |at: &usize| !given_up.iter().any(|(lost, _)| lost == at);
        let rest: Vec<usize> = going.into_iter().filter(stays).collect();
        self.rewind(&rest)?;
        for (at, error) in given_up {
            self.give_up(at, &error)?;
        }
        Ok(())
    }

    /// Whether a topic has taken something of this thread.
    fn has_taken(&self, topic: &str) -> bool {
        self.tasks.partitions.iter().any(|partition| {
            let mut outputs = partition.task.topology().outputs.iter();
            let output = outputs.position(|output| output.topic == topic);
            let mut tables = partition.tables.iter();
            output.is_some_and(|at| partition.sent.taken[at].get())
                || tables.any(|t| t.changelog.as_deref() == Some(topic) && t.next > 0)
        })
    }

    /// A commit of these tasks has succeed: what it sent to was open.
    pub(super) fn was_taken(&mut self, group: &[usize], logs: &[Option<i64>]) {
        if !self.commits.standing.is_empty() {
            let mut open: Vec<String> = Vec::new();
            for &at in group {
                let partition = &self.tasks.partitions[at];
                let outputs = partition.task.topology().outputs.iter();
                let going = outputs.zip(&partition.sent.going);
                let going = going.filter(|(_, going)| going.get());
                open.extend(going.map(|(output, _)| output.topic.clone()));
            }
            for (slot, (at, table)) in self.slots(group).into_iter().enumerate() {
                if logs.get(slot).is_some_and(Option::is_some) {
                    let table = &self.tasks.partitions[at].tables[table];
                    open.extend(table.changelog.as_deref().map(str::to_owned));
                }
            }
            for topic in open {
                self.commits.standing.remove(&topic);
            }
        }
        for &at in group {
            let Partition { sent, task, .. } = &mut self.tasks.partitions[at];
            let offsets: Vec<i64> = match sent.together.is_empty() {
                true => Vec::new(),
                false => task.offsets().map(|(_, offset)| offset).collect(),
            };
            sent.committed(&offsets);
        }
    }

    /// What was sent with these tasks' commit is void.
    pub(super) fn void(&self, group: &[usize]) {
        for &at in group {
            self.tasks.partitions[at].sent.aborted();
        }
    }
}
