//! `#[record]`: parse, check, expand.

mod expand;
mod field;
mod kept;
mod masking;
mod parse;
mod paths;

pub use expand::{add_readers, readers};
pub use field::Rules;
pub use kept::of_row;
pub use parse::{CODECS, Coercion, RecordField, read_fields};

use crate::errors::Errors;
use proc_macro2::TokenStream;

pub fn attribute(args: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let out = match parse::parse(args, &item, &errors) {
        Some(record) => expand::expand(record),
        None => item,
    };
    let errors = errors.finish();
    quote::quote!(#out #errors)
}
