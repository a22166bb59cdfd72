//! Headers of a record, packed into bytes.

/// Length of a value that is null.
const NONE: u32 = u32::MAX;

/// Packs headers into bytes: `[name length u32][name][value length u32, or u32::MAX][value]` for each.
pub fn encode_headers<'a>(
    headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    out: &mut Vec<u8>,
) {
    for (name, value) in headers {
        out.extend_from_slice(&(name.len() as u32).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value.map_or(NONE, |v| v.len() as u32).to_be_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
}

/// A header: its name, and its value unless that is null.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// The reverse of [`encode_headers`].
pub fn decode_headers(mut bytes: &[u8]) -> impl Iterator<Item = Header<'_>> {
    std::iter::from_fn(move || take_header(&mut bytes))
}

pub(super) fn take_header<'a>(bytes: &mut &'a [u8]) -> Option<Header<'a>> {
    let (name, value) = take_bytes(bytes)?;
    Some((std::str::from_utf8(name).ok()?, value))
}

/// Takes the name and the value of the first header.
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    fn part<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let len = u32::from_be_bytes(*len);
        if len == NONE {
            *bytes = rest;
            return Some(None);
        }
        let (part, rest) = rest.split_at_checked(len as usize)?;
        *bytes = rest;
        Some(Some(part))
    }
    let name = part(bytes)??;
    Some((name, part(bytes)?))
}
