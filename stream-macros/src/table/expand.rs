//! From a checked table to code. Nothing can fail here.

use super::parse::{Table, Times, Window};
use crate::{
    descriptor::{self, Descriptor},
    item::{self, optional},
    options::TopicRef,
    record, shape,
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{parse_quote_spanned, spanned::Spanned};

pub fn expand(table: &mut Table) -> TokenStream {
    let p = table.runtime.private();
    // As the user wrote it, without our readers.
    let shape = shape::of(&table.item, &p);
    let writers = record::add_readers(&mut table.item, &table.rules);
    let readers = record::readers(&table.item, &table.rules, &writers, &p);
    let table = &*table;
    let Table {
        item,
        name,
        times,
        changelog,
        local,
        ..
    } = table;
    let Times {
        grace, retention, ..
    } = times;
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
        Some(topic) => {
            let here = table.runtime.private_at(topic.span());
            quote_spanned!(topic.span()=> <#value as #here::Record>::NAME)
        }
        None => shape::text(&value).into_token_stream(),
    };
    let at = table
        .source
        .as_ref()
        .map_or_else(Span::call_site, Spanned::span);
    let here = table.runtime.private_at(at);
    let row = match &value_type {
        Some(ty) => shape::of_value(ty, &here),
        None => quote!(&#shape),
    };
    let origin = match table.source {
        Some(_) => quote!(Topic),
        None => quote!(Agents),
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
    let idle = optional(table.times.idle.map(|ms| ms.unsigned_abs()));
    let partitions = optional(table.partitions);
    let ttl = optional(table.times.ttl);
    let late = table.late.as_ref().map(|topic| match topic {
        TopicRef::Name(name) => quote!(#name),
        TopicRef::Spec(ty) => {
            let here = table.runtime.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #here::TopicSpec>::DESCRIPTOR.name)
        }
    });
    let late = optional(late);
    let unreadable = Ident::new(
        if table.set_aside { "SetAside" } else { "Stop" },
        Span::call_site(),
    );
    // Sessions that meet become one: said here, once, and not at each use.
    let merge = matches!(table.window, Some(Window::Session { .. })).then(|| {
        let span = table.value.as_ref().map_or(ident.span(), Spanned::span);
        let here = table.runtime.private_at(span);
        quote_spanned! {span=>
            const MERGE: ::core::option::Option<#here::MergeFn<Self::Value>> =
                ::core::option::Option::Some(<#value as #here::Merge>::merge);
        }
    });
    // A struct has no variants, and what stands in for it may.
    let one_variant = value_type.is_none();
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    // A row that lacks `Clone` or `Default` is an error on the struct's name, not on the whole attribute.
    let value = match &value_type {
        Some(ty) => quote_spanned!(ty.span()=> type Value = #ty;),
        None => quote_spanned!(ident.span()=> type Value = #ident;),
    };
    let key = quote_spanned!(at=> type Key = #key;);
    let key_name = quote_spanned!(at=> #here::key_name::<Self>());
    let key_form = quote_spanned!(at=> #here::key_form::<Self>());
    let open = quote_spanned!(at=> #here::open_table::<Self>);
    let (global, more) = rows_from(table, &value_place(table), &p);
    quote! {
        #derive
        #item
        #(#cfgs)*
        #[allow(non_snake_case, dead_code)]
        const _: () = {
            #readers
            #[automatically_derived]
            impl #p::TableSpec for #ident {
                #key
                #value
                type Kind = #p::#kind;
                #merge
                const ONE_VARIANT: bool = #one_variant;
                fn same(__a: &Self::Value, __b: &Self::Value) -> ::core::option::Option<bool> {
                    #[allow(unused_imports)]
                    use #p::{ViaBytes as _, ViaEq as _};
                    (&&#p::SameProbe::<Self::Value>::NEW).same(__a, __b)
                }
                const DESCRIPTOR: &'static #p::TableDescriptor = &#p::TableDescriptor {
                    name: #name,
                    place: #place,
                    key: #key_name,
                    keys: #key_form,
                    value: #value_name,
                    row: || #row,
                    rows_from: #p::RowsFrom::#origin,
                    window: #window,
                    grace: #grace,
                    idle: #idle,
                    retention: #retention,
                    ttl: #ttl,
                    late: #late,
                    on_unreadable: #p::OnUnreadable::#unreadable,
                    changelog: #changelog,
                    local: #local,
                    global: #global,
                    partitions: #partitions,
                    type_id: #p::TypeId::of::<Self>,
                    open: #open,
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
        let at = table.source.as_ref().map_or(ident.span(), Spanned::span);
        let here = table.runtime.private_at(at);
        quote_spanned! {at=>
            #[automatically_derived]
            impl #here::GlobalSpec for #ident {}
        }
    });
    let some = |source: TokenStream, replica: TokenStream| {
        quote! {
            ::core::option::Option::Some(#p::GlobalDescriptor { source: #source, replica: #replica })
        }
    };
    let none = quote!(::core::option::Option::None);
    // At the option, all of it, for what is not a topic.
    let source = table.source.as_ref().map(|topic| {
        let here = table.runtime.private_at(topic.span());
        let spec = quote_spanned!(topic.span()=> <#topic as #here::TopicSpec>::DESCRIPTOR);
        let agent = quote_spanned!(topic.span()=> #here::source_agent::<#ident, #topic>());
        let replica = quote_spanned!(topic.span()=> #here::source_replica::<Self, #topic>);
        (spec, agent, replica)
    });
    match (source, table.global) {
        (None, false) => (none, TokenStream::new()),
        (None, true) => (
            some(none, quote!(#p::changelog_replica::<Self>)),
            quote!(#spec),
        ),
        (Some((topic, _, replica)), true) => (
            some(quote!(::core::option::Option::Some(#topic)), replica),
            quote!(#spec),
        ),
        (Some((topic, agent, _)), false) => {
            let descriptor = Descriptor {
                name: name.to_owned(),
                place: place.clone(),
                source: quote!(#p::Source::Topics(&[#topic.name])),
                sink: descriptor::none(),
                options: quote!(#p::AgentOptions::DEFAULT),
                made: agent,
                item: quote!(#p::source_item::<#ident>()),
                feeders: TokenStream::new(),
            };
            let descriptor = descriptor.tokens(p);
            let registered = quote! {
                #p::register! {
                    agent #ident []
                    #descriptor
                }
            };
            (none, registered)
        }
    }
}

fn value_place(table: &Table) -> TokenStream {
    item::place(&table.runtime.private())
}
