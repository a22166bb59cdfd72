//! What a record or a row looks like on the wire, as `plan.lock` keeps it.

use std::marker::PhantomData;

use super::Record;

/// The parts of a type that serde reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its fields, or its variants.
    pub fields: &'static [FieldShape],
    /// Whether the parts are the variants of an enum: then one that goes away can no longer be read.
    pub variants: bool,
    /// What `#[serde(..)]` says of the whole, without spaces.
    pub serde: &'static str,
    /// The types that its parts name, but for those of the language: what is known of them is asked there.
    pub inner: &'static [InnerShape],
    /// What a row of it would lose, or why it could not be read again; no part of what `plan.lock` keeps.
    pub lost: &'static [&'static str],
}

/// A field of a struct, or a variant of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldShape {
    /// Its name in Rust.
    pub name: &'static str,
    /// Its type as it is written, without spaces; of a variant its fields.
    pub ty: &'static str,
    /// What `#[serde(..)]` says of it but for defaults, without spaces.
    pub serde: &'static str,
    /// Whether a value without it can be read.
    pub optional: bool,
}

/// A type within another one.
#[derive(Clone, Copy, Debug)]
pub struct InnerShape {
    /// As it is written, without spaces.
    pub ty: &'static str,
    /// Its shape; [`Shape::OPAQUE`] of one that is not a record of this framework's.
    pub shape: fn() -> &'static Shape,
}

impl PartialEq for InnerShape {
    fn eq(&self, other: &Self) -> bool {
        self.ty == other.ty
    }
}

impl Eq for InnerShape {}

impl Shape {
    /// A type of which nothing but its name is known.
    pub const OPAQUE: Shape = Shape {
        fields: &[],
        variants: false,
        serde: "",
        inner: &[],
        lost: &[],
    };
}

/// Asks a type for its shape, whether or not it is a record.
pub struct ShapeProbe<T: ?Sized>(PhantomData<fn(&T)>);

impl<T: ?Sized> ShapeProbe<T> {
    /// The probe.
    pub const NEW: Self = ShapeProbe(PhantomData);
}

/// The way for records, which is tried first.
pub trait ViaRecord {
    /// The record's.
    fn shape(&self) -> &'static Shape;
}

impl<T: Record> ViaRecord for &ShapeProbe<T> {
    fn shape(&self) -> &'static Shape {
        T::SHAPE
    }
}

/// The way for all other types.
pub trait ViaName {
    /// None is known.
    fn shape(&self) -> &'static Shape;
}

impl<T: ?Sized> ViaName for ShapeProbe<T> {
    fn shape(&self) -> &'static Shape {
        &Shape::OPAQUE
    }
}
