//! The attributes of `stream-runtime`.
//!
//! Use them through that crate, which re-exports them with their documentation. Each attribute goes the same way:
//! *parse* (tokens to a model), *check* (all mistakes at once, each on the smallest token), *expand* (cannot fail).

mod duration;
mod errors;
mod item;
mod options;
mod paths;
mod record;

use proc_macro::TokenStream;

#[allow(missing_docs)] // documented where stream-runtime re-exports it
#[proc_macro_attribute]
pub fn record(args: TokenStream, item: TokenStream) -> TokenStream {
    record::attribute(args.into(), item.into()).into()
}
