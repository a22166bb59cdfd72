//! What outputs have come to: which topics take records, and what was delivered with a commit that failed.

use crate::error::{Error, Kind};
use crate::task::{Origin, Outgoing};
use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Events in a row whose records a topic refuses, and none that it takes, before that is the topic's doing: as long as
/// it never took one, and afterwards.
pub(super) const IN_A_ROW: (usize, usize) = (3, 100);

/// How a topic has answered to a thread.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// It has taken records.
    pub(super) taken: bool,
    /// Events refused since.
    pub(super) refused: usize,
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

/// An output, the same when its event comes again: the event, its number there, its topic's.
pub(super) type OutputName = (Origin, u32, usize);

/// What a partition's outputs came to.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Topics, by output, that have taken records.
    pub(super) taken: Vec<Cell<bool>>,
    /// Those that the commit under way sends to.
    pub(super) going: Vec<Cell<bool>>,
    /// At-least-once: what was delivered with a commit that did not succeed, and whether it has come again.
    pub(super) delivered: HashMap<OutputName, Cell<bool>>,
    /// The same of events that were taken together.
    pub(super) together: Vec<DeliveredTogether>,
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

    /// The commit has succeed whose inputs stand at these offsets.
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

    pub(super) fn aborted(&self) {
        self.going.iter().for_each(|going| going.set(false));
        self.delivered.values().for_each(|met| met.set(false));
        let outputs = self.together.iter().flat_map(|one| &one.outputs);
        outputs.for_each(|output| output.met.set(false));
    }

    /// The broker has these outputs, each with its name, and nobody may send them again.
    pub(super) fn keep(
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

/// Outputs that were delivered of events that were taken together. They come together again, or, where one of them is
/// at fault, one by one: what they send then is the same if it says the same.
#[derive(Debug)]
pub(super) struct DeliveredTogether {
    /// Input and offset of each.
    pub(super) events: Vec<(usize, i64)>,
    pub(super) outputs: Vec<Delivered>,
}

impl DeliveredTogether {
    /// Whether an output is one of these: by its name, else by what it says.
    pub(super) fn has(&self, name: &OutputName, content: u64) -> bool {
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

#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) name: OutputName,
    pub(super) content: u64,
    pub(super) met: Cell<bool>,
}

/// A number for what an output says: key, value and headers.
pub(super) fn content_of(out: &Outgoing<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (out.key, out.value, out.headers).hash(&mut hasher);
    hasher.finish()
}

/// Numbers the outputs of each event.
#[derive(Debug)]
pub(super) struct Names(Origin, u32);

impl Names {
    pub(super) fn new() -> Self {
        Names(Origin::NONE, 0)
    }

    /// The next output's name; `None` where its event cannot be named.
    pub(super) fn next(&mut self, out: &Outgoing<'_>) -> Option<OutputName> {
        self.1 = if self.0 == out.origin { self.1 + 1 } else { 0 };
        self.0 = out.origin;
        out.origin
            .is_known()
            .then_some((out.origin, self.1, out.topic))
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
