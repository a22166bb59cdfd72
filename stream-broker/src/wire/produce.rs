//! Produce, read by hand: the record batches stay where they are in the frame, to be stamped and written from there.

use std::ops::Range;

use bytes::BytesMut;

use super::shape::Misshapen;

/// A Produce request; ranges point into the frame it was read from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Produce {
    pub(crate) transactional: bool,
    pub(crate) acks: i16,
    pub(crate) topics: Vec<ProduceTopic>,
}

/// The batches for one topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ProduceTopic {
    pub(crate) name: String,
    /// Partition, and where its records are.
    pub(crate) partitions: Vec<(i32, Range<usize>)>,
}

/// Reads a body whose shape has been checked.
pub(crate) fn decode(body: &BytesMut, flexible: bool) -> Result<Produce, Misshapen> {
    let mut at = Cursor {
        body,
        at: 0,
        flexible,
    };
    let mut produce = Produce {
        transactional: at.text()?.is_some(),
        acks: at.i16()?,
        topics: Vec::new(),
    };
    at.take(4)?;
    for _ in 0..at.length()?.unwrap_or(0) {
        let name = at.text()?.unwrap_or_default();
        let name = std::str::from_utf8(&body[name])
            .map_err(|_| Misshapen("names a topic that is not text"))?
            .to_owned();
        let mut topic = ProduceTopic {
            name,
            partitions: Vec::new(),
        };
        for _ in 0..at.length()?.unwrap_or(0) {
            let partition = at.i32()?;
            let size = at.length()?.unwrap_or(0);
            topic.partitions.push((partition, at.take(size)?));
            at.tags()?;
        }
        at.tags()?;
        produce.topics.push(topic);
    }
    Ok(produce)
}

struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
    flexible: bool,
}

impl Cursor<'_> {
    fn take(&mut self, size: usize) -> Result<Range<usize>, Misshapen> {
        let end = self
            .at
            .checked_add(size)
            .filter(|end| *end <= self.body.len());
        let range = self.at..end.ok_or(Misshapen("ends in the middle of a field"))?;
        self.at = range.end;
        Ok(range)
    }

    fn i16(&mut self) -> Result<i16, Misshapen> {
        let range = self.take(2)?;
        Ok(i16::from_be_bytes([
            self.body[range.start],
            self.body[range.start + 1],
        ]))
    }

    fn i32(&mut self) -> Result<i32, Misshapen> {
        let range = self.take(4)?;
        let bytes = &self.body[range];
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn varint(&mut self) -> Result<usize, Misshapen> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.body[self.take(1)?.start];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    /// A length; None is null.
    fn length(&mut self) -> Result<Option<usize>, Misshapen> {
        if self.flexible {
            Ok(self.varint()?.checked_sub(1))
        } else {
            Ok(usize::try_from(self.i32()?).ok())
        }
    }

    fn text(&mut self) -> Result<Option<Range<usize>>, Misshapen> {
        let size = if self.flexible {
            self.varint()?.checked_sub(1)
        } else {
            usize::try_from(self.i16()?).ok()
        };
        size.map(|size| self.take(size)).transpose()
    }

    fn tags(&mut self) -> Result<(), Misshapen> {
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let size = self.varint()?;
                self.take(size)?;
            }
        }
        Ok(())
    }
}
