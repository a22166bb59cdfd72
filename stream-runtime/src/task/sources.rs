//! The time of a task behind a hop: the smallest of its sources that count.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use super::watermark::{SourceState, Word, parts_of, source_of};
use crate::error::Error;
use crate::mutants::{self, Mutant};
use crate::table::NO_TIME;

/// First byte of what [`Sources::encode`] writes.
const FORMAT: u8 = 1;

/// One source, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    time: i64,
    state: SourceState,
    generation: i32,
}

impl Source {
    /// Nobody has heard of it yet.
    const UNHEARD: Source = Source {
        time: NO_TIME,
        state: SourceState::Counts,
        generation: -1,
    };

    /// Returns whether it holds the time in this generation of the group: what it said of itself in another one is
    /// void.
    fn counts(&self, generation: i32) -> bool {
        let void = self.generation != generation && !mutants::is(Mutant::Generation);
        self.state.counts() || void
    }
}

/// Part that an input has in the task's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// Its own: all of these are one source together.
    Direct,
    /// Other tasks fill it: by their feeders.
    Fed(Vec<Feeder>),
    /// It brings windows again, whose time is over.
    Again,
}

/// An agent that fills an input: each of its partitions is a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feeder {
    /// Number that its records name it by; 0 where there is one alone.
    pub number: i32,
    /// For people: its name, or that of what it reads.
    pub name: String,
    /// Number of its partitions.
    pub partitions: i32,
    /// True of one that sends windows when they are over.
    pub windows: bool,
}

/// A feeder's sources by partition, each as far as it is known.
#[derive(Debug)]
struct List {
    feeder: Feeder,
    sources: Vec<Source>,
}

/// One input of the task.
#[derive(Debug)]
enum Origin {
    Direct,
    Hop(RefCell<Vec<List>>),
    Again,
}

/// The sources of a task, each with its time.
#[derive(Debug)]
pub(crate) struct Sources {
    inputs: Vec<(String, Origin)>,
    /// The direct inputs together; `None`: there are none.
    direct: Option<Cell<Source>>,
    direct_inputs: Vec<usize>,
    /// Those that windows fill.
    windows: Vec<usize>,
    /// The generation of the group.
    generation: Cell<i32>,
    /// The smallest time of those that count, else the largest of all; [`NO_TIME`] while one has said nothing.
    now: Cell<i64>,
}

impl Sources {
    /// The sources of a task's inputs; `None` when no input is behind a hop.
    pub(crate) fn of<'a>(inputs: impl Iterator<Item = (&'a str, InputKind)>) -> Option<Self> {
        let mut windows = Vec::new();
        let inputs: Vec<(String, Origin)> = inputs
            .enumerate()
            .map(|(at, (topic, kind))| {
                let origin = match kind {
                    InputKind::Direct => Origin::Direct,
                    InputKind::Again => Origin::Again,
                    InputKind::Fed(feeders) => {
                        if feeders.iter().any(|feeder| feeder.windows) {
                            windows.push(at);
                        }
                        let lists = feeders.into_iter().map(|feeder| {
                            let count = usize::try_from(feeder.partitions).unwrap_or(0);
                            let sources = vec![Source::UNHEARD; count];
                            List { feeder, sources }
                        });
                        Origin::Hop(RefCell::new(lists.collect()))
                    }
                };
                (topic.to_owned(), origin)
            })
            .collect();
        let is_hop = |(_, origin): &(_, Origin)| matches!(origin, Origin::Hop(_));
        if !inputs.iter().any(is_hop) {
            return None;
        }
        let is_direct = |at: &usize| matches!(inputs[*at].1, Origin::Direct);
        let direct_inputs: Vec<usize> = (0..inputs.len()).filter(is_direct).collect();
        Some(Sources {
            direct: (!direct_inputs.is_empty()).then_some(Cell::new(Source::UNHEARD)),
            inputs,
            direct_inputs,
            windows,
            generation: Cell::new(-1),
            now: Cell::new(NO_TIME),
        })
    }

    /// Returns the time that they make, epoch ms; [`NO_TIME`] while one that counts has said nothing.
    pub(crate) fn now(&self) -> i64 {
        self.now.get()
    }

    /// Returns the largest event time acknowledged from the direct inputs.
    pub(crate) fn direct_time(&self) -> i64 {
        self.direct
            .as_ref()
            .map_or(NO_TIME, |direct| direct.get().time)
    }

    /// Begins in a generation of the group: what sources said of themselves in another one is void.
    pub(crate) fn begin(&self, generation: i32) {
        self.generation.set(generation);
        self.count();
    }

    /// Takes what a record, or a watermark, says of a source of an input. Returns whether it stands otherwise than
    /// before.
    pub(crate) fn hear(&self, input: usize, word: Word) -> bool {
        let Origin::Hop(lists) = &self.inputs[input].1 else {
            return false;
        };
        let (number, partition) = parts_of(word.source);
        let mut lists = lists.borrow_mut();
        // One that the plan has no more does not count.
        let Some(list) = lists.iter_mut().find(|list| list.feeder.number == number) else {
            return false;
        };
        let (sources, at) = (&mut list.sources, partition as usize);
        if at >= sources.len() {
            // It is there since its topic was given more partitions; those between have said nothing and do not count.
            let silent = Source {
                state: SourceState::Idle,
                generation: self.generation.get(),
                ..Source::UNHEARD
            };
            sources.resize(at + 1, silent);
        }
        let source = &mut sources[at];
        let heard = Source {
            time: source.time.max(word.time),
            state: word.state,
            generation: word.generation,
        };
        if *source == heard {
            return false;
        }
        let generation = self.generation.get();
        // Of one that counts and does not hold the time nothing changes: the usual case.
        let matters = source.time <= self.now.get()
            || source.counts(generation) != heard.counts(generation)
            || !heard.counts(generation);
        let otherwise = source.state != heard.state;
        *source = heard;
        drop(lists);
        if matters {
            self.count();
        }
        otherwise
    }

    /// An event of a source was acknowledged. Of one among several feeders its own time says nothing: a later one may
    /// be older, as by what its agent makes of its time.
    pub(crate) fn acknowledged(&self, input: usize, source: i32, time: i64) {
        if parts_of(source).0 != 0 && !mutants::is(Mutant::Own) {
            return;
        }
        self.hear(
            input,
            Word {
                source,
                time,
                state: SourceState::Counts,
                generation: self.generation.get(),
            },
        );
    }

    /// An event of a direct input was acknowledged.
    pub(crate) fn acknowledged_direct(&self, time: i64) {
        self.change_direct(SourceState::Counts, time);
    }

    /// The direct inputs have records, or have had none for `source_idle` and are at their ends. Returns whether this
    /// is new.
    pub(crate) fn direct_stands(&self, state: SourceState) -> bool {
        self.change_direct(state, NO_TIME)
    }

    fn change_direct(&self, state: SourceState, time: i64) -> bool {
        let Some(direct) = &self.direct else {
            return false;
        };
        let was = direct.get();
        let now = Source {
            time: was.time.max(time),
            state,
            generation: self.generation.get(),
        };
        direct.set(now);
        if was != now {
            self.count();
        }
        was.state != state || was.generation != now.generation
    }

    /// Returns whether an input is filled by a hop.
    pub(crate) fn is_hop(&self, input: usize) -> bool {
        matches!(self.inputs[input].1, Origin::Hop(_))
    }

    /// Returns whether an input is one of those that are one source together.
    pub(crate) fn is_direct(&self, input: usize) -> bool {
        matches!(self.inputs[input].1, Origin::Direct)
    }

    /// Returns the indexes of these.
    pub(crate) fn direct_inputs(&self) -> &[usize] {
        &self.direct_inputs
    }

    /// Returns whether these have said that they have nothing.
    pub(crate) fn direct_rests(&self) -> bool {
        let direct = self.direct.as_ref().map(Cell::get);
        direct.is_some_and(|direct| !direct.counts(self.generation.get()))
    }

    /// Returns whether one of them holds the time.
    pub(crate) fn any_counts(&self) -> bool {
        let (generation, mut any) = (self.generation.get(), false);
        self.each(|source| any |= source.counts(generation));
        any
    }

    /// Returns whether windows are still to come by which time goes on: those of a task that counts.
    pub(crate) fn awaits_windows(&self) -> bool {
        let generation = self.generation.get();
        self.windows.iter().any(|at| match &self.inputs[*at].1 {
            Origin::Hop(lists) => {
                let lists = lists.borrow();
                let mut windows = lists.iter().filter(|list| list.feeder.windows);
                windows.any(|list| list.sources.iter().any(|one| one.counts(generation)))
            }
            Origin::Direct | Origin::Again => false,
        })
    }

    fn each(&self, mut f: impl FnMut(Source)) {
        for (_, origin) in &self.inputs {
            if let Origin::Hop(lists) = origin {
                let lists = lists.borrow();
                let sources = lists.iter().flat_map(|list| &list.sources);
                sources.copied().for_each(&mut f);
            }
        }
        if let Some(direct) = &self.direct {
            f(direct.get());
        }
    }

    fn count(&self) {
        let generation = self.generation.get();
        let (mut least, mut most) = (i64::MAX, NO_TIME);
        self.each(|source| {
            most = most.max(source.time);
            if source.counts(generation) {
                least = least.min(source.time);
            }
        });
        self.now.set(if least == i64::MAX { most } else { least });
    }

    /// Looks whether all that is known goes into the text beside a committed offset, for a task that keeps no mark.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn fit_beside_offsets(&self) -> Result<(), Error> {
        /// Of the broker's `offset.metadata.max.bytes`, with room for what else stands there.
        const ROOM: usize = 3_500;
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        if 2 * bytes.len() <= ROOM {
            return Ok(());
        }
        let mut sources = 0;
        self.each(|_| sources += 1);
        Err(Error::table(format!(
            "{sources} sources make the time of these tables, which have no changelog (`changelog = false`): how far they are is kept beside the committed offsets, where {ROOM} bytes are free; give one of the tables a changelog"
        )))
    }

    /// Appends all that is known, for the mark.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let put = |source: &Source, out: &mut Vec<u8>| {
            out.extend_from_slice(&source.time.to_be_bytes());
            out.push(source.state.code());
            out.extend_from_slice(&source.generation.to_be_bytes());
        };
        out.push(FORMAT);
        for (topic, origin) in &self.inputs {
            let Origin::Hop(lists) = origin else {
                continue;
            };
            for List { feeder, sources } in lists.borrow().iter() {
                let name = name_of(topic, source_of(feeder.number, 0));
                out.extend_from_slice(&(name.len() as u16).to_be_bytes());
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(&(sources.len() as u32).to_be_bytes());
                sources.iter().for_each(|source| put(source, out));
            }
        }
        if let Some(direct) = &self.direct {
            out.extend_from_slice(&0_u16.to_be_bytes());
            out.extend_from_slice(&1_u32.to_be_bytes());
            put(&direct.get(), out);
        }
    }

    /// Takes what [`Sources::encode`] wrote, beside what is known: of each source the larger time. Hops that the plan
    /// has no more are skipped.
    ///
    /// # Errors
    /// It does not read.
    pub(crate) fn restore(&self, bytes: &[u8]) -> Result<(), Error> {
        self.read(bytes).ok_or_else(|| {
            Error::table(
                "what the mark says of the sources of the task's time cannot be read: run the program that wrote it, or `reset`",
            )
        })?;
        self.count();
        Ok(())
    }

    fn read(&self, bytes: &[u8]) -> Option<()> {
        fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
            let (part, rest) = bytes.split_first_chunk::<N>()?;
            *bytes = rest;
            Some(part)
        }
        let mut bytes = bytes.strip_prefix(&[FORMAT])?;
        while !bytes.is_empty() {
            let length = u16::from_be_bytes(*take(&mut bytes)?);
            let (name, rest) = bytes.split_at_checked(length.into())?;
            bytes = rest;
            let count = u32::from_be_bytes(*take(&mut bytes)?);
            let (topic, number) = named_by(std::str::from_utf8(name).ok()?);
            let named = self.inputs.iter().find(|(name, _)| name == topic);
            for at in 0..count as usize {
                let source = Source {
                    time: i64::from_be_bytes(*take(&mut bytes)?),
                    state: SourceState::of(take::<1>(&mut bytes)?[0]),
                    generation: i32::from_be_bytes(*take(&mut bytes)?),
                };
                match (named, &self.direct) {
                    (Some((_, Origin::Hop(lists))), _) => {
                        let mut lists = lists.borrow_mut();
                        let list = lists.iter_mut().find(|list| list.feeder.number == number);
                        // Of a topic that has fewer partitions now: the others do not count.
                        if let Some(known) = list.and_then(|list| list.sources.get_mut(at))
                            && source.time >= known.time
                        {
                            *known = source;
                        }
                    }
                    (None, Some(direct)) if topic.is_empty() => {
                        // Its own inputs are seen afresh, and hold the time until then.
                        let time = source.time.max(direct.get().time);
                        direct.set(Source {
                            time,
                            ..Source::UNHEARD
                        });
                    }
                    _ => {}
                }
            }
        }
        Some(())
    }

    /// Goes back to what [`Sources::encode`] wrote.
    ///
    /// # Errors
    /// It does not read.
    pub(crate) fn go_back(&self, bytes: &[u8]) -> Result<(), Error> {
        for (_, origin) in &self.inputs {
            if let Origin::Hop(lists) = origin {
                let mut lists = lists.borrow_mut();
                lists
                    .iter_mut()
                    .for_each(|list| list.sources.fill(Source::UNHEARD));
            }
        }
        if let Some(direct) = &self.direct {
            direct.set(Source::UNHEARD);
        }
        self.restore(bytes)
    }

    /// Returns a source for people: `views[3]`.
    pub(crate) fn name_of_source(&self, input: usize, source: i32) -> Option<String> {
        let Origin::Hop(lists) = &self.inputs[input].1 else {
            return None;
        };
        let (number, partition) = parts_of(source);
        let lists = lists.borrow();
        let list = lists.iter().find(|list| list.feeder.number == number)?;
        Some(format!("{}[{partition}]", list.feeder.name))
    }

    /// Returns the source that holds the time back while others are ahead of it; `None`: none does.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let generation = self.generation.get();
        let mut most = NO_TIME;
        self.each(|source| most = most.max(source.time));
        let (mut least, mut holder) = (most, None);
        let mut see = |source: Source, input: usize, number: Option<i32>| {
            if source.counts(generation) && source.time < least {
                least = source.time;
                holder = Some(Holder {
                    input,
                    source: number,
                    heard: source.time != NO_TIME,
                    stopped: source.state == SourceState::Stopped
                        && source.generation == generation,
                });
            }
        };
        for (input, (_, origin)) in self.inputs.iter().enumerate() {
            match (origin, &self.direct) {
                (Origin::Hop(lists), _) => {
                    for List { feeder, sources } in lists.borrow().iter() {
                        for (partition, source) in (0..).zip(sources) {
                            let of = source_of(feeder.number, partition);
                            see(*source, input, Some(of));
                        }
                    }
                }
                (Origin::Direct, Some(direct)) => see(direct.get(), input, None),
                (Origin::Direct, None) | (Origin::Again, _) => {}
            }
        }
        holder
    }
}

/// Returns how the feeder of a source is named where its times are kept: no topic has a `#` in its name.
pub(crate) fn name_of(topic: &str, source: i32) -> Cow<'_, str> {
    match parts_of(source).0 {
        0 => Cow::Borrowed(topic),
        number => Cow::Owned(format!("{topic}#{number}")),
    }
}

/// The reverse of [`name_of`].
fn named_by(name: &str) -> (&str, i32) {
    let parts = name.split_once('#');
    let parts = parts.and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    parts.unwrap_or((name, 0))
}

/// The source that holds a task's time back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Index of the input that it fills, or of the task's first direct one.
    pub input: usize,
    /// The number that names it; `None` for the direct inputs.
    pub source: Option<i32>,
    /// True once it has said its time.
    pub heard: bool,
    /// True once it has failed.
    pub stopped: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(partitions: i32) -> InputKind {
        fed(&[(0, partitions)])
    }

    fn fed(feeders: &[(i32, i32)]) -> InputKind {
        let feeders = feeders.iter().map(|(number, partitions)| Feeder {
            number: *number,
            name: format!("agent-{number}"),
            partitions: *partitions,
            windows: false,
        });
        InputKind::Fed(feeders.collect())
    }

    fn two_hops() -> Sources {
        let inputs = [("a", hop(2)), ("b", hop(1))];
        Sources::of(inputs.clone().into_iter()).unwrap()
    }

    fn word(source: i32, time: i64, state: SourceState, generation: i32) -> Word {
        Word {
            source,
            time,
            state,
            generation,
        }
    }

    #[test]
    fn the_slowest_that_counts_makes_the_time() {
        let sources = two_hops();
        sources.begin(4);
        assert!(Sources::of([("x", InputKind::Direct)].into_iter()).is_none());
        sources.hear(0, word(0, 50, SourceState::Counts, 4));
        sources.hear(0, word(1, 70, SourceState::Counts, 4));
        assert_eq!(sources.now(), NO_TIME, "`b` has not been heard of");
        let holder = sources.holder().unwrap();
        assert_eq!(
            (holder.input, holder.source, holder.heard),
            (1, Some(0), false)
        );
        sources.acknowledged(1, 0, 60);
        assert_eq!(sources.now(), 50);
        sources.acknowledged(0, 0, 65);
        assert_eq!(sources.now(), 60);
        sources.hear(1, word(0, 60, SourceState::Idle, 4));
        assert_eq!(sources.now(), 65);
        sources.hear(0, word(0, 65, SourceState::Idle, 4));
        sources.hear(0, word(1, 70, SourceState::Idle, 4));
        assert_eq!((sources.now(), sources.holder()), (70, None), "none counts");
        sources.hear(1, word(0, 60, SourceState::Stopped, 4));
        assert!(sources.holder().unwrap().stopped, "it holds the time");
        sources.hear(1, word(0, 60, SourceState::LeftOut, 4));
        assert_eq!(sources.holder(), None);
        sources.acknowledged(1, 0, 61);
        assert_eq!(sources.now(), 61, "it is for the task never to go back");
    }

    #[test]
    fn a_state_of_another_generation_is_void() {
        let sources = two_hops();
        sources.begin(4);
        for (input, source) in [(0, 0), (0, 1), (1, 0)] {
            let state = if input == 1 {
                SourceState::Idle
            } else {
                SourceState::Counts
            };
            sources.hear(input, word(source, 10 * i64::from(input == 0), state, 4));
        }
        assert_eq!(sources.now(), 10);
        sources.begin(5);
        assert_eq!(sources.now(), 0);
    }

    #[test]
    fn what_is_known_reads_back_and_the_past_too() {
        let inputs = [("a", hop(2)), ("own", InputKind::Direct)];
        let sources = Sources::of(inputs.clone().into_iter()).unwrap();
        sources.begin(1);
        sources.hear(0, word(0, 5, SourceState::Idle, 1));
        sources.acknowledged(0, 1, 7);
        sources.acknowledged_direct(9);
        let mut bytes = Vec::new();
        sources.encode(&mut bytes);
        let other = Sources::of(inputs.clone().into_iter()).unwrap();
        other.begin(1);
        other.restore(&bytes).unwrap();
        assert_eq!(other.now(), 7);
        other.acknowledged(0, 1, 30);
        other.acknowledged_direct(20);
        assert_eq!(other.now(), 20);
        other.go_back(&bytes).unwrap();
        assert_eq!((other.now(), other.direct_time()), (7, 9));
        assert!(other.restore(&bytes[..bytes.len() - 1]).is_err());
        // Of another plan: what it has no more is skipped, what is new has not been heard of.
        let other = Sources::of([("b", hop(1))].into_iter()).unwrap();
        other.restore(&bytes).unwrap();
        assert_eq!(other.now(), NO_TIME);
    }

    #[test]
    fn a_task_that_starts_again_waits_for_its_own_inputs_whatever_they_were_before() {
        let inputs = [("a", hop(1)), ("own", InputKind::Direct)];
        let sources = Sources::of(inputs.clone().into_iter()).unwrap();
        sources.begin(1);
        sources.acknowledged(0, 0, 70);
        sources.acknowledged_direct(9);
        sources.direct_stands(SourceState::Idle);
        assert_eq!(sources.now(), 70);
        let mut bytes = Vec::new();
        sources.encode(&mut bytes);
        sources.go_back(&bytes).unwrap();
        assert_eq!(sources.now(), 9, "what is read again may be of any time");
        assert!(!sources.direct_rests());
    }

    #[test]
    fn a_source_beyond_the_count_counts_from_its_first_word() {
        let sources = Sources::of([("a", hop(1))].into_iter()).unwrap();
        sources.begin(1);
        sources.acknowledged(0, 0, 50);
        sources.hear(0, word(2, 20, SourceState::Counts, 1));
        assert_eq!(sources.now(), 20);
        sources.hear(0, word(2, 60, SourceState::Counts, 1));
        assert_eq!(sources.now(), 50);
    }

    #[test]
    fn each_feeder_of_a_topic_has_its_sources() {
        let inputs = || [("x", fed(&[(7, 2), (9, 1)]))].into_iter();
        let sources = Sources::of(inputs()).unwrap();
        sources.begin(4);
        let counts = SourceState::Counts;
        for (feeder, partition, time) in [(7, 0, 50), (7, 1, 70), (9, 0, 60)] {
            sources.hear(0, word(source_of(feeder, partition), time, counts, 4));
        }
        assert_eq!(sources.now(), 50);
        // The time of a record says nothing of those that its agent sends next.
        sources.acknowledged(0, source_of(7, 0), 90);
        assert_eq!(sources.now(), 50);
        sources.hear(0, word(source_of(7, 0), 90, counts, 4));
        assert_eq!(sources.now(), 60);
        let holder = sources.holder().unwrap();
        assert_eq!(holder.source, Some(source_of(9, 0)));
        assert_eq!(
            sources.name_of_source(0, source_of(9, 0)).unwrap(),
            "agent-9[0]"
        );
        // One that the plan does not have.
        assert!(!sources.hear(0, word(source_of(8, 0), 5, counts, 4)));
        let mut bytes = Vec::new();
        sources.encode(&mut bytes);
        let back = Sources::of(inputs()).unwrap();
        back.begin(4);
        back.restore(&bytes).unwrap();
        assert_eq!((back.now(), back.holder()), (60, Some(holder)));
    }
}
