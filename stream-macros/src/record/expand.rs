//! From a checked record to code. Nothing can fail here.

use super::{
    field::{self, Bound},
    masking,
    parse::{Codec, Coercion, Record, RecordField},
    paths,
};
use crate::{item, shape};
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, Data, DeriveInput, Field, Fields, LitStr, Path, parse_quote, spanned::Spanned,
};

pub fn expand(mut record: Record) -> TokenStream {
    let p = record.runtime.private();
    // As the user wrote it, without our readers.
    let shape = shape::of(&record.item, &p);
    let writers = add_readers(&mut record.item, &record.fields);
    let serde = record.runtime.serde();
    let deny = record
        .deny_unknown_fields
        .then(|| quote!(#[serde(deny_unknown_fields)]));
    let readers = readers(&record.item, &record.fields, &writers, &p);
    let debug = masking::debug(&record);
    let implementation = implementation(&record, &shape, &p);
    let item = &record.item;
    let cfgs = item::cfgs(&item.attrs);
    quote! {
        #[derive(#p::serde::Serialize, #p::serde::Deserialize)]
        #[serde(crate = #serde)]
        #deny
        #item
        #(#cfgs)*
        #[allow(non_snake_case, dead_code, clippy::all, clippy::pedantic)]
        const _: () = {
            #readers
            #debug
            #implementation
        };
    }
}

/// Tells serde's derive to read and write the fields that have rules by our functions. Returns those of the user's that
/// ours stand for, field by field.
pub fn add_readers(item: &mut DeriveInput, fields: &[RecordField]) -> Vec<Option<Path>> {
    let (_, type_generics, _) = item.generics.split_for_impl();
    let turbofish = type_generics.as_turbofish();
    let name = &item.ident;
    let mut writers = Vec::new();
    let path: String = quote!(#name #turbofish)
        .to_string()
        .split_whitespace()
        .collect();
    let mut rules = fields.iter();
    let mut add = |fields: &mut Fields| {
        for (field, rules) in fields.iter_mut().zip(rules.by_ref()) {
            let ours = |name| LitStr::new(&format!("{path}::{name}"), Span::call_site());
            if rules.is_read_here() {
                field
                    .attrs
                    .push(reader_attribute(field, &ours(rules.reader())));
            }
            let mut own = None;
            if rules.rules.bind() {
                own = field::take_writer(field);
                let writer = ours(rules.writer());
                field
                    .attrs
                    .push(parse_quote!(#[serde(serialize_with = #writer)]));
            }
            writers.push(own);
        }
    };
    match &mut item.data {
        Data::Struct(data) => add(&mut data.fields),
        Data::Enum(data) => data
            .variants
            .iter_mut()
            .for_each(|variant| add(&mut variant.fields)),
        Data::Union(_) => {}
    }
    writers
}

fn reader_attribute(field: &Field, reader: &LitStr) -> Attribute {
    // serde takes a missing `Option` for `None`, but not when a function reads it.
    match item::is_option(&field.ty) && !field::has_default(&field.attrs) {
        true => parse_quote!(#[serde(default, deserialize_with = #reader)]),
        false => parse_quote!(#[serde(deserialize_with = #reader)]),
    }
}

/// Two functions a field that has rules: one reads it, then checks it, one checks it, then writes it.
pub fn readers(
    item: &DeriveInput,
    fields: &[RecordField],
    writers: &[Option<Path>],
    p: &TokenStream,
) -> TokenStream {
    let mut functions = TokenStream::new();
    for (field, own) in fields.iter().zip(writers) {
        if field.is_read_here() {
            functions.extend(reader(field, p));
        }
        if field.rules.bind() {
            functions.extend(writer(field, own.as_ref(), p));
        }
    }
    if functions.is_empty() {
        return functions;
    }
    let name = &item.ident;
    let (impl_generics, type_generics, clause) = item.generics.split_for_impl();
    quote!(impl #impl_generics #name #type_generics #clause { #functions })
}

fn reader(field: &RecordField, p: &TokenStream) -> TokenStream {
    let RecordField {
        ty, cfgs, rules, ..
    } = field;
    let name = field.reader();
    let span = ty.span();
    let read = if let Some(format) = &rules.date_format {
        quote_spanned!(span=> #p::date_format::<#ty, __D>(__input, #format)?)
    } else {
        match field.coerce {
            Coercion::Asked => quote_spanned!(span=> <#ty as #p::Coerce>::coerce(__input)?),
            Coercion::Possible => quote_spanned!(span=> {
                #[allow(unused_imports)]
                use #p::{ViaCoerce as _, ViaSerde as _};
                (&&#p::Probe::<#ty>::NEW).read(__input)?
            }),
            Coercion::None => {
                quote_spanned!(span=> <#ty as #p::serde::Deserialize<'__de>>::deserialize(__input)?)
            }
        }
    };
    let checks = checks(field, &quote!(__D::Error), &quote!(&__value), p);
    let checks = (!checks.is_empty()).then(|| quote!(if #p::rules::hold_on_reading() { #checks }));
    quote! {
        #(#cfgs)*
        fn #name<'__de, __D: #p::serde::Deserializer<'__de>>(__input: __D) -> ::core::result::Result<#ty, __D::Error> {
            let __value = #read;
            #checks
            ::core::result::Result::Ok(__value)
        }
    }
}

fn writer(field: &RecordField, own: Option<&Path>, p: &TokenStream) -> TokenStream {
    let RecordField { ty, cfgs, .. } = field;
    let (name, called) = (field.writer(), &field.name);
    let checks = checks(
        field,
        &quote!(#p::serde::de::value::Error),
        &quote!(__value),
        p,
    );
    let write = match own {
        Some(own) => quote!(#own(__value, __output)),
        None => {
            quote_spanned!(ty.span()=> <#ty as #p::serde::Serialize>::serialize(__value, __output))
        }
    };
    quote! {
        #(#cfgs)*
        fn #name<__S: #p::serde::Serializer>(__value: &#ty, __output: __S) -> ::core::result::Result<__S::Ok, __S::Error> {
            #p::rules::hold_on_writing::<__S::Error>(#called, || { #checks ::core::result::Result::Ok(()) })?;
            #write
        }
    }
}

/// One statement a rule, which returns `error` when it is broken.
fn checks(
    field: &RecordField,
    error: &TokenStream,
    value: &TokenStream,
    p: &TokenStream,
) -> TokenStream {
    let RecordField { ty, rules, .. } = field;
    let span = ty.span();
    let sensitive = rules.sensitive;
    let mut checks = TokenStream::new();
    let mut check = |rule: &str, bound: TokenStream| {
        let rule = syn::Ident::new(rule, span);
        checks.extend(
            quote_spanned!(span=> #p::rules::#rule::<#ty, #error>(#value, #bound, #sensitive)?;),
        );
    };
    let number = |bound: &Bound| {
        let literal = &bound.literal;
        if bound.float {
            quote!(#p::rules::Bound::Float(#literal))
        } else {
            quote!(#p::rules::Bound::Int(#literal))
        }
    };
    if let Some(bound) = &rules.min {
        check("min", number(bound));
    }
    if let Some(bound) = &rules.max {
        check("max", number(bound));
    }
    if let Some(bound) = &rules.min_length {
        check("min_length", bound.to_token_stream());
    }
    if let Some(bound) = &rules.max_length {
        check("max_length", bound.to_token_stream());
    }
    checks
}

/// The tokens as they are, all of them at one place.
fn at(tokens: TokenStream, span: Span) -> TokenStream {
    let placed = tokens.into_iter().map(|mut token| {
        if let TokenTree::Group(group) = &token {
            token = Group::new(group.delimiter(), at(group.stream(), span)).into();
        }
        // What it means is decided where it stood.
        token.set_span(span.resolved_at(token.span()));
        token
    });
    placed.collect()
}

fn implementation(record: &Record, shape: &TokenStream, p: &TokenStream) -> TokenStream {
    let item = &record.item;
    let name = &item.ident;
    let text = name.to_string();
    let sensitive = record.is_sensitive();
    let (impl_generics, type_generics, _) = item.generics.split_for_impl();
    let mut generics = item.generics.clone();
    if generics.type_params().next().is_some() {
        let clause = generics.make_where_clause();
        clause.predicates.push(parse_quote!(#name #type_generics: #p::serde::Serialize + #p::serde::de::DeserializeOwned + 'static));
    }
    let clause = &generics.where_clause;
    let (key, has_key, key_fn) = match &record.key {
        None => (quote!(#p::String), false, TokenStream::new()),
        Some((path, ty)) => {
            let mut field = access(record, &path.first, &TokenStream::new());
            let mut returned = quote!(<Self as #p::Record>::Key);
            let mut ty = quote!(#ty);
            // The type of a field's field is known to its own record only. All of it stands at the field's name, so
            // that a wrong one is one error.
            for name in &path.rest {
                let here = record.runtime.private_at(name.span());
                let hash = paths::hash(name);
                let owner = at(ty, name.span());
                field =
                    quote_spanned!(name.span()=> <#owner as #here::HasField<#hash>>::field(#field));
                ty = quote_spanned!(name.span()=> <#owner as #here::HasField<#hash>>::Type);
                returned = ty.clone();
            }
            let key_fn = quote_spanned! {path.span()=>
                fn key(&self) -> ::core::option::Option<#returned> {
                    ::core::option::Option::Some(::core::clone::Clone::clone(#field))
                }
            };
            (ty, true, key_fn)
        }
    };
    let key_field = record
        .key
        .as_ref()
        .map_or_else(String::new, |(path, _)| path.text());
    let has_timestamp = record.timestamp.is_some();
    let timestamp_fn = record.timestamp.as_ref().map(|path| {
        let field = access(record, &path.first, &path.tail());
        let last = path.rest.last().unwrap_or(&path.first);
        let here = record.runtime.private_at(last.span());
        let millis = quote_spanned!(last.span()=> #here::EventTime::millis(#field));
        quote! {
            fn timestamp(&self) -> ::core::option::Option<i64> { #millis }
        }
    });
    let fields = paths::fields(item, p);
    let codec = record.codec.name();
    let (decode, encode) = match &record.codec {
        Codec::Json => (
            quote!(#p::decode_json(#text, __value, #sensitive)),
            quote!(#p::encode_json(#text, self, __out)),
        ),
        codec => {
            // Asked for at the option alone, so that a codec that does not fit is said there, and once.
            let (span, codec) = match codec {
                Codec::Own(ty) => (ty.span(), quote!(#ty)),
                Codec::Named(named, span) => {
                    let here = record.runtime.private_at(*span);
                    let named = syn::Ident::new(named, *span);
                    (*span, quote_spanned!(*span=> #here::codecs::#named))
                }
                Codec::Json => (Span::call_site(), TokenStream::new()),
            };
            let here = record.runtime.private_at(span);
            let decode = quote_spanned!(span=> #here::decode_by(#text, __value, #sensitive, <#codec as #here::codecs::Codec<Self>>::decode));
            let encode = quote_spanned!(span=> #here::encode_by(#text, self, __out, <#codec as #here::codecs::Codec<Self>>::encode));
            // What serde writes and does not read is not a record to send.
            let encode = match record.codec.name() {
                "binary" | "msgpack" => quote! {{
                    static __CAME_BACK: #p::CameBack = #p::CameBack::never();
                    let __start = __out.len();
                    let __written = #encode;
                    __CAME_BACK.ask(#text, __start, __out, __written, |__bytes| <Self as #p::Record>::decode(::core::option::Option::Some(__bytes)).map(::core::mem::drop))
                }},
                _ => encode,
            };
            (decode, encode)
        }
    };
    quote! {
        #fields

        #[automatically_derived]
        impl #impl_generics #p::Record for #name #type_generics #clause {
            type Key = #key;
            const NAME: &'static str = #text;
            const HAS_TIMESTAMP: bool = #has_timestamp;
            const HAS_KEY: bool = #has_key;
            const KEY_FIELD: &'static ::core::primitive::str = #key_field;
            const CODEC: &'static ::core::primitive::str = #codec;
            const SHAPE: &'static #p::Shape = &#shape;

            #[inline]
            fn decode(__value: ::core::option::Option<&[u8]>) -> ::core::result::Result<Self, #p::DecodeError> {
                #decode
            }

            #[inline]
            fn encode(&self, __out: &mut #p::Vec<u8>) -> ::core::result::Result<bool, #p::EncodeError> {
                #encode
            }

            #timestamp_fn
            #key_fn
        }
    }
}

/// A reference to a field, or to a field of it, in a struct or in whichever variant it is.
fn access(record: &Record, first: &syn::Ident, tail: &TokenStream) -> TokenStream {
    match &record.item.data {
        Data::Enum(data) => {
            // Of a reference, the tail derefs by itself.
            let found = if tail.is_empty() {
                quote!(__field)
            } else {
                quote!(&__field #tail)
            };
            let arms = data.variants.iter().map(|variant| {
                let ident = &variant.ident;
                let cfgs = item::cfgs(&variant.attrs);
                quote_spanned!(first.span()=> #(#cfgs)* Self::#ident { #first: __field, .. } => #found,)
            });
            quote_spanned!(first.span()=> match self { #(#arms)* })
        }
        _ => quote_spanned!(first.span()=> &self.#first #tail),
    }
}
