//! Texts that workers write beside their offsets, and who commits without them.

use crate::kafka::Committed;
use crate::task::{self, signature};

/// Seconds after an app's first commit with a text during which offsets without one are taken for those of workers
/// built before.
pub(super) const UPGRADE: i64 = 3_600;

/// Summary of the texts beside the app's offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signatures {
    /// Since when there are texts, in seconds of the epoch; 0: from the first commit on. `None`: there are none.
    pub(super) since: Option<i64>,
    /// An offset has no text.
    pub(super) unsigned: bool,
}

/// The same for the inputs of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signed {
    /// Value that this task's commits write.
    pub(super) since: i64,
    /// True while its committed offsets lack it.
    pub(super) again: bool,
    /// Since when other offsets of the app do.
    pub(super) known: Option<i64>,
}

impl Signatures {
    pub(super) fn of(committed: &[Committed]) -> Self {
        let has = committed.iter().filter(|c| c.offset.is_some());
        let since = committed.iter().map(|c| signature::since(&c.metadata));
        Self {
            // The latest: while some partitions have just been taken from workers built before, others may follow.
            since: since.flatten().max(),
            unsigned: has
                .filter(|c| !signature::is_a_worker_s(&c.metadata))
                .count()
                > 0,
        }
    }

    /// Returns the value that a task is to write, and the one that others have. `wall` is the wall clock, epoch ms.
    pub(super) fn for_task(self, committed: &[task::Committed], wall: i64) -> Signed {
        let since = committed.iter().map(|c| signature::since(&c.metadata));
        let own = since.flatten().max();
        let first = if self.unsigned { wall / 1_000 } else { 0 };
        let unsigned =
            |c: &task::Committed| c.offset.is_some() && signature::since(&c.metadata).is_none();
        Signed {
            since: own.or(self.since).unwrap_or(first),
            again: committed.iter().any(unsigned),
            known: self.since,
        }
    }
}

/// Returns whether an offset without a text is somebody else's, when the app's have had texts since then.
pub(super) fn is_foreign(known: Option<i64>, wall: i64) -> bool {
    known.is_some_and(|since| wall / 1_000 - since >= UPGRADE)
}

pub(super) fn text(app: &str, (topic, partition): (&str, i32), offset: i64) -> String {
    format!(
        "{topic}[{partition}]: its committed offset {offset} is not a worker's of this app: a consumer with the group id `{app}` took part in the group, or somebody moved the offset. What lies before it may never have been processed. End that consumer, then `--on-foreign-commit take` goes on from there, or `reset` starts again"
    )
}

#[cfg(test)]
mod tests {
    use super::super::strangers::Strangers;
    use super::*;
    use std::sync::Arc;

    fn committed(partition: i32, offset: Option<i64>, text: &str) -> Committed {
        Committed {
            topic: Arc::from("in"),
            partition,
            offset,
            metadata: text.into(),
        }
    }

    fn of(text: &str) -> [task::Committed; 1] {
        [task::Committed {
            offset: Some(5),
            metadata: text.into(),
        }]
    }

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn an_app_that_begins_writes_texts_from_its_first_commit_on() {
        let none = [committed(0, None, ""), committed(1, None, "")];
        let fresh = Signatures::of(&none).for_task(&[task::Committed::default()], NOW);
        assert_eq!((fresh.since, fresh.again), (0, false));
        // Another one finds these, and an offset without a text beside them.
        let others = [committed(0, Some(7), "#=0"), committed(1, Some(9), "")];
        let other = Signatures::of(&others).for_task(&of(""), NOW);
        assert_eq!((other.since, other.again), (0, true));
        assert!(is_foreign(other.known, NOW));
    }

    #[test]
    fn an_app_of_before_is_taken_and_its_other_workers_have_an_hour() {
        let none = [committed(0, Some(3), ""), committed(1, Some(4), "")];
        let taken = Signatures::of(&none).for_task(&of(""), NOW);
        assert_eq!((taken.since, taken.again), (NOW / 1_000, true));
        assert!(!is_foreign(taken.known, NOW), "nobody has written a text");
        let text = format!("#={}", NOW / 1_000);
        let half = [committed(0, Some(3), &text), committed(1, Some(4), "")];
        let later = Signatures::of(&half).for_task(&of(""), NOW + 60_000);
        assert_eq!(later.since, NOW / 1_000, "the hour does not begin again");
        assert!(!is_foreign(later.known, NOW + 60_000));
        assert!(is_foreign(later.known, NOW + 3_600_000));
    }

    #[test]
    fn incarnations_alone_are_a_worker_s_of_before() {
        let text = "sums=00000000000000000000000000000001";
        let before = [committed(0, Some(3), text)];
        let signed = Signatures::of(&before).for_task(&of(text), NOW);
        assert_eq!((signed.since, signed.again, signed.known), (0, true, None));
    }

    #[test]
    fn an_offset_without_a_text_is_told_of_at_the_second_look() {
        let handle = super::super::handle::idle();
        let seen = Strangers::default();
        let others = [committed(0, Some(7), "#=0"), committed(1, Some(9), "")];
        seen.compare(&others, "app", &handle);
        assert!(!handle.unready().iter().any(|line| line.contains("in[1]")));
        seen.compare(&others, "app", &handle);
        let lines = handle.unready();
        let told = lines.iter().find(|line| line.contains("in[1]")).unwrap();
        for part in ["offset 9", "group id `app`", "--on-foreign-commit take"] {
            assert!(told.contains(part), "{told}");
        }
        let signed = [committed(0, Some(7), "#=0"), committed(1, Some(9), "#=0")];
        seen.compare(&signed, "app", &handle);
        assert!(!handle.unready().iter().any(|line| line.contains("in[1]")));
    }
}
