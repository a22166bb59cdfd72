//! The checkpoint of a tree, and its bytes.

/// The first byte of an encoded checkpoint: its format.
const FORMAT: u8 = 1;
const FIXED: usize = 1 + 8 + 8 + 16;

/// Up to where a tree holds what the changelog says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The next offset of the changelog partition to read.
    pub changelog_offset: i64,
    /// The mark as of that offset, opaque here; may be empty.
    pub mark: Vec<u8>,
    /// When the round was made, wall clock, milliseconds since the epoch.
    pub written_at: i64,
    /// The uuid of the changelog the offset belongs to.
    pub incarnation: [u8; 16],
}

impl Checkpoint {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + self.mark.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.changelog_offset.to_be_bytes());
        out.extend_from_slice(&self.written_at.to_be_bytes());
        out.extend_from_slice(&self.incarnation);
        out.extend_from_slice(&self.mark);
        out
    }

    /// `None` when these bytes are not a checkpoint of a format known here.
    pub(super) fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let (fixed, mark) = bytes.split_at_checked(FIXED)?;
        if fixed[0] != FORMAT {
            return None;
        }
        Some(Checkpoint {
            changelog_offset: i64::from_be_bytes(fixed[1..9].try_into().ok()?),
            written_at: i64::from_be_bytes(fixed[9..17].try_into().ok()?),
            incarnation: fixed[17..33].try_into().ok()?,
            mark: mark.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_and_others_do_not() {
        for mark in [vec![], vec![0, 1, 2, 255]] {
            let checkpoint = Checkpoint {
                changelog_offset: 1 << 40,
                mark,
                written_at: -3,
                incarnation: *b"0123456789abcdef",
            };
            let bytes = checkpoint.encode();
            assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
            assert_eq!(Checkpoint::decode(&bytes[..FIXED - 1]), None);
        }
        assert_eq!(Checkpoint::decode(&[]), None);
        assert_eq!(Checkpoint::decode(&[9; 64]), None);
    }
}
