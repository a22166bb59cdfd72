//! The wire shape of an item, for `plan.lock`: names, types, serde's words, and what may be missing.

use crate::item;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, Data, DeriveInput, Field, Fields, Meta, Token, Type, ext::IdentExt,
    punctuated::Punctuated,
};

/// The constant that describes it.
pub fn of(item: &DeriveInput, p: &TokenStream) -> TokenStream {
    let whole = Words::of(&item.attrs);
    let serde = &whole.rest;
    let (variants, fields) = match &item.data {
        Data::Struct(data) => (false, fields(&data.fields, whole.default, p)),
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|variant| {
                let cfgs = item::cfgs(&variant.attrs);
                let name = variant.ident.unraw().to_string();
                let parts = text(&serde_only(&variant.fields));
                let serde = Words::of(&variant.attrs).rest;
                quote! { #(#cfgs)* #p::FieldShape { name: #name, ty: #parts, serde: #serde, optional: true } }
            });
            (true, quote!(#(#variants),*))
        }
        Data::Union(_) => (false, TokenStream::new()),
    };
    let lost = crate::record::of_row(item)
        .into_iter()
        .map(|lost| match lost.what.as_str() {
            "" => lost.why,
            what => format!("{what}: {}", lost.why),
        });
    quote!(#p::Shape { fields: &[#fields], variants: #variants, serde: #serde, lost: &[#(#lost),*] })
}

fn fields(fields: &Fields, all_default: bool, p: &TokenStream) -> TokenStream {
    let fields = fields.iter().enumerate().filter_map(|(n, field)| {
        let words = Words::of(&field.attrs);
        if words.skip {
            return None;
        }
        let name = name(field, n);
        let ty = text(&field.ty);
        let serde = &words.rest;
        let optional = all_default || words.default || words.flatten || crate::record::is_option(&field.ty);
        let cfgs = item::cfgs(&field.attrs);
        Some(quote! { #(#cfgs)* #p::FieldShape { name: #name, ty: #ty, serde: #serde, optional: #optional } })
    });
    quote!(#(#fields),*)
}

fn name(field: &Field, n: usize) -> String {
    let name = field.ident.as_ref();
    name.map_or_else(|| n.to_string(), |name| name.unraw().to_string())
}

/// What serde's attributes say.
#[derive(Default)]
struct Words {
    default: bool,
    skip: bool,
    flatten: bool,
    /// All of it but for defaults.
    rest: String,
}

impl Words {
    fn of(attrs: &[Attribute]) -> Words {
        let mut words = Words::default();
        let mut rest = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
            let Meta::List(list) = &attr.meta else {
                continue;
            };
            let Ok(metas) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            else {
                continue;
            };
            for meta in metas {
                let path = meta.path();
                words.default |= path.is_ident("default");
                words.skip |= path.is_ident("skip");
                words.flatten |= path.is_ident("flatten");
                if !path.is_ident("default") && !path.is_ident("crate") {
                    rest.push(text(&meta));
                }
            }
        }
        rest.sort();
        words.rest = rest.join(",");
        words
    }
}

/// A variant's fields with serde's words alone: what else stands on them is not on the wire.
fn serde_only(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    for field in &mut fields {
        field.attrs.retain(|attr| attr.path().is_ident("serde"));
    }
    fields
}

/// As it is written, without spaces.
pub fn text(tokens: &impl ToTokens) -> String {
    tokens
        .to_token_stream()
        .to_string()
        .split_whitespace()
        .collect()
}

/// The shape of a row: the struct's own, or what its `value = T` tells.
pub fn of_value(value: &Type, p: &TokenStream) -> TokenStream {
    quote! {{
        #[allow(unused_imports)]
        use #p::{ViaName as _, ViaRecord as _};
        (&&#p::ShapeProbe::<#value>::NEW).shape()
    }}
}
