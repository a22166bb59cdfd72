//! `#[agent]`: parse, check, expand.

mod expand;
mod holds;
mod parse;

pub use expand::{options_of, reach, same_keys, shown, topic_name};
pub use parse::{Policy, policy};

use crate::errors::Errors;
use proc_macro2::TokenStream;

pub fn attribute(args: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let out = match parse::parse(args, &item, &errors) {
        // Nothing else in the program uses what an agent expands to: with a mistake in it, the function alone is
        // enough.
        Some(agent) if errors.is_empty() => expand::expand(&agent),
        _ => item,
    };
    let errors = errors.finish();
    quote::quote!(#out #errors)
}
