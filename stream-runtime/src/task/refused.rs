//! Which events a refused commit is the fault of: each output knows its event, rows are looked at event by event, and
//! where neither helps, commits are made smaller until one event is left.

use std::rc::Rc;

use super::dispatch::Current;
use super::origin::{ANY, CALL, CLOSING, Origin, TICK, TOGETHER, Together, UNKNOWN};
use super::state::{AgentCx, TaskState};
use super::task::Task;

/// What came of the search for the events that spoil a commit.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// They fail when they come again, and the next commit is without them.
    Events,
    /// The next commits hold fewer events.
    Nearer,
    /// The event is out already, and what was sent in its place is refused too.
    Hopeless,
}

/// A number for the closing row of a key in the window that ends at `end`, the same in every attempt: FNV-1a, because
/// each row that closes pays for it.
fn name_of(end: i64, key: &[u8]) -> i64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let begin = (0xcbf2_9ce4_8422_2325 ^ end.cast_unsigned()).wrapping_mul(PRIME);
    let number = key.iter().fold(begin, |number, byte| {
        (number ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    // The smallest one is not a row's.
    number.cast_signed().max(i64::MIN + 1)
}

impl TaskState {
    /// The event that an agent has in flight.
    #[inline]
    pub(crate) fn origin(&self, agent: usize) -> Origin {
        let Current::Input(input) = self.dispatch.current.get() else {
            return self.origin_of_other(agent);
        };
        match self.inputs.inboxes[input].borrow().front_offset() {
            Some(place) => Origin {
                agent: agent as u16,
                source: input as u16,
                place,
            },
            None => Origin::NONE,
        }
    }

    /// The same when it is not a record at the front of an input.
    fn origin_of_other(&self, agent: usize) -> Origin {
        let (source, place) = match self.dispatch.current.get() {
            Current::InFlight(_) => {
                let held = self.dispatch.held.borrow();
                let Some(first) = held.front() else {
                    return Origin::NONE;
                };
                let mut origin = self.origin_at(agent, first.input, first.place);
                if held.len() > 1 {
                    // With transactions nothing of a commit that was refused is left: no name is needed.
                    if self.settings.exactly_once || !origin.is_known() {
                        return Origin::NONE;
                    }
                    origin.source |= TOGETHER;
                }
                return origin;
            }
            Current::Closed(table) => {
                let cell = &self.tables[table];
                // Of a join's records several may have one key and one time.
                let place = (cell.closes_beside().0 == cell.descriptor().name).then(|| {
                    let (_, end) = cell.head_window().unwrap_or_default();
                    name_of(end, &self.dispatch.closed_key.borrow())
                });
                (CLOSING | table as u16, place)
            }
            Current::Tick(_) => match self.current_call() {
                Some(due) => (CALL, Some(due)),
                None => (TICK, Some(0)),
            },
            Current::Input(_) | Current::None => (UNKNOWN, None),
        };
        let Some(place) = place else {
            return Origin::NONE;
        };
        Origin {
            agent: agent as u16,
            source,
            place,
        }
    }

    /// The event at a place of an input.
    pub(crate) fn origin_at(&self, agent: usize, input: usize, place: u64) -> Origin {
        match self.inputs.inboxes[input].borrow().at(place) {
            Some(record) => Origin {
                agent: agent as u16,
                source: input as u16,
                place: record.offset,
            },
            None => Origin::NONE,
        }
    }

    /// Notes which events are being acknowledged together.
    pub(crate) fn note_together(&self, origin: Origin) {
        if !origin.is_of_several() {
            return;
        }
        let held = self.dispatch.held.borrow();
        let events = held.iter().filter_map(|one| {
            let inbox = self.inputs.inboxes[one.input].borrow();
            inbox.at(one.place).map(|record| (one.input, record.offset))
        });
        let events = events.collect();
        let together = Rc::new(Together { origin, events });
        self.effects.blame.together.borrow_mut().push(together);
    }

    /// Notes which event is being acknowledged, while they are looked at one by one.
    pub(crate) fn note_last(&self) {
        let mut origin = self.origin(usize::from(ANY));
        if let (Current::Closed(table), false) = (self.dispatch.current.get(), origin.is_known()) {
            origin.source = CLOSING | table as u16;
            origin.place = i64::MIN;
        }
        self.effects.blame.last.set(origin);
    }

    /// The same of one among several.
    pub(crate) fn note_last_at(&self, input: usize, place: u64) {
        let origin = self.origin_at(usize::from(ANY), input, place);
        self.effects.blame.last.set(origin);
    }
}

impl AgentCx {
    /// Returns why the current event has failed before it began, if it has.
    #[inline]
    pub(crate) fn verdict(&self) -> Option<String> {
        if !self.shared.effects.blame.any.get() {
            return None;
        }
        self.verdict_on(self.shared.origin(self.agent))
    }

    /// The same of one among several.
    pub(crate) fn verdict_at(&self, input: usize, place: u64) -> Option<String> {
        if !self.shared.effects.blame.any.get() {
            return None;
        }
        self.verdict_on(self.shared.origin_at(self.agent, input, place))
    }

    #[cold]
    fn verdict_on(&self, origin: Origin) -> Option<String> {
        let mut condemned = self.shared.effects.blame.condemned.borrow_mut();
        let found = condemned.iter_mut().find(|c| c.origin.is_about(&origin))?;
        found.met = true;
        Some(found.why.clone())
    }

    /// Returns why the rows that the current event has changed cannot be written, if they cannot.
    #[cold]
    pub(crate) fn unwritable(&self) -> Option<String> {
        let mut tables = self.state().writes.iter();
        let error = tables.find_map(|&table| self.shared.tables[table].check_hand().err());
        error.map(|error| error.to_string())
    }
}

impl Task {
    /// A commit was refused for what is in it, and before [`Task::aborted`]: until the inputs are past what it held,
    /// what an event does to rows is looked at when the event is acknowledged, and fails it there. Returns `false` when
    /// that was already so.
    pub fn be_careful(&mut self) -> bool {
        let blame = &self.shared.effects.blame;
        let fresh = !blame.careful.replace(true);
        let mut until = blame.until.borrow_mut();
        if until.is_none() {
            let inputs = self.shared.inputs.inboxes.iter();
            *until = Some(inputs.map(|i| i.borrow().commit_offset()).collect());
        }
        fresh
    }

    /// Returns whether commits are being searched: such a task is committed by itself.
    pub fn is_isolated(&self) -> bool {
        self.shared.effects.blame.most() != u32::MAX
    }

    /// Returns whether its commit is to wait: it holds dead letters of events whose records a topic has refused, more
    /// events come, and the next one says whether the topic takes anything.
    pub fn holds_letters(&self) -> bool {
        let (shared, blame) = (&self.shared, &self.shared.effects.blame);
        let found = || blame.condemned.borrow().iter().any(|c| c.met);
        self.is_isolated()
            && !shared.revoked.get()
            && shared.effects.acked.get() < blame.most.get()
            && found()
            && shared.inputs.inboxes.iter().any(|inbox| {
                let inbox = inbox.borrow();
                !inbox.is_empty() || !inbox.at_end()
            })
    }

    /// Returns whether [`Task::be_careful`] still holds.
    pub fn is_careful(&self) -> bool {
        self.shared.effects.blame.is_careful()
    }

    /// Returns the events that outputs with this origin are of, where they are several.
    pub fn events_of(&self, origin: Origin) -> Vec<(usize, i64)> {
        let together = self.shared.effects.blame.together.borrow();
        let one = together.iter().find(|one| one.origin == origin);
        one.map_or_else(Vec::new, |one| one.events.clone())
    }

    /// The event of the output that has this place in the prepared commit.
    pub fn origin_of(&self, output: usize) -> Origin {
        self.shared.effects.batch.borrow().origin(output)
    }

    /// Those outputs of the prepared commit, by their places in it, will never be taken. Call it before
    /// [`Task::aborted`].
    pub fn refused(&mut self, outputs: &[(usize, String)]) -> Found {
        self.be_careful();
        let (mut found, mut hopeless) = (false, false);
        for (output, why) in outputs {
            let origin = self.origin_of(*output);
            if origin.source == TICK {
                self.drop_tick(why);
                found = true;
            } else if origin.is_known() {
                let fresh = self.shared.effects.blame.condemn(origin, why.clone());
                hopeless |= !fresh && !self.is_listed_here(outputs, *output, origin);
                found |= fresh;
            }
        }
        if found {
            self.shared.effects.blame.ask_for_another();
            Found::Events
        } else if hopeless {
            Found::Hopeless
        } else {
            let why = outputs.first().map_or("", |(_, why)| why);
            self.narrow(why)
        }
    }

    /// Whether an output before this one, of the same event, is refused as well.
    fn is_listed_here(&self, outputs: &[(usize, String)], output: usize, origin: Origin) -> bool {
        let before = outputs.iter().take_while(|(at, _)| *at != output);
        before
            .into_iter()
            .any(|(at, _)| self.origin_of(*at) == origin)
    }

    /// Something in the prepared commit will never be taken, and it is not known what: the next commits hold half as
    /// many events, and when they hold one, it is that one. Call it before [`Task::aborted`].
    pub fn narrow(&mut self, why: &str) -> Found {
        let known = self.is_careful() && self.is_isolated();
        self.be_careful();
        let blame = &self.shared.effects.blame;
        let held = self.shared.effects.acked.get();
        if held == 0 {
            return Found::Hopeless;
        }
        // Events that were taken together are one, until they are known to hold it.
        let together = {
            let together = blame.together.borrow();
            let all = together.first();
            all.filter(|one| one.events.len() + blame.met() == held as usize)
                .map(|one| one.origin)
        };
        if !known || (held > 1 && together.is_none()) {
            blame.most.set((held / 2).max(1));
            return Found::Nearer;
        }
        let last = together.unwrap_or_else(|| blame.last.get());
        if last.source == TICK || last.source == UNKNOWN {
            self.drop_tick(why);
            return Found::Events;
        }
        match blame.condemn(last, why.to_owned()) {
            true => {
                blame.ask_for_another();
                Found::Events
            }
            false => Found::Hopeless,
        }
    }

    /// A tick does not come again by itself: nothing else may fail for it.
    fn drop_tick(&self, why: &str) {
        tracing::error!(
            partition = self.shared.partition,
            "what a timer did cannot be committed and is dropped: {why}"
        );
    }
}
