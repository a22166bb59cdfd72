//! Every path that generated code uses starts here.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{LitStr, Path, spanned::Spanned};

/// The runtime as the user's crate knows it: `::stream_runtime`, or what `crate = path` says.
pub struct Runtime(Option<Path>);

impl Runtime {
    pub fn new(renamed: Option<Path>) -> Self {
        Self(renamed)
    }

    /// The hidden module that generated code lives off.
    pub fn private(&self) -> TokenStream {
        self.private_at(Span::call_site())
    }

    /// The same, so that an error about what it is part of points at `span`.
    pub fn private_at(&self, span: Span) -> TokenStream {
        match &self.0 {
            None => quote_spanned!(span=> ::stream_runtime::__private),
            Some(renamed) => quote_spanned!(span=> #renamed::__private),
        }
    }

    /// The path of the runtime's serde, as `#[serde(crate = "..")]` wants it.
    pub fn serde(&self) -> LitStr {
        let private = self.private();
        let text: String = quote!(#private::serde)
            .to_string()
            .split_whitespace()
            .collect();
        let span = self.0.as_ref().map_or_else(Span::call_site, Spanned::span);
        LitStr::new(&text, span)
    }
}
