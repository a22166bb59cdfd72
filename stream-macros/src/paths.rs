//! Every path that generated code uses starts here.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{LitStr, Path, spanned::Spanned};

/// The runtime as the user's crate knows it: `::stream_runtime`, or what `crate = path` says.
pub struct Runtime(Option<Path>);

impl Runtime {
    pub fn new(renamed: Option<Path>) -> Self {
        Self(renamed)
    }

    fn root(&self) -> TokenStream {
        self.0
            .as_ref()
            .map_or_else(|| quote!(::stream_runtime), ToTokens::to_token_stream)
    }

    /// The hidden module that generated code lives off.
    pub fn private(&self) -> TokenStream {
        let root = self.root();
        quote!(#root::__private)
    }

    /// The path of the runtime's serde, as `#[serde(crate = "..")]` wants it.
    pub fn serde(&self) -> LitStr {
        let private = self.private();
        let text: String = quote!(#private::serde)
            .to_string()
            .split_whitespace()
            .collect();
        let span = self
            .0
            .as_ref()
            .map_or_else(proc_macro2::Span::call_site, Spanned::span);
        LitStr::new(&text, span)
    }
}
