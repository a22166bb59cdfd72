//! Rows are looked at before anyone relies on them: what is written must come back, and keep the rules of its fields.

use std::mem::discriminant;

use super::entry::{OnDisk, Value};
use super::readback::key_text;
use super::row::RowSpec;
use super::row_cache::RowCache;
use crate::codec::{rows as codec, tree};
use crate::error::Error;

/// Rows above this are read back by the commit alone, and not with every event: in bytes.
const LARGE: usize = 16 * 1024;

impl<S: RowSpec> RowCache<S> {
    /// Looks at the rows that the current event has changed.
    ///
    /// # Errors
    /// One breaks a field rule, or would not come back as it is: the event fails.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        for undo in &self.undo {
            let slot = &self.slots[undo.slot as usize];
            let Value::Here(row) = &slot.value else {
                continue;
            };
            let Some(value) = S::inner(row) else {
                continue;
            };
            let back = &mut self.readback;
            if back.trusts(value) {
                continue;
            }
            let known = back.has_known(Some(discriminant(value)));
            let large = match &slot.below {
                OnDisk::Unstored(Some(bytes)) => bytes.len() > LARGE,
                _ => back.length > LARGE,
            };
            if known && large && !back.rules {
                continue;
            }
            let (first, second) = (&mut back.first, &mut back.second);
            first.clear();
            match codec::encode_checked(row, first) {
                Ok(rules) => back.rules |= rules,
                Err(problem) => {
                    return Err(refused::<S>(&slot.key, format_args!("{problem}")));
                }
            }
            back.length = first.len();
            if !known || (back.thorough && !large) {
                comes_back::<S>(&slot.key, row, first, second)?;
                back.learn(value);
            }
        }
        Ok(())
    }
}

/// Reads a row that was just written, and compares.
///
/// # Errors
/// It does not come back as it is.
pub(super) fn comes_back<S: RowSpec>(
    key: &S::Key,
    row: &S::Row,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), Error> {
    let read: S::Row = match codec::decode(bytes) {
        Ok(read) => read,
        Err(problem) => {
            let why = codec::explain::<S::Row>(bytes, problem);
            let place = why.field.map(|field| format!("field `{field}`: "));
            let place = place.unwrap_or_default();
            return Err(refused::<S>(
                key,
                format_args!(
                    "it could not be read again: {place}{}; its type writes what it does not read: look at its serde attributes, \
                     or keep a struct of the table's own",
                    why.why
                ),
            ));
        }
    };
    let same = S::same(row, &read);
    if same == Some(true) {
        return Ok(());
    }
    scratch.clear();
    codec::encode(&read, scratch)
        .map_err(|problem| refused::<S>(key, format_args!("{problem}")))?;
    let place = tree::difference(bytes, scratch);
    // What does not equal itself, as NaN does not, is compared by its bytes.
    let unequal = same == Some(false) && S::same(row, row) == Some(true);
    if place.is_none() && !unequal {
        return Ok(());
    }
    let place = match place.as_deref() {
        None | Some(".") => String::new(),
        Some(place) => format!("field `{place}`: "),
    };
    Err(refused::<S>(
        key,
        format_args!(
            "{place}it would be read as another value after a restart: an `Option` of an `Option`, a field that is left out in \
             writing or an untagged variant that looks like another does not come back; say it with an enum"
        ),
    ))
}

#[cold]
fn refused<S: RowSpec>(key: &S::Key, why: std::fmt::Arguments<'_>) -> Error {
    Error::table(format!(
        "table `{}`, key {}: the row of type {} is not kept: {why}",
        S::DESCRIPTOR.name,
        key_text(key),
        S::DESCRIPTOR.value
    ))
}
