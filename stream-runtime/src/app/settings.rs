//! The words of an app's settings.

/// What is promised about every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessingGuarantee {
    /// Inputs, tables and outputs are of one cut after any crash.
    #[default]
    ExactlyOnce,
    /// No record is lost; after a crash some may count twice. For brokers without transactions.
    AtLeastOnce,
}

/// Where a topic without committed offsets is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Its first record.
    #[default]
    Earliest,
    /// The first record that comes after the worker has started.
    Latest,
}

/// What to do when records were deleted before they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// Stop that task, naming topic, partition, offsets and how many records are lost.
    #[default]
    Stop,
    /// Say so and go on behind the gap.
    Skip,
}
