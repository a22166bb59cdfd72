//! Which dead letters were sent again: kept as the committed offsets of a group, with what is beyond them as text.

use std::collections::BTreeMap;

use crate::kafka::Committed;
use crate::task::letter_place::LetterPlace;

/// Longest text that a broker takes beside an offset, less some room.
const TEXT: usize = 4_000;

/// Offsets of one dead-letter topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Resent {
    partitions: BTreeMap<i32, Offsets>,
}

/// All below `next`, and some ranges beyond.
#[derive(Debug, Clone, Default, PartialEq)]
struct Offsets {
    next: i64,
    /// First to last, both included, in order, none touching another.
    beyond: Vec<(i64, i64)>,
}

impl Resent {
    /// Takes what the group has committed.
    pub(super) fn take(&mut self, committed: &Committed) {
        let Some(next) = committed.offset else { return };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let beyond = committed.metadata.split(',').filter_map(range).collect();
        let offsets = Offsets { next, beyond };
        self.partitions.insert(committed.partition, offsets);
    }

    pub(super) fn contains(&self, place: LetterPlace) -> bool {
        self.partitions
            .get(&place.partition)
            .is_some_and(|offsets| {
                let in_range =
                    |(first, last): &(i64, i64)| (*first..=*last).contains(&place.offset);
                place.offset < offsets.next || offsets.beyond.iter().any(in_range)
            })
    }

    /// Adds a letter.
    pub(super) fn add(&mut self, place: LetterPlace) {
        let offsets = self.partitions.entry(place.partition).or_default();
        if place.offset < offsets.next {
            return;
        }
        offsets.beyond.push((place.offset, place.offset));
        offsets.join();
    }

    /// The first offset that may wait becomes `first`: nothing below it waits.
    pub(super) fn nothing_below(&mut self, partition: i32, first: i64) {
        let offsets = self.partitions.entry(partition).or_default();
        offsets.next = offsets.next.max(first);
        offsets.join();
    }

    /// What to commit for a partition: offset and text. `None`: too scattered to be written down.
    pub(super) fn commit(&self, partition: i32) -> Option<(i64, String)> {
        let offsets = self.partitions.get(&partition)?;
        let range = |(first, last): &(i64, i64)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let text: Vec<String> = offsets.beyond.iter().map(range).collect();
        let text = text.join(",");
        (text.len() <= TEXT).then_some((offsets.next, text))
    }
}

impl Offsets {
    fn join(&mut self) {
        self.beyond.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(self.beyond.len());
        for (first, last) in self.beyond.drain(..) {
            if first <= self.next {
                self.next = self.next.max(last + 1);
                continue;
            }
            match joined.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = (*end).max(last),
                _ => joined.push((first, last)),
            }
        }
        self.beyond = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn at(offset: i64) -> LetterPlace {
        LetterPlace {
            partition: 0,
            offset,
        }
    }

    fn committed(resent: &Resent) -> Committed {
        let (offset, metadata) = resent.commit(0).unwrap();
        Committed {
            topic: "dead".into(),
            partition: 0,
            offset: Some(offset),
            metadata,
        }
    }

    #[test]
    fn neighbours_become_one_range_and_what_touches_the_offset_moves_it() {
        let mut resent = Resent::default();
        for offset in [5, 7, 6, 12] {
            resent.add(at(offset));
        }
        assert_eq!(resent.commit(0), Some((0, "5-7,12".to_owned())));
        resent.nothing_below(0, 5);
        assert_eq!(resent.commit(0), Some((8, "12".to_owned())));
    }

    #[test]
    fn too_many_single_ones_are_not_written_down() {
        let mut resent = Resent::default();
        for offset in 0..2_000 {
            resent.add(at(10_000 + 2 * offset));
        }
        assert_eq!(resent.commit(0), None);
    }

    proptest! {
        #[test]
        fn what_is_written_down_reads_back(offsets in prop::collection::btree_set(0i64..200, 0..60)) {
            let mut resent = Resent::default();
            for offset in &offsets {
                resent.add(at(*offset));
            }
            let mut back = Resent::default();
            if !offsets.is_empty() {
                back.take(&committed(&resent));
            }
            let found: BTreeSet<i64> = (0..200).filter(|o| back.contains(at(*o))).collect();
            prop_assert_eq!(found, offsets);
        }
    }
}
