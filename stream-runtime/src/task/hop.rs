//! The repartition topics that a task fills, and what it tells their readers.

use std::cell::Cell;

use super::watermark::{SourceState, Word, source_of};
use crate::table::NO_TIME;
use crate::topology::{AgentPlan, FeederTime, SubTopology};

/// A repartition topic that the task fills.
#[derive(Debug)]
pub(crate) struct Hop {
    /// Index of the output.
    pub(crate) output: usize,
    /// Index of its feeder among the agents.
    pub(super) agent: usize,
    /// The number that names it as a source.
    pub(super) source: i32,
    /// Indexes of the inputs that its feeder reads; where it takes windows: of those that make the time by which these
    /// close.
    pub(crate) reads: Vec<usize>,
    /// Origin of its time.
    pub(super) by: FeederTime,
    /// Indexes of the tables whose windows, or records without a partner, its feeder takes when they are over.
    pub(super) closes: Vec<usize>,
    /// By what it reads: the largest event time acknowledged; as of the last commit.
    pub(super) time: Cell<i64>,
    pub(super) committed: Cell<i64>,
    /// Its state: `Idle` once they have had nothing for `source_idle` and are at their ends, `LeftOut` from a failure
    /// on.
    pub(super) state: Cell<SourceState>,
    /// The word that the prepared commit tells, and that of the last one.
    pub(super) telling: Cell<Option<Word>>,
    pub(super) told: Cell<Option<Word>>,
    /// Monotonic time in ms before which nothing but a new state is told.
    pub(super) next: Cell<u64>,
    /// Time between two watermarks, ms.
    pub(super) every: u64,
}

/// The hops that a sub-topology's agents fill; its inputs have this many partitions, and each hop writes so many
/// watermarks a second at most, over all its sources and partitions.
pub(crate) fn of(
    topology: &SubTopology,
    partition: i32,
    partitions: i32,
    a_second: u64,
) -> Vec<Hop> {
    let each = u64::try_from(partitions).unwrap_or(0);
    let hops = topology.fills.iter().map(|fill| {
        let agent = &topology.agents[fill.agent];
        Hop {
            output: fill.output,
            agent: fill.agent,
            source: source_of(fill.number, partition),
            reads: match fill.time {
                FeederTime::Read => agent.reads.clone(),
                FeederTime::Stream | FeederTime::Closed => (0..topology.timely()).collect(),
            },
            by: fill.time,
            closes: match fill.time {
                FeederTime::Closed => going(agent).collect(),
                FeederTime::Read | FeederTime::Stream => Vec::new(),
            },
            time: Cell::new(NO_TIME),
            committed: Cell::new(NO_TIME),
            state: Cell::new(SourceState::Counts),
            telling: Cell::new(None),
            told: Cell::new(None),
            next: Cell::new(0),
            every: each * each * 1_000 / a_second.max(1),
        }
    });
    hops.collect()
}

/// The tables whose rows an agent sends on when they are over: of a join the sides whose records go alone.
fn going(agent: &AgentPlan) -> impl Iterator<Item = usize> {
    let alone = agent.shape.join.as_ref().map(|join| join.alone);
    let closes = agent.closes.iter().enumerate();
    closes
        .filter(move |(side, _)| alone.is_none_or(|alone| alone[*side]))
        .map(|(_, table)| *table)
}
