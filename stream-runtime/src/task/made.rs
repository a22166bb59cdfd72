//! What a `#[state]` function returns: the resource, or a `Result` of it.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::Failure;

/// Tells a resource from a `Result` of one.
///
/// `(&&MadeProbe::<R>::NEW).made(value)` finds [`ViaResult`] first and [`ViaValue`] one reference further down.
pub struct MadeProbe<R>(PhantomData<fn() -> R>);

impl<R> MadeProbe<R> {
    /// The probe of a return type.
    pub const NEW: Self = MadeProbe(PhantomData);
}

/// A resource as the app keeps it.
type Made = Result<Arc<dyn Any + Send + Sync>, Failure>;

/// A function that may fail.
pub trait ViaResult<R> {
    /// The resource's type.
    fn resource(&self) -> TypeId;
    /// The resource, or why there is none.
    ///
    /// # Errors
    /// The function's own.
    fn made(&self, value: R) -> Made;
}

impl<T: Send + Sync + 'static, E: Into<Failure>> ViaResult<Result<T, E>>
    for &MadeProbe<Result<T, E>>
{
    fn resource(&self) -> TypeId {
        TypeId::of::<T>()
    }

    fn made(&self, value: Result<T, E>) -> Made {
        value.map(|made| Arc::new(made) as _).map_err(Into::into)
    }
}

/// A function that cannot fail.
pub trait ViaValue<R> {
    /// The resource's type.
    fn resource(&self) -> TypeId;
    /// The resource.
    ///
    /// # Errors
    /// Never.
    fn made(&self, value: R) -> Made;
}

impl<T: Send + Sync + 'static> ViaValue<T> for MadeProbe<T> {
    fn resource(&self) -> TypeId {
        TypeId::of::<T>()
    }

    fn made(&self, value: T) -> Made {
        Ok(Arc::new(value))
    }
}

#[cfg(test)]
#[allow(clippy::needless_borrow)] // the reference is what chooses
mod tests {
    use super::*;

    #[test]
    fn a_resource_and_a_result_of_it_are_of_one_type() {
        let plain = (&&MadeProbe::<u8>::NEW).resource();
        let fallible = (&&MadeProbe::<Result<u8, String>>::NEW).resource();
        assert_eq!((plain, fallible), (TypeId::of::<u8>(), TypeId::of::<u8>()));
        let made = (&&MadeProbe::<Result<u8, String>>::NEW)
            .made(Ok(7))
            .unwrap();
        assert_eq!(made.downcast_ref::<u8>(), Some(&7));
        let failed = (&&MadeProbe::<Result<u8, String>>::NEW).made(Err("no pool".into()));
        assert_eq!(failed.unwrap_err().to_string(), "no pool");
    }
}
