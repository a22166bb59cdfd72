//! `#[join]`: parse, check, expand.

mod expand;
mod parse;

use crate::errors::Errors;
use proc_macro2::TokenStream;

pub fn attribute(args: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let out = match parse::parse(args, &item, &errors) {
        // Nothing else in the program uses what a join expands to: with a mistake in it, the function alone is enough.
        Some(join) if errors.is_empty() => expand::expand(&join),
        _ => item,
    };
    let errors = errors.finish();
    quote::quote!(#out #errors)
}
