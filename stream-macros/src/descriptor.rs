//! The descriptor of an agent, as each attribute registers one.

use proc_macro2::TokenStream;
use quote::quote;

/// Fields of an `AgentDescriptor`.
pub struct Descriptor {
    pub name: String,
    /// Where it stands in the source.
    pub place: TokenStream,
    /// A `Source`.
    pub source: TokenStream,
    /// An `Option` of a topic's name.
    pub sink: TokenStream,
    /// `AgentOptions`.
    pub options: TokenStream,
    /// Expression that gives its shape and starts it.
    pub made: TokenStream,
    /// The function's item, for `App::only`.
    pub item: TokenStream,
    /// Descriptors of those that give its records another key.
    pub feeders: TokenStream,
}

impl Descriptor {
    /// Returns the value; `p` is the path of the runtime's private module.
    pub fn tokens(&self, p: &TokenStream) -> TokenStream {
        let Descriptor {
            name,
            place,
            source,
            sink,
            options,
            made,
            item,
            feeders,
        } = self;
        quote! {
            #p::AgentDescriptor {
                name: #name,
                place: #place,
                source: #source,
                sink: #sink,
                options: #options,
                shape: || #made.shape,
                start: |__context| (#made.start)(__context),
                item: || #item,
                feeders: &[#feeders],
            }
        }
    }
}

/// No sink.
pub fn none() -> TokenStream {
    quote!(::core::option::Option::None)
}
