//! The headers of a dead letter, in their order: what failed and where it came from, then the record's own.

/// Why it failed.
pub(crate) const ERROR: &str = "error";
/// The agent that failed.
pub(crate) const AGENT: &str = "agent";
/// How often it was tried.
pub(crate) const ATTEMPTS: &str = "attempts";
/// Of a record: where it lies, and its stamp.
pub(crate) const SOURCE_TOPIC: &str = "source.topic";
pub(crate) const SOURCE_PARTITION: &str = "source.partition";
pub(crate) const SOURCE_OFFSET: &str = "source.offset";
pub(crate) const SOURCE_TIMESTAMP: &str = "source.timestamp";
/// Of a record that has got another key on its way (`group_by`): where it was read before.
pub(crate) const ORIGIN_TOPIC: &str = "origin.topic";
pub(crate) const ORIGIN_PARTITION: &str = "origin.partition";
pub(crate) const ORIGIN_OFFSET: &str = "origin.offset";
/// Of a closed window: its table, partition and bounds.
pub(crate) const TABLE: &str = "table";
pub(crate) const PARTITION: &str = "partition";
pub(crate) const START: &str = "start";
pub(crate) const END: &str = "end";
/// The row in the form in which tables keep rows, where the JSON of the value does not come back as the same.
pub(crate) const ROW: &str = "row";
/// Last, when the value did not fit: how long it was.
pub(crate) const CUT_FROM: &str = "value.cut.from";
