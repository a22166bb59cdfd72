//! `#[timer]`, `#[crontab]`, `#[task]`: parse, check, expand.

mod expand;
mod parse;

use crate::errors::Errors;
use proc_macro2::TokenStream;

pub use parse::{CRONTAB, TASK, TIMER};

pub fn attribute(args: TokenStream, item: TokenStream, kind: &parse::Kind) -> TokenStream {
    let errors = Errors::new();
    let out = match parse::parse(args, &item, kind, &errors) {
        Some(beside) if errors.is_empty() => expand::expand(&beside),
        _ => item,
    };
    let errors = errors.finish();
    quote::quote!(#out #errors)
}
