//! What `update` of each kind of table takes and returns.

use super::spec::{Hopping, Plain, Session, Sliding, TableKind, Tumbling};
use crate::error::{Error, raise};

/// Runs a closure on the rows of a key.
pub(super) type Change<'a, V> = &'a mut dyn FnMut(&mut dyn FnMut(&mut V));

/// What `update` of a kind of table takes and returns.
#[diagnostic::on_unimplemented(
    message = "this closure cannot change a row of this table",
    label = "takes another value, or may run only once",
    note = "it takes `&mut` of the table's value; with hopping and sliding windows it runs once for each, so it cannot give away what it has captured"
)]
pub trait Updates<V, F>: TableKind {
    /// What `update` returns.
    type Out;
    /// Runs the closure.
    #[doc(hidden)]
    fn run(change: Change<'_, V>, f: F) -> Self::Out;
}

/// A closure that is called at most once; `None` when it was not.
fn once<V, R, F: FnOnce(&mut V) -> R>(change: Change<'_, V>, f: F) -> Option<R> {
    let (mut f, mut out) = (Some(f), None);
    change(&mut |value| {
        if let Some(f) = f.take() {
            out = Some(f(value));
        }
    });
    out
}

impl<V, R, F: FnOnce(&mut V) -> R> Updates<V, F> for Plain {
    type Out = R;

    fn run(change: Change<'_, V>, f: F) -> R {
        match once(change, f) {
            Some(out) => out,
            None => raise(Error::table("a plain table did not call its closure")),
        }
    }
}

macro_rules! at_most_once {
    ($($kind:ident)*) => {$(
        impl<V, R, F: FnOnce(&mut V) -> R> Updates<V, F> for $kind {
            type Out = Option<R>;

            fn run(change: Change<'_, V>, f: F) -> Option<R> {
                once(change, f)
            }
        }
    )*};
}
at_most_once!(Tumbling Session);

/// What a closure returns that runs once for each window.
#[diagnostic::on_unimplemented(
    message = "this closure runs once for each window that holds the event's time, so that there is no one `{Self}` to return",
    label = "returns `{Self}`",
    note = "let the closure return nothing, and read a row afterwards: `current(&key)` for the newest window, `windows(&key)` for all"
)]
pub trait IsNothing {}
impl IsNothing for () {}

macro_rules! often {
    ($($kind:ident)*) => {$(
        impl<V, R: IsNothing, F: FnMut(&mut V) -> R> Updates<V, F> for $kind {
            type Out = ();

            fn run(change: Change<'_, V>, mut f: F) {
                change(&mut |value| {
                    f(value);
                });
            }
        }
    )*};
}
often!(Hopping Sliding);
