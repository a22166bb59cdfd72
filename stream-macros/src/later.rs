//! Attributes of the language that are not built yet: refused, never ignored.

use proc_macro2::{Span, TokenStream};
use quote::quote;

pub fn attribute(name: &str, item: TokenStream) -> TokenStream {
    let error = syn::Error::new(
        Span::call_site(),
        format!("`#[{name}]` is not supported yet"),
    );
    let error = error.to_compile_error();
    quote!(#item #error)
}
