//! Questions that rows can be asked for with.

use std::borrow::Borrow;
use std::hash::Hash;

/// Keys that a table is asked for with a `&Q`: the key itself, and what it borrows as, such as `&str` for a `String`.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[table]
/// #[derive(Clone, Default)]
/// struct Counts { seen: u64 }
///
/// #[agent(topic = "words")]
/// async fn count(word: Event<String>, mut counts: Table<Counts>) {
///     counts.update(word.key(), |count| count.seen += 1);
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the table's key is `{Self}`, not `{Q}`",
    label = "a `&{Q}`",
    note = "rows are found by a `&{Self}`, or by what that borrows as: a `&str` where the key is a `String`"
)]
pub trait KeyFor<Q: ?Sized>: Borrow<<Self as KeyFor<Q>>::Form> + Sized {
    /// `Q`, with what is known of it.
    type Form: Hash + Eq + ToOwned<Owned = Self> + ?Sized;

    /// Returns the same reference.
    fn form(asked: &Q) -> &Self::Form;
}

// Without the first line the compiler would name each of the bounds below in an error of its own.
#[diagnostic::do_not_recommend]
impl<K, Q> KeyFor<Q> for K
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    type Form = Q;

    #[inline]
    fn form(asked: &Q) -> &Q {
        asked
    }
}

/// The same for global tables, which never need a key of their own.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[topic("names", key = String, value = String)]
/// struct Names;
///
/// #[table(global, source = Names)]
/// struct NameOf;
///
/// #[agent(topic = "ids", sink = "greetings")]
/// async fn greet(id: Event<String>, names: GlobalTable<NameOf>) -> String {
///     names.get(id.as_str()).unwrap_or_default()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the table's key is `{Self}`, not `{Q}`",
    label = "a `&{Q}`",
    note = "rows are found by a `&{Self}`, or by what that borrows as: a `&str` where the key is a `String`"
)]
pub trait GlobalKeyFor<Q: ?Sized>: Borrow<<Self as GlobalKeyFor<Q>>::Form> {
    /// `Q`, with what is known of it.
    type Form: Hash + Eq + ?Sized;

    /// Returns the same reference.
    fn form(asked: &Q) -> &Self::Form;
}

#[diagnostic::do_not_recommend]
impl<K, Q> GlobalKeyFor<Q> for K
where
    K: Borrow<Q>,
    Q: Hash + Eq + ?Sized,
{
    type Form = Q;

    #[inline]
    fn form(asked: &Q) -> &Q {
        asked
    }
}
