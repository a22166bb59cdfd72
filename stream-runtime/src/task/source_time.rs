//! A task as a source: its time and its state, as the readers of the repartition topics that it fills are told; and as
//! a reader, which takes those of others.

use std::borrow::Cow;

use super::dispatch::Current;
use super::hop::Hop;
use super::inbox::Inbox;
use super::sources::name_of;
use super::sources::{Holder, Sources};
use super::state::TaskState;
use super::task::Task;
use super::watermark::{SourceState, SourceTime, Word};
use crate::mutants::{self, Mutant};
use crate::table::{NO_TIME, TablePartition};
use crate::topology::FeederTime;

/// A time before which no window of a table that is still to close ends: stream time less what it waits; while some are
/// over, that of the last millisecond of the first of these, which is told next.
fn time_of_windows(table: &dyn TablePartition, now: i64) -> i64 {
    let told = now.min(table.due_at().saturating_sub(1));
    told.saturating_sub(table.waits())
}

impl Hop {
    /// Returns its time: what its feeder sends from now on is not older.
    pub(crate) fn time(&self, shared: &TaskState) -> i64 {
        let now = shared.clock.stream_time.get();
        match self.by {
            FeederTime::Read => self.time.get(),
            FeederTime::Stream => now,
            FeederTime::Closed if now == NO_TIME => NO_TIME,
            FeederTime::Closed => {
                let tables = self.closes.iter().map(|at| &shared.tables[*at]);
                let told = tables.map(|table| time_of_windows(&**table, now));
                told.min().unwrap_or(now)
            }
        }
    }

    /// Returns the name that its time is kept under.
    pub(crate) fn name<'a>(&self, shared: &'a TaskState) -> Cow<'a, str> {
        name_of(&shared.outputs.topics[self.output], self.source)
    }

    /// Returns its number as a source.
    pub(crate) fn source(&self) -> i32 {
        self.source
    }

    /// Returns whether it is how an agent fills an output.
    pub(crate) fn is_of(&self, agent: usize, output: usize) -> bool {
        self.output == output && self.agent == agent
    }

    /// An event of its feeder's topics was acknowledged.
    pub(crate) fn passed(&self, time: i64) {
        if self.by == FeederTime::Read {
            self.time.set(self.time.get().max(time));
        }
        self.state.set(SourceState::Counts);
    }

    /// Takes the time of an earlier commit.
    pub(crate) fn restore(&self, time: i64) {
        self.passed(time);
        self.committed.set(self.time.get());
    }

    /// Its feeder's topics have had nothing for long enough.
    pub(crate) fn rests(&self) {
        self.state.set(SourceState::Idle);
    }

    /// A record of its feeder's topics is there.
    fn arrives(&self) {
        if self.state.get() == SourceState::Idle {
            self.state.set(SourceState::Counts);
        }
    }

    /// Returns whether nothing comes that it would pass on at once.
    fn is_quiet(&self, shared: &TaskState) -> bool {
        let rests = match self.rests_with(shared) {
            Some(sources) => !sources.any_counts(),
            None => self.state.get() == SourceState::Idle,
        };
        rests && shared.are_spent(&self.reads)
    }

    /// Returns how it stands. A window that is open will be told, with its own time: nobody may go on without it.
    fn state_now(&self, shared: &TaskState) -> SourceState {
        // Of windows whose rows were all removed nothing is told.
        let open = |table: &usize| shared.tables[*table].idle_target(i64::MAX).is_some();
        match self.state.get() {
            SourceState::LeftOut => SourceState::LeftOut,
            _ if self.closes.iter().any(open) && !mutants::is(Mutant::Open) => SourceState::Counts,
            _ if self.is_quiet(shared) => SourceState::Idle,
            _ => SourceState::Counts,
        }
    }

    /// Returns the sources whose silence is its own: where its time is made by that of others.
    fn rests_with<'a>(&self, shared: &'a TaskState) -> Option<&'a Sources> {
        let sources = shared.times.sources.as_ref();
        sources.filter(|_| self.by.follows_its_task())
    }

    /// Returns whether its time is to be found again with the task's own, and need not be kept.
    pub(crate) fn is_kept_by_its_task(&self) -> bool {
        self.by.follows_its_task()
    }

    /// Returns the word that it has to say now.
    fn word(&self, shared: &TaskState) -> Word {
        if !self.is_quiet(shared) {
            self.arrives();
        }
        Word {
            source: self.source,
            time: self.time(shared),
            state: self.state_now(shared),
            generation: shared.times.generation.get(),
        }
    }

    /// Says what the next commit tells, when there is something new and it is time. Returns whether there is.
    pub(crate) fn prepare(&self, shared: &TaskState) -> bool {
        let word = self.word(shared);
        self.telling.set(self.is_new(word, shared).then_some(word));
        self.telling.get().is_some()
    }

    fn is_new(&self, word: Word, shared: &TaskState) -> bool {
        match self.told.get() {
            None => true,
            Some(told) if told == word => false,
            Some(told) => {
                told.state != word.state
                    || told.generation != word.generation
                    || self.next.get() <= shared.times.mono.get()
            }
        }
    }

    /// Returns whether something is to be told that no commit has told.
    pub(crate) fn is_untold(&self, shared: &TaskState) -> bool {
        self.is_new(self.word(shared), shared)
    }

    /// Returns the word that the prepared commit tells.
    pub(crate) fn telling(&self) -> Option<Word> {
        self.telling.get()
    }

    pub(crate) fn commit(&self, shared: &TaskState) {
        if let Some(word) = self.telling.take() {
            self.told.set(Some(word));
            self.next.set(shared.times.mono.get() + self.every);
        }
    }

    /// The time of the prepared cut is the one of the last commit.
    pub(crate) fn keep(&self, time: i64) {
        self.committed.set(time);
    }

    /// The time as of the last commit.
    pub(crate) fn committed(&self) -> i64 {
        self.committed.get()
    }

    pub(crate) fn abort(&self) {
        self.telling.set(None);
        self.arrives();
        self.time.set(self.committed.get());
    }
}

/// Inputs of a task whose silence is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lull(usize);

impl Task {
    /// The groups of inputs whose silence changes somebody's time: those of each hop that the task fills, and its own
    /// direct ones behind a hop. None of them: most tasks.
    pub fn lulls(&self) -> impl Iterator<Item = Lull> + use<> {
        let shared = &self.shared;
        let direct = shared.times.sources.as_ref();
        let direct = direct.is_some_and(|sources| !sources.direct_inputs().is_empty());
        let own = |at: &usize| {
            let hop = shared.times.hops.get(*at);
            hop.is_none_or(|hop| hop.rests_with(shared).is_none())
        };
        let all = 0..shared.times.hops.len() + usize::from(direct);
        let own: Vec<Lull> = all.filter(own).map(Lull).collect();
        own.into_iter()
    }

    /// The inputs of a group.
    pub fn lull_inputs(&self, lull: Lull) -> &[usize] {
        let shared = &self.shared;
        match (shared.times.hops.get(lull.0), &shared.times.sources) {
            (Some(hop), _) => &hop.reads,
            (None, Some(sources)) => sources.direct_inputs(),
            (None, None) => &[],
        }
    }

    /// Returns whether a group is at the ends of its topics, with no record that waits or is being processed.
    pub fn is_spent(&self, lull: Lull) -> bool {
        !self.has_in_flight() && self.shared.are_spent(self.lull_inputs(lull))
    }

    /// Returns whether the silence of a group has been told.
    pub fn rests(&self, lull: Lull) -> bool {
        let shared = &self.shared;
        match (shared.times.hops.get(lull.0), &shared.times.sources) {
            (Some(hop), _) => hop.is_quiet(shared),
            (None, Some(sources)) => {
                sources.direct_rests() && shared.are_spent(sources.direct_inputs())
            }
            (None, None) => true,
        }
    }

    /// A group has had nothing for `source_idle`, and is at the end of its topics: it does not hold the time of others.
    /// Returns whether something fell due in this task.
    pub fn rest(&mut self, lull: Lull) -> bool {
        let shared = &self.shared;
        match (shared.times.hops.get(lull.0), &shared.times.sources) {
            (Some(hop), _) => {
                hop.rests();
                false
            }
            (None, Some(sources)) => {
                sources.direct_stands(SourceState::Idle);
                shared.follow(sources);
                shared.clock.is_due()
            }
            (None, None) => false,
        }
    }

    /// The task cannot go on: as a source it counts, whatever it has told.
    pub fn counts_again(&mut self) {
        for hop in &self.shared.times.hops {
            hop.arrives();
        }
    }

    /// Notes that its readers have gone on without it: they do so until it gets further.
    pub fn stays_left_out(&mut self) {
        for hop in &self.shared.times.hops {
            hop.state.set(SourceState::LeftOut);
        }
    }

    /// The times of the hops that it fills, in the order of [`SubTopology::fills`], as of the last commit, epoch ms.
    pub fn times_as_source(&self) -> Vec<i64> {
        let hops = self.shared.times.hops.iter();
        hops.map(|hop| hop.committed.get()).collect()
    }

    /// The hops that it fills by number, each with its time, epoch ms.
    pub fn hop_times(&self) -> impl Iterator<Item = (usize, i64)> {
        let hops = self.shared.times.hops.iter().enumerate();
        hops.map(|(at, hop)| (at, hop.time(&self.shared)))
    }

    /// Returns whether an event is being processed: the records behind it wait for its handler.
    pub fn has_in_flight(&self) -> bool {
        let current = self.shared.dispatch.current.get();
        matches!(current, Current::Input(_) | Current::InFlight(_))
    }

    /// Returns whether records wait.
    pub fn has_waiting(&self) -> bool {
        let mut inputs = self.shared.inputs.inboxes.iter();
        inputs.any(|input| !input.borrow().is_empty())
    }

    /// Sources that the task's time has gone on without, in all.
    pub fn left_out(&self) -> u64 {
        self.shared.counters.left_out.get()
    }

    /// Watermarks taken in all.
    pub fn heard(&self) -> u64 {
        self.shared.counters.heard.get()
    }

    /// Says which source holds stream time back while others are ahead of it; `None`: none does, or the task is behind
    /// no hop.
    pub fn held_back_by(&self) -> Option<String> {
        let holder = self.shared.times.sources.as_ref()?.holder()?;
        let name = self.shared.name_of_source(holder.input, holder.source);
        Some(match holder {
            Holder { stopped: true, .. } => format!("{name}: stopped"),
            Holder { heard: false, .. } => format!("{name}: not heard of"),
            Holder { .. } => name,
        })
    }

    /// Returns whether other tasks' times make its own.
    pub fn is_behind_a_hop(&self) -> bool {
        self.shared.times.sources.is_some()
    }

    /// Stream time, epoch ms.
    pub fn stream_time(&self) -> i64 {
        self.shared.clock.stream_time.get()
    }
}

impl TaskState {
    /// Returns whether inputs are at their ends, with nothing that waits.
    pub(crate) fn are_spent(&self, inputs: &[usize]) -> bool {
        let spent = |inbox: &Inbox| inbox.is_empty() && inbox.at_end();
        inputs
            .iter()
            .all(|&at| spent(&self.inputs.inboxes[at].borrow()))
    }

    /// A record of an input begins: its feeders have something to say.
    #[inline]
    pub(crate) fn arrives(&self, input: usize) {
        for &hop in &self.inputs.feeds[input] {
            self.times.hops[hop].arrives();
        }
    }

    /// Takes what stands before the next records of the inputs behind hops: watermarks, and what the records say of
    /// their sources. What falls due by it closes before they begin.
    #[inline]
    pub(crate) fn hear(&self) {
        if let Some(sources) = &self.times.sources {
            self.hear_of(sources);
        }
    }

    fn hear_of(&self, sources: &Sources) {
        for (at, inbox) in self.inputs.inboxes[..self.inputs.timely].iter().enumerate() {
            if !sources.is_hop(at) {
                if sources.is_direct(at) && !inbox.borrow().is_empty() {
                    sources.direct_stands(SourceState::Counts);
                }
                continue;
            }
            self.take_watermarks(sources, at);
            let said = inbox.borrow().source_time();
            if let Some(said) = said {
                self.hear_record(sources, at, said);
            }
        }
        self.follow(sources);
    }

    fn take_watermarks(&self, sources: &Sources, input: usize) {
        let mut inbox = self.inputs.inboxes[input].borrow_mut();
        while let Some(words) = inbox.take_watermark() {
            self.counters.heard.set(self.counters.heard.get() + 1);
            for word in words {
                let otherwise = sources.hear(input, word);
                if otherwise && word.state == SourceState::LeftOut {
                    self.leave_out(input, word.source);
                }
            }
        }
    }

    /// Time goes on without a source.
    #[cold]
    fn leave_out(&self, input: usize, source: i32) {
        self.counters.left_out.set(self.counters.left_out.get() + 1);
        tracing::warn!(
            partition = self.partition,
            "stream time goes on without {}, which has failed for the app's `hold`: its records will be late",
            self.name_of_source(input, Some(source))
        );
    }

    /// A source for people: `views[3]`.
    fn name_of_source(&self, input: usize, source: Option<i32>) -> String {
        let named = self.times.sources.as_ref().zip(source);
        let named = named.and_then(|(sources, source)| sources.name_of_source(input, source));
        named.unwrap_or_else(|| format!("{}[{}]", self.inputs.names[input], self.partition))
    }

    /// Takes what a record says of its source: it holds before the record.
    fn hear_record(&self, sources: &Sources, input: usize, said: SourceTime) {
        sources.hear(
            input,
            Word {
                source: said.source,
                // The client may lose a record and deliver the next one; what is then sent again is not to be late.
                time: match self.settings.exactly_once {
                    true => said.before,
                    false => NO_TIME,
                },
                state: SourceState::Counts,
                generation: self.times.generation.get(),
            },
        );
    }

    /// Stream time never goes back.
    fn follow(&self, sources: &Sources) {
        let now = sources.now();
        if now > self.clock.stream_time.get() {
            self.clock.stream_time.set(now);
        }
    }

    /// An event that moves time was acknowledged: of an input, with what its record says of its source.
    #[inline]
    pub(crate) fn passed(&self, input: usize, said: Option<SourceTime>, time: i64) {
        for &hop in &self.inputs.feeds[input] {
            self.times.hops[hop].passed(time);
        }
        match &self.times.sources {
            None if time > self.clock.stream_time.get() => self.clock.stream_time.set(time),
            None => {}
            Some(sources) => self.passed_behind(sources, input, said, time),
        }
    }

    fn passed_behind(&self, sources: &Sources, input: usize, said: Option<SourceTime>, time: i64) {
        if sources.is_direct(input) {
            sources.acknowledged_direct(time);
        } else if let Some(said) = said
            && self.settings.exactly_once
        {
            sources.acknowledged(input, said.source, time);
        }
        self.follow(sources);
    }

    /// The same of an event that was held among others: what its record said first, what stands behind it last.
    pub(crate) fn passed_held(&self, input: usize, said: Option<SourceTime>, time: Option<i64>) {
        if let (Some(sources), Some(said)) = (&self.times.sources, said) {
            self.hear_record(sources, input, said);
        }
        if let Some(time) = time {
            self.passed(input, said, time);
        }
        if let Some(sources) = self.times.sources.as_ref().filter(|s| s.is_hop(input)) {
            self.take_watermarks(sources, input);
            self.follow(sources);
        }
    }
}
