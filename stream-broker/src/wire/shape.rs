//! The layout of requests, walked before they are decoded.
//!
//! The generated decoders reserve memory for as many elements as a request announces, so sixteen bytes of garbage could
//! ask for hundreds of gigabytes and end the process. A request is decoded only after this walk found every element.

/// The most elements (of arrays and tagged fields together) one request may hold.
const MOST_ELEMENTS: usize = 400_000;

/// What a field is on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A number, flag or uuid of this many bytes.
    Fixed(usize),
    /// A string, nullable or not.
    Text,
    /// Bytes, nullable or not.
    Bytes,
    /// An array of plain elements.
    Plain(&'static Kind),
    /// An array of structures.
    Structs(Shape),
}

/// A field and the versions it is present in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    kind: Kind,
    first: i16,
    last: i16,
}

/// The fields of a structure, in order.
pub(crate) type Shape = &'static [Field];

/// A field of every version.
pub(crate) const fn always(kind: Kind) -> Field {
    between(kind, 0, i16::MAX)
}

/// A field present from `first` on.
pub(crate) const fn since(kind: Kind, first: i16) -> Field {
    between(kind, first, i16::MAX)
}

/// A field present from `first` to `last`, both included.
pub(crate) const fn between(kind: Kind, first: i16, last: i16) -> Field {
    Field { kind, first, last }
}

/// Why a request does not have its shape.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misshapen(pub(crate) &'static str);

/// Checks that `body` starts with a structure of this shape; gives the number of bytes it takes.
pub(crate) fn check(
    shape: Shape,
    body: &[u8],
    version: i16,
    flexible: bool,
) -> Result<usize, Misshapen> {
    let mut walk = Walk {
        rest: body,
        version,
        flexible,
        elements: 0,
    };
    walk.structure(shape)?;
    Ok(body.len() - walk.rest.len())
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn structure(&mut self, shape: Shape) -> Result<(), Misshapen> {
        for field in shape {
            if field.first <= self.version && self.version <= field.last {
                self.value(&field.kind)?;
            }
        }
        if self.flexible {
            let tags = self.varint()?;
            self.count(tags as usize)?;
            for _ in 0..tags {
                self.varint()?;
                let size = self.varint()? as usize;
                self.skip(size)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind) -> Result<(), Misshapen> {
        match *kind {
            Kind::Fixed(size) => self.skip(size),
            Kind::Text => {
                let size = if self.flexible {
                    self.compact()?
                } else {
                    self.short()?
                };
                self.skip(size)
            }
            Kind::Bytes => {
                let size = self.length()?;
                self.skip(size)
            }
            Kind::Plain(inner) => {
                let count = self.length()?;
                self.count(count)?;
                (0..count).try_for_each(|_| self.value(inner))
            }
            Kind::Structs(inner) => {
                let count = self.length()?;
                self.count(count)?;
                (0..count).try_for_each(|_| self.structure(inner))
            }
        }
    }

    fn count(&mut self, more: usize) -> Result<(), Misshapen> {
        self.elements = self.elements.saturating_add(more);
        if self.elements > MOST_ELEMENTS {
            return Err(Misshapen("more elements than a request may hold"));
        }
        if more > self.rest.len() {
            return Err(Misshapen("announces more elements than it has bytes"));
        }
        Ok(())
    }

    fn skip(&mut self, size: usize) -> Result<(), Misshapen> {
        self.rest = self
            .rest
            .get(size..)
            .ok_or(Misshapen("ends in the middle of a field"))?;
        Ok(())
    }

    fn short(&mut self) -> Result<usize, Misshapen> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<2>()
            .ok_or(Misshapen("ends in the middle of a length"))?;
        self.rest = rest;
        positive(i32::from(i16::from_be_bytes(*head)))
    }

    fn length(&mut self) -> Result<usize, Misshapen> {
        if self.flexible {
            return self.compact();
        }
        let (head, rest) = self
            .rest
            .split_first_chunk::<4>()
            .ok_or(Misshapen("ends in the middle of a length"))?;
        self.rest = rest;
        positive(i32::from_be_bytes(*head))
    }

    /// Lengths of flexible versions are one too high; zero means null.
    fn compact(&mut self) -> Result<usize, Misshapen> {
        Ok((self.varint()? as usize).saturating_sub(1))
    }

    fn varint(&mut self) -> Result<u32, Misshapen> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, rest) = self
                .rest
                .split_first()
                .ok_or(Misshapen("ends in the middle of a number"))?;
            self.rest = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Misshapen("holds a number of more than five bytes"))
    }
}

/// -1 is null, which takes no bytes.
fn positive(length: i32) -> Result<usize, Misshapen> {
    match length {
        -1 => Ok(0),
        length => usize::try_from(length).map_err(|_| Misshapen("announces a negative length")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Shape = &[always(Kind::Structs(&[
        always(Kind::Text),
        since(Kind::Fixed(4), 3),
    ]))];

    #[test]
    fn an_honest_request_is_walked_to_its_end() {
        assert_eq!(
            check(NAMES, &[0, 0, 0, 1, 0, 2, b'h', b'i'], 0, false),
            Ok(8)
        );
        assert_eq!(
            check(
                NAMES,
                &[0, 0, 0, 1, 0, 2, b'h', b'i', 0, 0, 0, 7, 9],
                3,
                false
            ),
            Ok(12)
        );
        assert_eq!(
            check(NAMES, &[2, 3, b'h', b'i', 0, 0, 0, 7, 0, 0], 3, true),
            Ok(10)
        );
    }

    #[test]
    fn an_announced_count_without_elements_is_refused() {
        assert_eq!(
            check(NAMES, &[0x7f, 0xff, 0xff, 0xff], 0, false),
            Err(Misshapen("more elements than a request may hold"))
        );
        assert_eq!(
            check(NAMES, &[0, 0, 0, 9, 0, 0], 0, false),
            Err(Misshapen("announces more elements than it has bytes"))
        );
        assert_eq!(
            check(NAMES, &[0xff, 0xff, 0xff, 0xfe], 0, false),
            Err(Misshapen("announces a negative length"))
        );
        assert_eq!(
            check(NAMES, &[0xff, 0xff, 0xff, 0xff, 0xff, 1], 0, true),
            Err(Misshapen("holds a number of more than five bytes"))
        );
        assert_eq!(
            check(NAMES, &[0, 0, 0, 1, 0, 2, b'h'], 0, false),
            Err(Misshapen("ends in the middle of a field"))
        );
    }
}
