//! The `Debug` of a record with `sensitive` fields.

use super::parse::{Record, RecordField};
use crate::item;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, Fields, GenericParam, ext::IdentExt, parse_quote};

pub fn debug(record: &Record) -> TokenStream {
    if !record.is_sensitive() {
        return TokenStream::new();
    }
    let name = &record.item.ident;
    let mut fields = record.fields.iter();
    let arms: TokenStream = match &record.item.data {
        Data::Struct(data) => arm(&quote!(Self), &name.to_string(), &data.fields, &mut fields),
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let ident = &variant.ident;
                let cfgs = item::cfgs(&variant.attrs);
                let arm = arm(
                    &quote!(Self::#ident),
                    &ident.to_string(),
                    &variant.fields,
                    &mut fields,
                );
                quote!(#(#cfgs)* #arm)
            })
            .collect(),
        Data::Union(_) => return TokenStream::new(),
    };
    let mut generics = record.item.generics.clone();
    for param in &mut generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(::core::fmt::Debug));
        }
    }
    let (impl_generics, type_generics, clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #name #type_generics #clause {
            fn fmt(&self, __out: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self { #arms }
            }
        }
    }
}

fn arm<'a>(
    path: &TokenStream,
    name: &str,
    fields: &Fields,
    rules: &mut impl Iterator<Item = &'a RecordField>,
) -> TokenStream {
    let mut patterns = TokenStream::new();
    let mut calls = TokenStream::new();
    let tuple = matches!(fields, Fields::Unnamed(_));
    for (n, (field, rules)) in fields.iter().zip(rules).enumerate() {
        let bound = format_ident!("__field{n}");
        let cfgs = item::cfgs(&field.attrs);
        let value = if rules.rules.sensitive {
            quote!(&::core::format_args!("***"))
        } else {
            quote!(#bound)
        };
        let kept = if rules.rules.sensitive {
            quote!(_)
        } else {
            quote!(#bound)
        };
        match &field.ident {
            Some(ident) => {
                let text = ident.unraw().to_string();
                patterns.extend(quote!(#(#cfgs)* #ident: #kept,));
                calls.extend(quote!(#(#cfgs)* __debug.field(#text, #value);));
            }
            None => {
                patterns.extend(quote!(#(#cfgs)* #kept,));
                calls.extend(quote!(#(#cfgs)* __debug.field(#value);));
            }
        }
    }
    let begin = if tuple {
        quote!(debug_tuple)
    } else {
        quote!(debug_struct)
    };
    let pattern = match fields {
        Fields::Named(_) => quote!(#path { #patterns }),
        Fields::Unnamed(_) => quote!(#path(#patterns)),
        Fields::Unit => quote!(#path),
    };
    quote!(#pattern => {
        let mut __debug = ::core::fmt::Formatter::#begin(__out, #name);
        #calls
        __debug.finish()
    })
}
