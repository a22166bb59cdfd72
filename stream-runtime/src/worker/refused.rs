//! What becomes of a commit in which the broker refuses records for what they are: their events fail, by `on_error`, and
//! all the rest is committed without them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::partition::Partition;
use super::thread::StreamThread;
use crate::error::{Error, Kind};
use crate::kafka::{Deliveries, DeliveryFailure, NUMBERED, Undelivered};
use crate::task::{Found, Origin, Outgoing};

/// Events in a row whose records a topic refuses, and none that it takes, before that is the topic's doing: as long as it
/// never took one, and afterwards.
const IN_A_ROW: (usize, usize) = (3, 100);

/// How a topic has answered to a thread.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// It has taken records.
    taken: bool,
    /// Events refused since.
    refused: usize,
}

/// An output, the same when its event comes again: the event, its number there, its topic's.
type OutputName = (Origin, u32, usize);

/// What a partition's outputs came to.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Topics, by output, that have taken records.
    taken: Vec<Cell<bool>>,
    /// Those that the commit under way sends to.
    going: Vec<Cell<bool>>,
    /// At-least-once: what was delivered with a commit that did not come about, and whether it has come again.
    delivered: HashMap<OutputName, Cell<bool>>,
    /// The same of events that were taken together.
    together: Vec<DeliveredTogether>,
}

/// Outputs that were delivered of events that were taken together. They come together again, or, where one of them is at fault, one
/// by one: what they send then is the same if it says the same.
#[derive(Debug)]
struct DeliveredTogether {
    /// Input and offset of each.
    events: Vec<(usize, i64)>,
    outputs: Vec<Delivered>,
}

#[derive(Debug)]
struct Delivered {
    name: OutputName,
    content: u64,
    met: Cell<bool>,
}

impl DeliveredTogether {
    /// Whether an output is one of these: by its name, else by what it says.
    fn has(&self, name: &OutputName, content: u64) -> bool {
        let free = |one: &&Delivered| !one.met.get();
        let named = self
            .outputs
            .iter()
            .filter(free)
            .find(|one| one.name == *name);
        let alike = || {
            let mut rest = self.outputs.iter().filter(free);
            rest.find(|one| one.name.2 == name.2 && one.content == content)
        };
        let found = match name.0.is_of_several() && named.is_some() {
            true => named,
            false => alike(),
        };
        found.inspect(|one| one.met.set(true)).is_some()
    }
}

/// A number for what an output says: key, value and headers.
fn content_of(out: &Outgoing<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (out.key, out.value, out.headers).hash(&mut hasher);
    hasher.finish()
}

/// Numbers the outputs of each event.
#[derive(Debug)]
struct Names(Origin, u32);

impl Names {
    fn new() -> Self {
        Names(Origin::NONE, 0)
    }

    /// The next output's name; `None` where its event cannot be named.
    fn next(&mut self, out: &Outgoing<'_>) -> Option<OutputName> {
        self.1 = if self.0 == out.origin { self.1 + 1 } else { 0 };
        self.0 = out.origin;
        out.origin
            .is_known()
            .then_some((out.origin, self.1, out.topic))
    }
}

impl Sent {
    pub(super) fn new(outputs: usize) -> Self {
        Sent {
            taken: vec![Cell::new(false); outputs],
            going: vec![Cell::new(false); outputs],
            delivered: HashMap::new(),
            together: Vec::new(),
        }
    }

    /// Notes that the commit under way has something for this topic.
    pub(super) fn goes_to(&self, topic: usize) {
        self.going[topic].set(true);
    }

    /// Says for one output after the other whether it was delivered already.
    pub(super) fn delivered_before(&self) -> impl FnMut(&Outgoing<'_>) -> bool + '_ {
        let mut names = Names::new();
        move |out| {
            if self.delivered.is_empty() && self.together.is_empty() {
                return false;
            }
            let Some(name) = names.next(out) else {
                return false;
            };
            if let Some(met) = self.delivered.get(&name) {
                met.set(true);
                return true;
            }
            let of = |event| {
                self.together
                    .iter()
                    .filter(move |one| one.events.contains(&event))
            };
            let mut of = name.0.record().into_iter().flat_map(of).peekable();
            if of.peek().is_none() {
                return false;
            }
            let content = content_of(out);
            of.any(|together| together.has(&name, content))
        }
    }

    /// The commit has come about whose inputs stand at these offsets.
    pub(super) fn committed(&mut self, offsets: &[i64]) {
        if !self.together.is_empty() {
            let comes = |&(input, offset): &(usize, i64)| offsets[input] <= offset;
            self.together.retain(|one| one.events.iter().any(comes));
            for one in &mut self.together {
                one.outputs.retain(|output| !output.met.get());
            }
        }
        for (going, taken) in self.going.iter().zip(&self.taken) {
            if going.replace(false) {
                taken.set(true);
            }
        }
        if !self.delivered.is_empty() {
            self.delivered.retain(|_, met| !met.get());
        }
    }

    fn aborted(&self) {
        self.going.iter().for_each(|going| going.set(false));
        self.delivered.values().for_each(|met| met.set(false));
        let outputs = self.together.iter().flat_map(|one| &one.outputs);
        outputs.for_each(|output| output.met.set(false));
    }

    /// The broker has these outputs, each with its name, and nobody may send them again.
    fn keep(
        &mut self,
        events_of: impl Fn(Origin) -> Vec<(usize, i64)>,
        outputs: Vec<(OutputName, u64)>,
    ) {
        for (name, content) in outputs {
            if !name.0.is_of_several() {
                self.delivered.entry(name).or_default();
                continue;
            }
            let delivered = Delivered {
                name,
                content,
                met: Cell::new(false),
            };
            let events = events_of(name.0);
            match self.together.iter_mut().find(|one| one.events == events) {
                Some(one) if one.outputs.iter().any(|output| output.name == name) => {}
                Some(one) => one.outputs.push(delivered),
                None => self.together.push(DeliveredTogether {
                    events,
                    outputs: vec![delivered],
                }),
            }
        }
    }
}

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
    /// At-least-once: what the broker has of a commit that does not come about is not sent again. `sent` outputs went out.
    pub(super) fn keep_delivered(
        &mut self,
        group: &[usize],
        sent: usize,
        undelivered: &[(usize, Undelivered)],
    ) {
        let undelivered: HashSet<usize> = undelivered.iter().map(|(slot, _)| *slot).collect();
        let mut number = 0;
        for &at in group {
            let partition = &mut self.partitions[at];
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
            let own = self.partitions[at].output_topics();
            outputs.extend((0..own.len()).map(|index| (at, index)));
            topics.extend(own.into_iter().map(|(topic, _)| topic));
        }
        let mut places: BTreeMap<(&str, i32), Refusals<'_>> = BTreeMap::new();
        let (mut unclear, mut logs) = (BTreeMap::new(), BTreeSet::new());
        let slots = self.slots(group);
        for failure in &deliveries.refused {
            let number = failure.slot.checked_sub(NUMBERED);
            if let Some(&(at, index)) = number.and_then(|number| outputs.get(number)) {
                let origin = self.partitions[at].task.origin_of(index);
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
            let standing = self.standing.entry(topic.to_owned()).or_default();
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
            let task = &mut self.partitions[at].task;
            let (found, why) = match (certain.get(&at), unclear.get(&at)) {
                (Some(list), _) => (task.refused(list), &list[0].1),
                (None, Some(why)) => (task.narrow(why), why),
                (None, None) => continue,
            };
            let log = logs.iter().find(|(of, _)| *of == at);
            let log =
                log.and_then(|(_, table)| self.partitions[at].tables[*table].changelog.clone());
            if found == Found::Hopeless {
                let text = format!("a record is refused whatever its event comes to: {why}");
                given_up.push((at, Error::new(Kind::Broker, text)));
            } else if let (Found::Events, Some(topic), None) = (found, log, certain.get(&at)) {
                let before = self.has_taken(&topic);
                let standing = self.standing.entry(topic.to_string()).or_default();
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
            self.partitions[at].sent.aborted();
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
        self.partitions.iter().any(|partition| {
            let mut outputs = partition.task.topology().outputs.iter();
            let output = outputs.position(|output| output.topic == topic);
            let mut tables = partition.tables.iter();
            output.is_some_and(|at| partition.sent.taken[at].get())
                || tables.any(|t| t.changelog.as_deref() == Some(topic) && t.next > 0)
        })
    }

    /// A commit of these tasks has come about: what it sent to was open.
    pub(super) fn was_taken(&mut self, group: &[usize], logs: &[Option<i64>]) {
        if !self.standing.is_empty() {
            let mut open: Vec<String> = Vec::new();
            for &at in group {
                let partition = &self.partitions[at];
                let outputs = partition.task.topology().outputs.iter();
                let going = outputs.zip(&partition.sent.going);
                let going = going.filter(|(_, going)| going.get());
                open.extend(going.map(|(output, _)| output.topic.clone()));
            }
            for (slot, (at, table)) in self.slots(group).into_iter().enumerate() {
                if logs.get(slot).is_some_and(Option::is_some) {
                    let table = &self.partitions[at].tables[table];
                    open.extend(table.changelog.as_deref().map(str::to_owned));
                }
            }
            for topic in open {
                self.standing.remove(&topic);
            }
        }
        for &at in group {
            let Partition { sent, task, .. } = &mut self.partitions[at];
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
            self.partitions[at].sent.aborted();
        }
    }
}

impl Standing {
    /// Records of so many events were refused; others of the same commit were taken, or those of one before. Returns
    /// how many were refused in a row when that is the topic's doing.
    pub(crate) fn refuse(&mut self, took: bool, before: bool, events: usize) -> Option<usize> {
        self.taken |= took || before;
        self.refused = if took { 0 } else { self.refused } + events;
        let most = if self.taken { IN_A_ROW.1 } else { IN_A_ROW.0 };
        (!took && self.refused >= most).then_some(self.refused)
    }
}

/// A topic takes nothing at all.
pub(crate) fn takes_nothing(topic: &str, count: usize, why: &str) -> Error {
    Error::new(
        Kind::Broker,
        format!(
            "{topic} takes nothing that is sent to it: records of {count} events in a row were refused; look at the topic's settings; the last: {why}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(origin: Origin) -> Outgoing<'static> {
        Outgoing {
            topic: 0,
            key: None,
            value: None,
            timestamp: 1,
            headers: &[],
            origin,
        }
    }

    #[test]
    fn the_outputs_of_an_event_are_told_apart_and_those_of_none_have_no_name() {
        let event = |place| Origin {
            agent: 0,
            source: 0,
            place,
        };
        let mut names = Names::new();
        let seen: Vec<_> = [event(5), event(5), event(6), Origin::NONE, event(6)]
            .map(|origin| names.next(&out(origin)).map(|(o, n, _)| (o.place, n)))
            .into();
        assert_eq!(
            seen,
            [Some((5, 0)), Some((5, 1)), Some((6, 0)), None, Some((6, 0))]
        );
    }

    #[test]
    fn what_was_delivered_is_skipped_until_its_commit_has_come_about() {
        let origin = Origin {
            agent: 0,
            source: 0,
            place: 5,
        };
        let mut sent = Sent::new(1);
        sent.delivered.insert((origin, 0, 0), Cell::new(false));
        for _ in 0..2 {
            let mut before = sent.delivered_before();
            assert!(before(&out(origin)), "the first of it");
            assert!(!before(&out(origin)), "the second was not delivered");
            drop(before);
            sent.aborted();
        }
        sent.committed(&[]);
        assert_eq!(sent.delivered.len(), 1, "it has not come again");
        assert!(sent.delivered_before()(&out(origin)));
        sent.committed(&[]);
        assert!(sent.delivered.is_empty());
    }

    #[test]
    fn what_events_sent_together_is_known_again_by_its_number_and_one_by_one_by_what_it_says() {
        let several = Origin {
            agent: 0,
            source: 0x4000,
            place: 5,
        };
        let single = |place| Origin {
            agent: 0,
            source: 0,
            place,
        };
        assert!(several.is_of_several() && several.record() == Some((0, 5)));
        let says = |origin, value| Outgoing {
            value: Some(value),
            ..out(origin)
        };
        let (one, two) = (says(several, b"one"), says(several, b"two"));
        let mut names = Names::new();
        let named = [&one, &two].map(|out| (names.next(out).unwrap(), content_of(out)));
        let mut sent = Sent::new(1);
        let events = vec![(0, 5), (0, 6), (0, 9)];
        for _ in 0..2 {
            sent.keep(|_| events.clone(), named.to_vec());
        }
        assert_eq!(sent.together[0].outputs.len(), 2);

        let before = |sent: &Sent, outputs: &[Outgoing<'_>]| -> Vec<bool> {
            outputs.iter().map(sent.delivered_before()).collect()
        };
        let together = [
            says(several, b"one"),
            says(several, b"2"),
            says(several, b"3"),
        ];
        assert_eq!(before(&sent, &together), [true, true, false], "by number");
        sent.aborted();
        let alone = [
            says(single(5), b"two"),
            says(single(5), b"two"),
            says(single(7), b"one"),
            says(single(9), b"one"),
        ];
        assert_eq!(
            before(&sent, &alone),
            [true, false, false, true],
            "by content"
        );
        sent.aborted();
        sent.committed(&[9]);
        assert_eq!(sent.together.len(), 1, "the last of them is to come");
        sent.committed(&[10]);
        assert!(sent.together.is_empty());
    }

    #[test]
    fn a_topic_that_never_took_a_record_is_closed_sooner() {
        let mut standing = Standing::default();
        assert_eq!(standing.refuse(false, false, 2), None);
        assert_eq!(standing.refuse(false, false, 1), Some(3));
        let mut standing = Standing::default();
        assert_eq!(standing.refuse(true, false, 5), None, "others are taken");
        assert_eq!(standing.refuse(false, false, 94), None);
        assert_eq!(standing.refuse(false, false, 1), Some(100));
    }
}
