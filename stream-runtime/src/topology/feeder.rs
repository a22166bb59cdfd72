//! Agents by whose times the readers of a topic go.

/// An agent by whose time the readers of a topic go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeederPlan {
    /// The agent's name.
    pub agent: &'static str,
    /// Index of its sub-topology: each of its partitions is a source.
    pub topology: usize,
    /// Number that its records and watermarks name it by: 0 for the only one of a repartition topic, else made from its
    /// name.
    pub number: i32,
    /// Origin of its time.
    pub time: FeederTime,
}

/// The same, seen from the task that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillPlan {
    /// Index of the agent.
    pub agent: usize,
    /// Index of the output.
    pub output: usize,
    /// See [`FeederPlan::number`].
    pub number: i32,
    /// Origin of its time.
    pub time: FeederTime,
}

/// Time of a feeder: what it sends from now on is not older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeederTime {
    /// The largest event time acknowledged from the topics that it reads.
    Read,
    /// Its task's stream time: it reads what other tasks write.
    Stream,
    /// Its task's stream time, less what windows or records that are over have had to wait: it sends what is over.
    Closed,
}

impl FeederTime {
    /// Returns whether its task's stream time makes it.
    pub fn follows_its_task(self) -> bool {
        self != FeederTime::Read
    }
}
