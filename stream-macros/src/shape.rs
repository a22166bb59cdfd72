//! The wire shape of an item, for `plan.lock`: names, types, serde's words, and what may be missing.

use crate::item;
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Data, DeriveInput, Field, Fields, GenericArgument, GenericParam, Meta,
    PathArguments, Token, Type, ext::IdentExt, punctuated::Punctuated,
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
    let inner = inner(item, p);
    quote! {
        #p::Shape { fields: &[#fields], variants: #variants, serde: #serde, inner: &[#inner], lost: &[#(#lost),*] }
    }
}

/// Types of the language and of what serde knows by itself: they have no shape of their own.
const PLAIN: [&str; 40] = [
    "bool",
    "char",
    "str",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "f32",
    "f64",
    "String",
    "Option",
    "Result",
    "Vec",
    "VecDeque",
    "HashMap",
    "BTreeMap",
    "HashSet",
    "BTreeSet",
    "Box",
    "Arc",
    "Rc",
    "Cow",
    "DateTime",
    "Utc",
    "NaiveDate",
    "NaiveDateTime",
    "Duration",
    "Uuid",
    "IpAddr",
    "Value",
    "Bytes",
    "Decimal",
];

/// The types that its fields name and that may be records: each is asked for its shape.
fn inner(item: &DeriveInput, p: &TokenStream) -> TokenStream {
    let of_item: Vec<&Fields> = match &item.data {
        Data::Struct(data) => vec![&data.fields],
        Data::Enum(data) => {
            let variants = data.variants.iter();
            let always = variants.filter(|variant| item::cfgs(&variant.attrs).is_empty());
            always.map(|variant| &variant.fields).collect()
        }
        Data::Union(_) => Vec::new(),
    };
    let params = item.generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => Some(param.ident.to_string()),
        GenericParam::Const(param) => Some(param.ident.to_string()),
        GenericParam::Lifetime(_) => None,
    });
    let params: Vec<String> = params.collect();
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for field in of_item.into_iter().flatten() {
        let words = Words::of(&field.attrs);
        // What lies on the wire is another function's matter.
        let by_hand = words.rest.split(',').any(|word| word.contains("with="));
        // Whether it is there is decided elsewhere: it goes by its name.
        if words.skip || by_hand || !item::cfgs(&field.attrs).is_empty() {
            continue;
        }
        types_in(&field.ty, &mut |ty| {
            let name = text(ty);
            if !seen.contains(&name) && !mentions(ty.to_token_stream(), &params) {
                found.push(quote! {
                    #p::InnerShape {
                        ty: #name,
                        shape: || {
                            #[allow(unused_imports)]
                            use #p::{ViaName as _, ViaRecord as _};
                            (&&#p::ShapeProbe::<#ty>::NEW).shape()
                        },
                    }
                });
                seen.push(name);
            }
        });
    }
    quote!(#(#found),*)
}

/// The types in a type that are none of [`PLAIN`].
fn types_in(ty: &Type, see: &mut dyn FnMut(&Type)) {
    match ty {
        Type::Path(path) if path.qself.is_none() => {
            let Some(last) = path.path.segments.last() else {
                return;
            };
            if let PathArguments::AngleBracketed(arguments) = &last.arguments {
                for argument in &arguments.args {
                    if let GenericArgument::Type(ty) = argument {
                        types_in(ty, see);
                    }
                }
            }
            if !PLAIN.contains(&last.ident.to_string().as_str()) {
                see(ty);
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| types_in(ty, see)),
        Type::Array(array) => types_in(&array.elem, see),
        Type::Slice(slice) => types_in(&slice.elem, see),
        Type::Paren(paren) => types_in(&paren.elem, see),
        Type::Group(group) => types_in(&group.elem, see),
        _ => {}
    }
}

/// Returns whether a type speaks of a parameter of the item, or of a lifetime.
fn mentions(tokens: TokenStream, params: &[String]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => params.contains(&ident.to_string()),
        TokenTree::Punct(punct) => punct.as_char() == '\'',
        TokenTree::Group(group) => mentions(group.stream(), params),
        TokenTree::Literal(_) => false,
    })
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
        let optional = all_default || words.default || words.flatten || item::is_option(&field.ty);
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
