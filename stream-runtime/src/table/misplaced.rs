//! Lookups of keys whose rows are in another partition.

use super::layout;
use super::row::RowSpec;
use super::row_cache::RowCache;
use crate::error::Error;
use crate::key::{StreamKey, partition_of};

/// Rows that are looked at, in the cache and in the store each, for one that lies in another partition than its key.
const SAMPLE: usize = 512;

impl<S: RowSpec> RowCache<S> {
    /// A row was looked for and is not here: if its key belongs to another partition, the answer would be wrong.
    ///
    /// # Errors
    /// It does: a failure of the current event.
    pub(super) fn missed<Q>(&mut self, key: &Q) -> Result<(), Error>
    where
        Q: ToOwned<Owned = S::Key> + ?Sized,
    {
        let (partition, partitions) = self.clock.place.get();
        if S::DESCRIPTOR.local || partitions < 2 {
            return Ok(());
        }
        let key = match self.places.asked.take() {
            Some(mut asked) => {
                key.clone_into(&mut asked);
                asked
            }
            None => key.to_owned(),
        };
        self.scratch.clear();
        key.encode(&mut self.scratch);
        let home = partition_of(&self.scratch, partitions);
        let result = match home == partition {
            true => Ok(()),
            false => self.is_elsewhere(&key, home),
        };
        self.places.asked = Some(key);
        result
    }

    /// The key, whose wire form lies in `scratch`, belongs to the partition `home`, and this is another one.
    #[cold]
    fn is_elsewhere(&mut self, key: &S::Key, home: i32) -> Result<(), Error> {
        let (partition, partitions) = self.clock.place.get();
        let (wire, keys) = (&self.scratch, &self.clock.keys);
        let own = |own: Option<&[u8]>| match own {
            Some(own) => own == wire.as_slice(),
            None => key.is_absent(),
        };
        if keys.any(own) {
            return Ok(());
        }
        self.clock
            .misplaced_reads
            .set(self.clock.misplaced_reads.get() + 1);
        let name = S::DESCRIPTOR.name;
        // Somebody else than murmur2 chose the partitions, or the rows go by a part of their keys.
        let otherwise = |own: Option<&[u8]>| {
            own.is_some_and(|own| partition_of(own, partitions) != partition || key.has_part(own))
        };
        if !keys.any(otherwise) && !self.has_misplaced(partition, partitions)? {
            return Err(Error::event(format!(
                "table `{name}`: key {} belongs to partition {home}, and this is partition {partition}: whether there is such a row is \
                 known there; have the records come by that key (`group_by`), or every worker have all rows (`global`); `local` says that \
                 one row per partition is meant",
                key.show()
            )));
        }
        if !std::mem::replace(&mut self.places.said_elsewhere, true) {
            tracing::warn!(
                table = name,
                key = %key.show(),
                partition,
                belongs_to = home,
                "a key was looked up that belongs to another partition, and rows lie in other partitions than their keys: no row was \
                 found here, and there may be one elsewhere; give the topic's producer partitioner=murmur2_random, or declare the table \
                 `local` if one row per partition is meant"
            );
        }
        Ok(())
    }

    /// Whether a row lies here whose key belongs to another partition.
    fn has_misplaced(&self, partition: i32, partitions: i32) -> Result<bool, Error> {
        if self.places.said_misplaced || self.places.said_elsewhere {
            return Ok(true);
        }
        let mut wire = Vec::new();
        let mut misplaced = |key: &S::Key| {
            wire.clear();
            key.encode(&mut wire);
            // A row for records without a key lies wherever they came.
            !key.is_absent() && partition_of(&wire, partitions) != partition
        };
        let cached = self.slots.iter().filter(|slot| slot.live);
        if cached.take(SAMPLE).any(|slot| misplaced(&slot.key)) {
            return Ok(true);
        }
        let Some(tree) = &self.tree else {
            return Ok(false);
        };
        for row in tree.scan(&[], None).take(SAMPLE) {
            let (layout_key, _) = row.map_err(Error::from)?;
            let (_, key) = layout::parse::<S::Key>(S::ALIGNED, &layout_key, S::DESCRIPTOR.name)?;
            if misplaced(&key) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
