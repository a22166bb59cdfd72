//! What a task knows of commits that the broker refused for what is in them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::origin::{Origin, Together};

/// An event that fails at once when it comes again: its commit was refused for what is in it.
#[derive(Debug)]
pub(super) struct Condemned {
    pub(super) origin: Origin,
    pub(super) why: String,
    pub(super) met: bool,
}

/// What a task knows of refused commits.
#[derive(Debug)]
pub(crate) struct Blame {
    /// Until each input is past these offsets, rows are looked at event by event.
    pub(super) until: RefCell<Option<Vec<i64>>>,
    pub(super) careful: Cell<bool>,
    /// Events that a commit may hold.
    pub(super) most: Cell<u32>,
    pub(super) condemned: RefCell<Vec<Condemned>>,
    pub(super) any: Cell<bool>,
    /// The last event acknowledged while careful.
    pub(super) last: Cell<Origin>,
    /// What was taken together since the last commit.
    pub(super) together: RefCell<Vec<Rc<Together>>>,
    /// What was taken together with commits that did not succeed: it is taken together again, so that its outputs have
    /// the same names.
    pub(super) again: RefCell<Vec<Rc<Together>>>,
    /// The next commit is due.
    pub(super) cut: Cell<bool>,
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

    pub(super) fn condemn(&self, origin: Origin, why: String) -> bool {
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

    /// Where commits are searched: the next one holds an event beside those that were found. What happens to that says
    /// whether they are to blame, or the topic that takes nothing, and their dead letters wait for it.
    pub(super) fn ask_for_another(&self) {
        if self.most.get() != u32::MAX {
            let found = self.condemned.borrow().len();
            self.most.set(
                u32::try_from(found)
                    .unwrap_or(u32::MAX - 1)
                    .saturating_add(1),
            );
        }
    }

    /// A commit succeeded whose inputs stand at these offsets.
    pub(crate) fn committed(&self, offsets: &[i64]) {
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
    pub(crate) fn aborted(&self) {
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

    /// Returns whether so many events may join those of the next commit; else that is due at once. More than a commit
    /// may hold are alone in theirs, but for letters that wait for what comes next.
    pub(crate) fn may_join(&self, events: usize, acked: u32) -> bool {
        let fits =
            acked == 0 || events + acked as usize <= self.most.get() as usize || self.met() > 0;
        self.cut.set(!fits);
        fits
    }

    /// Events since the last commit that have failed because one before was refused for them.
    pub(super) fn met(&self) -> usize {
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
