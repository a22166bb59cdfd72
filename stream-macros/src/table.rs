//! `#[table]`: parse, check, expand.

mod expand;
mod parse;

use crate::errors::Errors;
use proc_macro2::TokenStream;

pub fn attribute(args: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let out = match parse::parse(args, &item, &errors) {
        Some(mut table) => expand::expand(&mut table),
        None => item,
    };
    let errors = errors.finish();
    quote::quote!(#out #errors)
}
