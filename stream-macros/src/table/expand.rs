//! From a checked table to code. Nothing can fail here.

use super::parse::{Table, Window};
use crate::{
    item::{self, optional},
    options::TopicRef,
    shape,
};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{parse_quote_spanned, spanned::Spanned};

pub fn expand(table: &Table) -> TokenStream {
    let p = table.runtime.private();
    let Table {
        item,
        name,
        grace,
        retention,
        changelog,
        local,
        ..
    } = table;
    let ident = &item.ident;
    let serde = table.runtime.serde();
    let own = table.value.is_none() && table.source.is_none();
    let derive = own.then(|| {
        quote! {
            #[derive(#p::serde::Serialize, #p::serde::Deserialize)]
            #[serde(crate = #serde)]
        }
    });
    let (key_type, value_type) = match &table.source {
        Some(topic) => {
            let here = table.runtime.private_at(topic.span());
            // All of it at the option, for what is wrong with the topic's record.
            (
                Some(parse_quote_spanned!(topic.span()=> <#topic as #here::TopicSpec>::Key)),
                Some(parse_quote_spanned!(topic.span()=> <#topic as #here::TopicSpec>::Value)),
            )
        }
        None => (table.key.clone(), table.value.clone()),
    };
    let key = key_type
        .as_ref()
        .map_or_else(|| quote!(#p::String), |ty| quote!(#ty));
    let value = value_type
        .as_ref()
        .map_or_else(|| quote!(#ident), |ty| quote!(#ty));
    let value_name = match &table.source {
        Some(_) => quote!(<#value as #p::Record>::NAME),
        None => shape::text(&value).into_token_stream(),
    };
    let row = match &value_type {
        Some(ty) => shape::of_value(ty, &p),
        None => {
            let shape = shape::of(item, &p);
            quote!(&#shape)
        }
    };
    let (kind, window) = match table.window {
        None => (quote!(Plain), quote!(::core::option::Option::None)),
        Some(Window::Tumbling { size }) => (
            quote!(Tumbling),
            quote!(::core::option::Option::Some(#p::Window::Tumbling { size: #size })),
        ),
        Some(Window::Hopping { size, step }) => (
            quote!(Hopping),
            quote!(::core::option::Option::Some(#p::Window::Hopping { size: #size, step: #step })),
        ),
        Some(Window::Session { gap }) => (
            quote!(Session),
            quote!(::core::option::Option::Some(#p::Window::Session { gap: #gap })),
        ),
        Some(Window::Sliding { size }) => (
            quote!(Sliding),
            quote!(::core::option::Option::Some(#p::Window::Sliding { size: #size })),
        ),
    };
    let idle = optional(table.idle.map(|ms| ms.unsigned_abs()));
    let partitions = optional(table.partitions);
    let ttl = optional(table.ttl);
    let late = table.late.as_ref().map(|topic| match topic {
        TopicRef::Name(name) => quote!(#name),
        TopicRef::Spec(ty) => {
            let here = table.runtime.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #here::TopicSpec>::DESCRIPTOR.name)
        }
    });
    let late = optional(late);
    // Sessions that meet become one: said here, once, and not at each use.
    let merge = matches!(table.window, Some(Window::Session { .. })).then(|| {
        let span = table.value.as_ref().map_or(ident.span(), Spanned::span);
        let here = table.runtime.private_at(span);
        quote_spanned! {span=>
            const MERGE: ::core::option::Option<#here::MergeFn<Self::Value>> =
                ::core::option::Option::Some(<#value as #here::Merge>::merge);
        }
    });
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    // A row that lacks `Clone` or `Default` is an error on the struct's name, not on the whole attribute.
    let value = match &value_type {
        Some(ty) => quote_spanned!(ty.span()=> type Value = #ty;),
        None => quote_spanned!(ident.span()=> type Value = #ident;),
    };
    let (global, more) = rows_from(table, &value_place(table), &p);
    quote! {
        #derive
        #item
        #(#cfgs)*
        const _: () = {
            #[automatically_derived]
            impl #p::TableSpec for #ident {
                type Key = #key;
                #value
                type Kind = #p::#kind;
                #merge
                const DESCRIPTOR: &'static #p::TableDescriptor = &#p::TableDescriptor {
                    name: #name,
                    place: #place,
                    key: #p::key_name::<Self>(),
                    value: #value_name,
                    row: || #row,
                    window: #window,
                    grace: #grace,
                    idle: #idle,
                    retention: #retention,
                    ttl: #ttl,
                    late: #late,
                    changelog: #changelog,
                    local: #local,
                    global: #global,
                    partitions: #partitions,
                    type_id: #p::TypeId::of::<Self>,
                    open: #p::open_table::<Self>,
                };
            }
            #p::register! { table #ident [] #p::RegisteredTable(<#ident as #p::TableSpec>::DESCRIPTOR) }
            #more
        };
    }
}

/// Whether every worker has all rows, and what is registered beside a table that is global or of a topic.
fn rows_from(table: &Table, place: &TokenStream, p: &TokenStream) -> (TokenStream, TokenStream) {
    let (ident, name) = (&table.item.ident, &table.name);
    let spec = table.global.then(|| {
        quote_spanned! {ident.span()=>
            #[automatically_derived]
            impl #p::GlobalSpec for #ident {}
        }
    });
    let some = |source: TokenStream, replica: TokenStream| {
        quote! {
            ::core::option::Option::Some(#p::GlobalDescriptor { source: #source, replica: #replica })
        }
    };
    let none = quote!(::core::option::Option::None);
    match (&table.source, table.global) {
        (None, false) => (none, TokenStream::new()),
        (None, true) => (
            some(none, quote!(#p::changelog_replica::<Self>)),
            quote!(#spec),
        ),
        (Some(topic), true) => (
            some(
                quote!(::core::option::Option::Some(<#topic as #p::TopicSpec>::DESCRIPTOR)),
                quote!(#p::source_replica::<Self, #topic>),
            ),
            quote!(#spec),
        ),
        (Some(topic), false) => (
            none,
            quote! {
                #p::register! {
                    agent #ident []
                    #p::AgentDescriptor {
                        name: #name,
                        place: #place,
                        source: #p::Source::Topics(&[<#topic as #p::TopicSpec>::DESCRIPTOR.name]),
                        sink: ::core::option::Option::None,
                        options: #p::AgentOptions::DEFAULT,
                        shape: || #p::source_agent::<#ident, #topic>().shape,
                        start: |__context| (#p::source_agent::<#ident, #topic>().start)(__context),
                        item: || #p::source_item::<#ident>(),
                        feeders: &[],
                    }
                }
            },
        ),
    }
}

fn value_place(table: &Table) -> TokenStream {
    item::place(&table.runtime.private())
}
