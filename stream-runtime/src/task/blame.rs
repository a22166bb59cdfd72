//! Which events a refused commit is the fault of: each output knows its event, rows are looked at event by event, and
//! where neither helps, commits are made smaller until one event is left.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::agent::AgentCx;
use super::shared::{Current, Shared};
use super::task::Task;

/// Any agent, or any event of a source.
const ANY: u16 = u16::MAX;
/// Several events, or none.
const UNKNOWN: u16 = u16::MAX;
/// A tick of a timer: it does not come again.
const TICK: u16 = u16::MAX - 1;
/// A call of a crontab.
const CALL: u16 = u16::MAX - 2;
/// Windows of the table with this number less.
const CLOSING: u16 = 0x8000;
/// Several events taken together, of which the first is of the input with this number less.
const TOGETHER: u16 = 0x4000;

/// The event that an output is of, the same when its task begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(crate) agent: u16,
    /// An input's number, also with [`TOGETHER`], or [`CLOSING`] and a table's, or one of the above.
    pub(crate) source: u16,
    /// The offset; of a window a hash of its end and key; of a call the time that it is for.
    pub(crate) place: i64,
}

impl Origin {
    /// No event that could be named.
    pub(crate) const NONE: Origin = Origin {
        agent: ANY,
        source: UNKNOWN,
        place: 0,
    };

    /// Returns whether it names one event, which comes again when its task begins anew.
    pub fn is_known(&self) -> bool {
        self.source < TICK
    }

    /// Returns the input and offset of the event, or of the first of several; `None` of a window or a call.
    pub fn record(&self) -> Option<(usize, i64)> {
        let input = self.source & !TOGETHER;
        (self.source < CLOSING).then_some((usize::from(input), self.place))
    }

    /// Returns whether it names several events.
    pub fn is_of_several(&self) -> bool {
        self.source & TOGETHER != 0 && self.source < CLOSING
    }

    /// Returns whether this verdict is about the event of `other`.
    fn is_about(&self, other: &Origin) -> bool {
        (self.agent == ANY || self.agent == other.agent)
            && self.source == other.source
            && (self.place == i64::MIN || self.place == other.place)
    }
}

/// Several events that an agent took together and acknowledged: input and offset of each, in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Together {
    /// Its outputs have this one.
    pub origin: Origin,
    /// Input and offset.
    pub events: Vec<(usize, i64)>,
}

/// An event that fails at once when it comes again: its commit was refused for what is in it.
#[derive(Debug)]
struct Condemned {
    origin: Origin,
    why: String,
    met: bool,
}

/// What a task knows of refused commits.
#[derive(Debug)]
pub(crate) struct Blame {
    /// Until each input is past these offsets, rows are looked at event by event.
    until: RefCell<Option<Vec<i64>>>,
    careful: Cell<bool>,
    /// Events that a commit may hold.
    most: Cell<u32>,
    condemned: RefCell<Vec<Condemned>>,
    any: Cell<bool>,
    /// The last event acknowledged while careful.
    last: Cell<Origin>,
    /// What was taken together since the last commit.
    together: RefCell<Vec<Rc<Together>>>,
    /// What was taken together with commits that did not come about: it is taken together again, so that its outputs have
    /// the same names.
    again: RefCell<Vec<Rc<Together>>>,
    /// The next commit is due.
    cut: Cell<bool>,
}

impl Default for Blame {
    fn default() -> Self {
        Blame {
            until: RefCell::default(),
            careful: Cell::new(false),
            most: Cell::new(u32::MAX),
            condemned: RefCell::default(),
            any: Cell::new(false),
            last: Cell::new(Origin::NONE),
            together: RefCell::default(),
            again: RefCell::default(),
            cut: Cell::new(false),
        }
    }
}

impl Blame {
    /// Returns whether events are looked at one by one.
    pub(crate) fn is_careful(&self) -> bool {
        self.careful.get()
    }

    /// Returns how many events a commit may hold; `u32::MAX` while nothing was refused.
    pub(crate) fn most(&self) -> u32 {
        self.most.get()
    }

    fn condemn(&self, origin: Origin, why: String) -> bool {
        let mut condemned = self.condemned.borrow_mut();
        if condemned.iter().any(|c| c.origin.is_about(&origin)) {
            return false;
        }
        condemned.push(Condemned {
            origin,
            why,
            met: false,
        });
        self.any.set(true);
        true
    }

    /// Where commits are searched: the next one holds an event beside those that were found. What becomes of that says
    /// whether they are to blame, or the topic that takes nothing, and their dead letters wait for it.
    fn ask_for_another(&self) {
        if self.most.get() != u32::MAX {
            let found = self.condemned.borrow().len();
            self.most.set(
                u32::try_from(found)
                    .unwrap_or(u32::MAX - 1)
                    .saturating_add(1),
            );
        }
    }

    /// A commit came about whose inputs stand at these offsets.
    pub(super) fn committed(&self, offsets: &[i64]) {
        self.together.borrow_mut().clear();
        self.cut.set(false);
        let mut again = self.again.borrow_mut();
        if !again.is_empty() {
            let comes = |&(input, offset): &(usize, i64)| offsets[input] <= offset;
            again.retain(|together| together.events.iter().any(comes));
        }
        drop(again);
        if self.any.get() {
            let mut condemned = self.condemned.borrow_mut();
            condemned.retain(|c| !c.met);
            self.any.set(!condemned.is_empty());
        }
        if !self.careful.get() {
            return;
        }
        // What was sought may be behind: larger commits again.
        self.most.set(self.most.get().saturating_mul(2));
        let mut until = self.until.borrow_mut();
        let past = |until: &Vec<i64>| offsets.iter().zip(until).all(|(have, until)| have >= until);
        if until.as_ref().is_none_or(past) {
            *until = None;
            self.careful.set(false);
            self.most.set(u32::MAX);
        }
    }

    /// Everything since the last commit is done again.
    pub(super) fn aborted(&self) {
        for condemned in self.condemned.borrow_mut().iter_mut() {
            condemned.met = false;
        }
        self.cut.set(false);
        let mut again = self.again.borrow_mut();
        for together in self.together.borrow_mut().drain(..) {
            if !again.contains(&together) {
                again.push(together);
            }
        }
    }

    /// Returns what was taken together before, where it begins with a record that is next.
    pub(crate) fn taken_before(&self, next: impl Fn(usize) -> Option<i64>) -> Option<Rc<Together>> {
        let again = self.again.borrow();
        let mut again = again.iter();
        let found = again.find(|one| next(one.events[0].0) == Some(one.events[0].1));
        found.cloned()
    }

    /// Returns whether so many events may join those of the next commit; else that is due at once. More than a commit may
    /// hold are alone in theirs, but for letters that wait for what comes next.
    pub(crate) fn may_join(&self, events: usize, acked: u32) -> bool {
        let fits =
            acked == 0 || events + acked as usize <= self.most.get() as usize || self.met() > 0;
        self.cut.set(!fits);
        fits
    }

    /// Events since the last commit that have failed because one before was refused for them.
    fn met(&self) -> usize {
        let condemned = self.condemned.borrow();
        let met = condemned
            .iter()
            .filter(|c| c.met && !c.origin.is_of_several());
        met.count()
    }

    /// Returns whether the next commit is due before more events join it.
    pub(crate) fn cuts(&self) -> bool {
        self.cut.get()
    }

    /// It cannot be taken together again: some of it is gone.
    pub(crate) fn forget(&self, together: &Together) {
        self.again.borrow_mut().retain(|one| **one != *together);
    }
}

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

/// A number for the closing row of a key in the window that ends at `end`, the same in every attempt: FNV-1a, because each
/// row that closes pays for it.
fn name_of(end: i64, key: &[u8]) -> i64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let begin = (0xcbf2_9ce4_8422_2325 ^ end.cast_unsigned()).wrapping_mul(PRIME);
    let number = key.iter().fold(begin, |number, byte| {
        (number ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    // The smallest one is no row's.
    number.cast_signed().max(i64::MIN + 1)
}

impl Shared {
    /// The event that an agent has in hand.
    #[inline]
    pub(crate) fn origin(&self, agent: usize) -> Origin {
        let Current::Input(input) = self.current.get() else {
            return self.origin_of_other(agent);
        };
        match self.inputs[input].borrow().front_offset() {
            Some(place) => Origin {
                agent: agent as u16,
                source: input as u16,
                place,
            },
            None => Origin::NONE,
        }
    }

    /// The same when it is no record at the front of an input.
    fn origin_of_other(&self, agent: usize) -> Origin {
        let (source, place) = match self.current.get() {
            Current::Held(_) => {
                let held = self.held.borrow();
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
                    name_of(end, &self.closed_key.borrow())
                });
                (CLOSING | table as u16, place)
            }
            Current::Tick(_) => match self.call_in_hand() {
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
        match self.inputs[input].borrow().at(place) {
            Some(record) => Origin {
                agent: agent as u16,
                source: input as u16,
                place: record.offset,
            },
            None => Origin::NONE,
        }
    }

    /// Notes which events are being acknowledged together.
    pub(super) fn note_together(&self, origin: Origin) {
        if !origin.is_of_several() {
            return;
        }
        let held = self.held.borrow();
        let events = held.iter().filter_map(|one| {
            let inbox = self.inputs[one.input].borrow();
            inbox.at(one.place).map(|record| (one.input, record.offset))
        });
        let events = events.collect();
        let together = Rc::new(Together { origin, events });
        self.blame.together.borrow_mut().push(together);
    }

    /// Notes which event is being acknowledged, while they are looked at one by one.
    pub(crate) fn note_last(&self) {
        let mut origin = self.origin(usize::from(ANY));
        if let (Current::Closed(table), false) = (self.current.get(), origin.is_known()) {
            origin.source = CLOSING | table as u16;
            origin.place = i64::MIN;
        }
        self.blame.last.set(origin);
    }

    /// The same of one among several.
    pub(crate) fn note_last_at(&self, input: usize, place: u64) {
        let origin = self.origin_at(usize::from(ANY), input, place);
        self.blame.last.set(origin);
    }
}

impl AgentCx {
    /// Returns why the event in hand has failed before it began, if it has.
    #[inline]
    pub(crate) fn verdict(&self) -> Option<String> {
        if !self.shared.blame.any.get() {
            return None;
        }
        self.verdict_on(self.shared.origin(self.agent))
    }

    /// The same of one among several.
    pub(crate) fn verdict_at(&self, input: usize, place: u64) -> Option<String> {
        if !self.shared.blame.any.get() {
            return None;
        }
        self.verdict_on(self.shared.origin_at(self.agent, input, place))
    }

    #[cold]
    fn verdict_on(&self, origin: Origin) -> Option<String> {
        let mut condemned = self.shared.blame.condemned.borrow_mut();
        let found = condemned.iter_mut().find(|c| c.origin.is_about(&origin))?;
        found.met = true;
        Some(found.why.clone())
    }

    /// Returns why the rows that the event in hand has changed cannot be written, if they cannot.
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
        let blame = &self.shared.blame;
        let fresh = !blame.careful.replace(true);
        let mut until = blame.until.borrow_mut();
        if until.is_none() {
            let inputs = self.shared.inputs.iter();
            *until = Some(inputs.map(|i| i.borrow().commit_offset()).collect());
        }
        fresh
    }

    /// Returns whether commits are being searched: such a task is committed by itself.
    pub fn is_isolated(&self) -> bool {
        self.shared.blame.most() != u32::MAX
    }

    /// Returns whether its commit is to wait: it holds dead letters of events whose records a topic has refused, more
    /// events come, and the next one says whether the topic takes anything.
    pub fn holds_letters(&self) -> bool {
        let (shared, blame) = (&self.shared, &self.shared.blame);
        let found = || blame.condemned.borrow().iter().any(|c| c.met);
        self.is_isolated()
            && !shared.revoked.get()
            && shared.acked.get() < blame.most.get()
            && found()
            && shared.inputs.iter().any(|inbox| {
                let inbox = inbox.borrow();
                !inbox.is_empty() || !inbox.at_end()
            })
    }

    /// Returns whether [`Task::be_careful`] still holds.
    pub fn is_careful(&self) -> bool {
        self.shared.blame.is_careful()
    }

    /// Returns the events that outputs with this origin are of, where they are several.
    pub fn events_of(&self, origin: Origin) -> Vec<(usize, i64)> {
        let together = self.shared.blame.together.borrow();
        let one = together.iter().find(|one| one.origin == origin);
        one.map_or_else(Vec::new, |one| one.events.clone())
    }

    /// The event of the output that has this place in the prepared commit.
    pub fn origin_of(&self, output: usize) -> Origin {
        self.shared.batch.borrow().origin(output)
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
                let fresh = self.shared.blame.condemn(origin, why.clone());
                hopeless |= !fresh && !self.is_listed_here(outputs, *output, origin);
                found |= fresh;
            }
        }
        if found {
            self.shared.blame.ask_for_another();
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

    /// Something in the prepared commit will never be taken, and it is not known what: the next commits hold half as many
    /// events, and when they hold one, it is that one. Call it before [`Task::aborted`].
    pub fn narrow(&mut self, why: &str) -> Found {
        let known = self.is_careful() && self.is_isolated();
        self.be_careful();
        let blame = &self.shared.blame;
        let held = self.shared.acked.get();
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
