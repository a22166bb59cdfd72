//! The topics that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::kafka::{Admin, Fault, TopicView};
use crate::topology::SubTopology;

/// How long a changelog that the app makes keeps its tombstones.
pub(in crate::worker) const TOMBSTONES: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The same of a topic that nobody says it of, by Kafka's default: what is not known is taken to be this.
pub(in crate::worker) const SHORT_TOMBSTONES: Duration = Duration::from_secs(24 * 3_600);

pub(in crate::worker) type Existing = BTreeMap<String, TopicView>;

/// Returns whether a sub-topology cannot take partitions that are added to its inputs.
pub(in crate::worker) fn is_bound(topology: &SubTopology) -> bool {
    !topology.tables.is_empty() || topology.inputs.iter().any(|input| input.again)
}

/// Those of these topics that are there.
pub(in crate::worker) fn existing(
    admin: &Admin,
    names: BTreeSet<String>,
) -> Result<Existing, Fault> {
    let mut existing = Existing::new();
    for name in names {
        existing.extend(admin.topic(&name)?.map(|view| (name, view)));
    }
    Ok(existing)
}
