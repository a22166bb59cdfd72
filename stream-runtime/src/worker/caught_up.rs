//! Whether a worker has done everything there is to do for its partitions.

use super::shared::{Seen, Shared};
use crate::kafka::Fault;

/// Every thread is settled, and the ends of its inputs, open transactions included, are where its
/// commits are. Threads that move while the broker is asked make it untrue.
pub(super) fn is_caught_up(worker: &Shared) -> Result<bool, Fault> {
    let before: Vec<Seen> = worker.views.iter().map(|view| view.get()).collect();
    if !before.iter().all(|seen| seen.settled) {
        return Ok(false);
    }
    let (partitions, offsets): (Vec<_>, Vec<i64>) = before
        .iter()
        .flat_map(|seen| seen.places.iter().cloned())
        .unzip();
    if worker.admin.ends(&partitions)? != offsets {
        return Ok(false);
    }
    let same = |(view, seen): (&super::shared::View, &Seen)| {
        let now = view.get();
        now.settled && now.epoch == seen.epoch
    };
    Ok(worker.views.iter().zip(&before).all(same))
}
