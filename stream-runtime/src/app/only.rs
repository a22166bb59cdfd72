//! Agents listed by their functions.

use std::any::{TypeId, type_name};

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

/// A tuple of agents' functions, up to 16.
pub trait Agents {
    /// Identity and path of each function.
    #[doc(hidden)]
    fn items() -> Vec<Item>;
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: 'static, $($rest: 'static),*> Agents for ($first, $($rest,)*) {
            fn items() -> Vec<Item> {
                vec![Item::of::<$first>(), $(Item::of::<$rest>()),*]
            }
        }
        tuples!($($rest)*);
    };
    () => {};
}
tuples!(A B C D E F G H I J K L M N O P);

/// A list of agents for [`App::agents`](crate::App::agents).
#[macro_export]
macro_rules! agents {
    ($($agent:path),+ $(,)?) => { ($($agent,)+) };
}
