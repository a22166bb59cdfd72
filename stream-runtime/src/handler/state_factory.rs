//! What a `#[state]` function returns: the resource, or a `Result` of it.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::Failure;
use crate::topology::StateFuture;

/// Tells a resource from a `Result` of one.
///
/// `(&&FactoryProbe::<R>::NEW).kind()` finds [`ViaResult`] first and [`ViaValue`] one reference further down.
pub struct FactoryProbe<R>(PhantomData<fn() -> R>);

impl<R> FactoryProbe<R> {
    /// The probe of a return type.
    pub const NEW: Self = FactoryProbe(PhantomData);
}

/// A function that may fail.
pub trait ViaResult<R, T> {
    /// How the resource comes out of what is returned.
    fn kind(&self) -> fn(R) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> ViaResult<Result<T, E>, T> for &FactoryProbe<Result<T, E>> {
    fn kind(&self) -> fn(Result<T, E>) -> Result<T, Failure> {
        |made| made.map_err(Into::into)
    }
}

/// A function that cannot fail.
pub trait ViaValue<T> {
    /// How the resource comes out of what is returned.
    fn kind(&self) -> fn(T) -> Result<T, Failure>;
}

impl<T> ViaValue<T> for FactoryProbe<T> {
    fn kind(&self) -> fn(T) -> Result<T, Failure> {
        Ok
    }
}

/// A `#[state]` function taken apart.
pub struct StateParts {
    /// The resource's type.
    pub type_id: TypeId,
    /// Begins to make it.
    pub make: Box<dyn FnOnce() -> StateFuture>,
}

/// Takes a `#[state]` function apart: `kind` says how the resource comes out of what it returns.
pub fn state_parts<R, T, F, Fut>(kind: fn(R) -> Result<T, Failure>, function: F) -> StateParts
where
    T: Send + Sync + 'static,
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: 'static,
{
    StateParts {
        type_id: TypeId::of::<T>(),
        make: Box::new(move || {
            let made = function();
            Box::pin(async move { Ok(Arc::new(kind(made.await)?) as Arc<_>) })
        }),
    }
}

#[cfg(test)]
#[allow(clippy::needless_borrow)] // the reference is what chooses
mod tests {
    use super::*;

    async fn plain() -> u8 {
        7
    }

    async fn fallible() -> Result<u8, String> {
        Err("no pool".into())
    }

    fn now(parts: StateParts) -> Result<Arc<dyn std::any::Any + Send + Sync>, Failure> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match (parts.make)().as_mut().poll(&mut cx) {
            std::task::Poll::Ready(made) => made,
            std::task::Poll::Pending => Err("pending".into()),
        }
    }

    #[test]
    fn a_resource_and_a_result_of_it_are_of_one_type() {
        let parts = || state_parts((&&FactoryProbe::<u8>::NEW).kind(), plain);
        assert_eq!(parts().type_id, TypeId::of::<u8>());
        assert_eq!(now(parts()).unwrap().downcast_ref::<u8>(), Some(&7));
        let parts = || state_parts((&&FactoryProbe::<Result<u8, String>>::NEW).kind(), fallible);
        assert_eq!(parts().type_id, TypeId::of::<u8>());
        assert_eq!(now(parts()).unwrap_err().to_string(), "no pool");
    }
}
