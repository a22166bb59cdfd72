//! Fields of fields: how `#[record(key = address.city)]` gets at a type that only another `#[record]` can name.

/// A field of a record; `NAME` is the hash of its name, which the attribute computes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no such field",
    label = "no field of a `#[record]`",
    note = "the struct on the way needs `#[record]` too, and its field the struct's own visibility"
)]
pub trait HasField<const NAME: u64> {
    /// Its type.
    type Type;
    /// The field.
    fn field(&self) -> &Self::Type;
}
