//! Where a dead letter lies in its topic.

use std::fmt;
use std::str::FromStr;

/// Partition and offset, written `0@17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LetterPlace {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl fmt::Display for LetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl FromStr for LetterPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('@')
            .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
        match parts {
            Some((partition, offset)) if partition >= 0 && offset >= 0 => {
                Ok(LetterPlace { partition, offset })
            }
            _ => Err("expected PARTITION@OFFSET, as 0@17".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_it_is_written() {
        let place = LetterPlace {
            partition: 3,
            offset: 17,
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "3", "@", "3@", "@17", "-1@3", "1@-3", "a@b", "1@2@3"] {
            assert!(wrong.parse::<LetterPlace>().is_err(), "{wrong}");
        }
    }
}
