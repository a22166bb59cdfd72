//! Agents listed by their functions.

use std::any::TypeId;

/// A tuple of agents' functions, up to 16.
pub trait Agents {
    /// The identities of the functions.
    #[doc(hidden)]
    fn items() -> Vec<TypeId>;
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: 'static, $($rest: 'static),*> Agents for ($first, $($rest,)*) {
            fn items() -> Vec<TypeId> {
                vec![TypeId::of::<$first>(), $(TypeId::of::<$rest>()),*]
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
