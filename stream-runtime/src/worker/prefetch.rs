//! How much is fetched ahead of what is processed.
//!
//! A consumer has one request for records on its way to a broker, and its thread stands still in a commit. What was
//! fetched must last for both: the more, the further away the broker is. librdkafka takes its limits when a client is
//! made, so that they cannot follow what goes through; they follow from memory, which the partitions share.

use crate::error::{Error, Kind};
use crate::kafka::Properties;

/// Bytes of records that a worker's consumers may hold fetched and not read, about.
const BYTES: usize = 256 << 20;
/// What librdkafka keeps beside the bytes of a record that was fetched and not read, about: of small records most.
const BESIDE_RECORD: usize = 512;
/// Records that they may hold: so small ones take 64 MiB beside their bytes. Bytes alone would be no bound: 64 MiB of
/// records of 65 bytes take half a gigabyte.
const RECORDS: usize = (64 << 20) / BESIDE_RECORD;

/// Sets what follows from the number of partitions, unless the user has.
///
/// # Errors
/// A setting is not taken.
pub(super) fn fit(properties: &mut Properties, partitions: usize) -> Result<(), Error> {
    let partitions = partitions.max(1);
    let share = BYTES / partitions;
    // Of many partitions few have much to read at a time: each gets more than its part of the records.
    let of_many = (share / BESIDE_RECORD).clamp(1_000, 10_000);
    for (name, value) in [
        ("queued.max.messages.kbytes", share.max(1 << 20) >> 10),
        ("queued.min.messages", of_many.max(RECORDS / partitions)),
        // One answer: with a broker far away no more than this comes in the time that a question and its answer take.
        (
            "fetch.message.max.bytes",
            (share / 64).clamp(256 << 10, 4 << 20),
        ),
    ] {
        if properties.get(name).is_none() {
            properties
                .set(name, &value.to_string())
                .map_err(|text| Error::new(Kind::Internal, text))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(set: &[(&str, &str)], partitions: usize) -> [usize; 3] {
        let mut properties = Properties::broker("127.0.0.1:9");
        for (name, value) in set {
            properties.set(name, value).unwrap();
        }
        fit(&mut properties, partitions).unwrap();
        [
            "queued.max.messages.kbytes",
            "queued.min.messages",
            "fetch.message.max.bytes",
        ]
        .map(|name| properties.get(name).unwrap().parse().unwrap())
    }

    #[test]
    fn partitions_share_what_may_be_fetched_ahead() {
        assert_eq!(fitted(&[], 1), [256 << 10, 131_072, 4 << 20]);
        assert_eq!(fitted(&[], 4), [64 << 10, 32_768, 1 << 20]);
        assert_eq!(fitted(&[], 16), [16 << 10, 10_000, 256 << 10]);
        assert_eq!(fitted(&[], 100), [2_621, 5_242, 256 << 10]);
        assert_eq!(fitted(&[], 1_000), [1 << 10, 1_000, 256 << 10]);
        // A topic that is not there yet.
        assert_eq!(fitted(&[], 0), fitted(&[], 1));
    }

    #[test]
    fn what_the_user_sets_stays() {
        let set = [
            ("queued.min.messages", "7"),
            ("queued.max.messages.kbytes", "8"),
            ("max.partition.fetch.bytes", "9000"),
        ];
        assert_eq!(fitted(&set, 4), [8, 7, 9_000]);
    }
}
