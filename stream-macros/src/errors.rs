//! The accumulator of mistakes: all of them are reported at once, each where it was made.

use proc_macro2::TokenStream;
use quote::ToTokens;
use std::{cell::RefCell, fmt::Display};

/// Mistakes found so far. Panics when dropped unread, so that none is lost.
pub struct Errors(RefCell<Option<Vec<syn::Error>>>);

impl Errors {
    pub fn new() -> Self {
        Self(RefCell::new(Some(Vec::new())))
    }

    /// Notes a mistake on the tokens given.
    pub fn on(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    pub fn push(&self, error: syn::Error) {
        if let Some(list) = self.0.borrow_mut().as_mut() {
            list.push(error);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().as_ref().is_none_or(Vec::is_empty)
    }

    /// One `compile_error!` a mistake.
    pub fn finish(self) -> TokenStream {
        let list = self.0.borrow_mut().take().unwrap_or_default();
        list.iter().map(syn::Error::to_compile_error).collect()
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.0.borrow().is_some() {
            panic!("mistakes were collected and never reported");
        }
    }
}
