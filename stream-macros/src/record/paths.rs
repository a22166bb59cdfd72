//! The fields of a record, for the paths of other records that lead through it.

use crate::item;
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Field, Fields, Visibility, ext::IdentExt};

/// One implementation of `HasField` a field that others may name.
pub fn fields(item: &DeriveInput, p: &TokenStream) -> TokenStream {
    let Data::Struct(data) = &item.data else {
        return TokenStream::new();
    };
    let Fields::Named(fields) = &data.fields else {
        return TokenStream::new();
    };
    let name = &item.ident;
    let (impl_generics, type_generics, clause) = item.generics.split_for_impl();
    let named = fields
        .named
        .iter()
        .filter(|field| is_as_visible(field, &item.vis));
    named
        .filter_map(|field| {
            let (ident, ty) = (field.ident.as_ref()?, &field.ty);
            let hash = hash(ident);
            let cfgs = item::cfgs(&field.attrs);
            Some(quote! {
                #(#cfgs)*
                #[automatically_derived]
                impl #impl_generics #p::HasField<#hash> for #name #type_generics #clause {
                    type Type = #ty;
                    fn field(&self) -> &#ty { &self.#ident }
                }
            })
        })
        .collect()
}

/// A private type in the field of a public struct would be an error in a public implementation.
fn is_as_visible(field: &Field, of: &Visibility) -> bool {
    let text = |vis: &Visibility| vis.to_token_stream().to_string();
    matches!(field.vis, Visibility::Public(_)) || text(&field.vis) == text(of)
}

/// FNV-1a of a field's name.
pub fn hash(name: &Ident) -> u64 {
    let name = name.unraw().to_string();
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
