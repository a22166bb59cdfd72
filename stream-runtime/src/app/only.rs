//! Agents listed by their functions.

use std::any::{TypeId, type_name};

use super::App;
use super::listed::Listing;

/// A function that an app is narrowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub(crate) id: TypeId,
    /// Its path, for messages.
    pub(crate) name: &'static str,
}

impl Item {
    fn of<F: 'static>() -> Item {
        Item {
            id: TypeId::of::<F>(),
            name: type_name::<F>(),
        }
    }
}

/// A tuple of agents' functions, up to 16, or what [`agents!`](crate::agents) makes.
///
/// ```
/// # use stream_runtime::prelude::*;
/// #[agent(topic = "words", sink = "loud")]
/// async fn shout(word: Event<String>) -> String {
///     word.to_uppercase()
/// }
///
/// let app = App::new("words").only((shout,));
/// # let _ = app;
/// ```
pub trait Agents {
    /// Narrows an app to them, or adds what was listed.
    #[doc(hidden)]
    fn put(self, app: &mut App);
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: 'static, $($rest: 'static),*> Agents for ($first, $($rest,)*) {
            fn put(self, app: &mut App) {
                app.chosen.only.get_or_insert_default().extend([Item::of::<$first>(), $(Item::of::<$rest>()),*]);
            }
        }
        tuples!($($rest)*);
    };
    () => {};
}
tuples!(A B C D E F G H I J K L M N O P);

impl Agents for Listing {
    fn put(self, app: &mut App) {
        app.chosen.listing.add(self);
    }
}
