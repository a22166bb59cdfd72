//! From a checked join to code. Nothing can fail here.

use super::parse::Join;
use crate::{
    agent::{options_of, reach, same_keys, shown, topic_name},
    descriptor::{self, Descriptor},
    function::{Parameter, argument},
    item::{self, optional},
    options::{FieldPath, TopicRef},
};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, ReturnType, spanned::Spanned};

pub fn expand(join: &Join) -> TokenStream {
    let p = join.runtime.private();
    let Join { item, name, .. } = join;
    let function = &item.sig.ident;
    let cfgs = item::cfgs(&item.attrs);
    let of_topics = of_topics(join);
    if join.within.is_none() {
        return quote!(#item #of_topics);
    }
    let parts = parts(join, &p);
    let topics = [&join.left, &join.right].map(|topic| topic_name(topic, &join.runtime));
    let sink = optional(
        join.sink
            .as_ref()
            .map(|topic| topic_name(topic, &join.runtime)),
    );
    let options = options_of(&join.policy, TokenStream::new(), &p);
    let place = item::place(&p);
    let buffers = ["left", "right"].iter().zip(&join.parameters);
    let buffers = buffers.map(|(side, parameter)| buffer(join, side, parameter, &p));
    let [left, right] = &topics;
    let feeders = join.on.as_ref().map(|(l, r)| {
        let one = |side: &str, at: usize, field: &FieldPath, topic: &TokenStream| {
            // What it is named after is part of its topic's name.
            let feeder = format!("{name}-{side}-{}", field.text());
            let feeder = Descriptor {
                name: feeder,
                place: place.clone(),
                source: quote!(#p::Source::Topics(&[#topic])),
                sink: descriptor::none(),
                options: options.clone(),
                made: quote!(__agent().feeder(#at)),
                item: quote!(#p::item_id(&#function)),
                feeders: TokenStream::new(),
            };
            feeder.tokens(&p)
        };
        let (l, r) = (
            one("left", 0, l, &quote!(__LEFT)),
            one("right", 1, r, &quote!(__RIGHT)),
        );
        quote!(#l, #r)
    });
    let descriptor = Descriptor {
        name: name.clone(),
        place: place.clone(),
        source: quote!(#p::Source::Topics(&[__LEFT, __RIGHT])),
        sink,
        options: options.clone(),
        made: quote!(__agent()),
        item: quote!(#p::item_id(&#function)),
        feeders: quote!(#feeders),
    };
    let descriptor = descriptor.tokens(&p);
    let vis = &item.vis;
    let keys = match (&join.on, &join.left) {
        (None, left @ TopicRef::Spec(_)) => {
            let topics = std::slice::from_ref(left);
            same_keys(topics, &join.parameters, &join.runtime)
        }
        _ => TokenStream::new(),
    };
    let topics = [
        Some(&join.left),
        Some(&join.right),
        join.sink.as_ref(),
        join.late.as_ref(),
    ];
    let named = topics.into_iter().flatten().filter_map(TopicRef::spec);
    quote! {
        #item
        #(#cfgs)*
        #p::stand_in! { #vis #function }
        #(#cfgs)*
        #[allow(clippy::needless_update, clippy::pedantic)]
        const _: () = {
            #(#buffers)*
            #parts
            #of_topics
            #keys
            const __LEFT: &'static ::core::primitive::str = #left;
            const __RIGHT: &'static ::core::primitive::str = #right;
            #p::register! {
                agent #function [#(#named),*]
                #descriptor
            }
        };
    }
}

/// The check that no side is a table, which only their types show.
fn of_topics(join: &Join) -> TokenStream {
    let p = join.runtime.private();
    let side = |topic: &TopicRef| match topic.spec() {
        Some(ty) => {
            let here = join.runtime.private_at(ty.span());
            let name = shown(ty);
            quote_spanned!(ty.span()=> (#name, <#here::TableProbe<#ty>>::IS_ONE))
        }
        None => quote!(("", false)),
    };
    let (left, right) = (side(&join.left), side(&join.right));
    let within = join.within.is_some();
    let cfgs = item::cfgs(&join.item.attrs);
    let here = join.runtime.private_at(join.item.sig.ident.span());
    let check =
        quote_spanned!(join.item.sig.ident.span()=> #here::join_of_topics(#left, #right, #within));
    quote! {
        #(#cfgs)*
        const _: () = {
            #[allow(unused_imports)]
            use #p::IsNoTable as _;
            #check
        };
    }
}

fn buffer_name(side: &str) -> Ident {
    format_ident!("__{side}", span = Span::call_site())
}

/// The table that a side is kept in.
fn buffer(join: &Join, side: &str, parameter: &Parameter, p: &TokenStream) -> TokenStream {
    let ident = buffer_name(side);
    let name = format!("{}-{side}", join.name);
    let place = item::place(p);
    let value: String = parameter
        .ty
        .to_token_stream()
        .to_string()
        .split_whitespace()
        .collect();
    let (within, grace) = (join.within.unwrap_or_default(), join.grace);
    let idle = optional(join.idle);
    let late = optional(
        join.late
            .as_ref()
            .map(|topic| topic_name(topic, &join.runtime)),
    );
    quote! {
        #[allow(non_camel_case_types)]
        enum #ident {}
        #[automatically_derived]
        impl #p::BufferSpec for #ident {
            const WITHIN: i64 = #within;
            const DESCRIPTOR: &'static #p::TableDescriptor = &#p::TableDescriptor {
                name: #name,
                place: #place,
                key: "Bytes",
                value: #value,
                rows_from: #p::RowsFrom::Join,
                grace: #grace,
                idle: #idle,
                late: #late,
                local: true,
                type_id: #p::TypeId::of::<Self>,
                open: #p::open_buffer::<Self>,
                ..#p::TableDescriptor::DEFAULT
            };
        }
        #p::register! { table #ident [] #p::RegisteredTable(<#ident as #p::BufferSpec>::DESCRIPTOR) }
    }
}

/// The function that takes the join apart: every type of its signature, once, at its own place.
fn parts(join: &Join, p: &TokenStream) -> TokenStream {
    let function = &join.item.sig.ident;
    let (sides, rest) = join.parameters.split_at(2);
    let (left, right) = (&sides[0], &sides[1]);
    let side = |parameter: &Parameter, topic: &TopicRef| {
        let ty = &parameter.ty;
        let side = quote_spanned!(ty.span()=> __of.side::<#ty>());
        match topic {
            TopicRef::Spec(topic) => quote_spanned!(ty.span()=> #side.of_topic::<#topic>()),
            TopicRef::Name(_) => side,
        }
    };
    let (left_side, right_side) = (side(left, &join.left), side(right, &join.right));
    let returns = match &join.item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let returns = quote_spanned!(returns.span()=> __of.returns::<#returns>());
    let sink = match &join.sink {
        Some(TopicRef::Spec(ty)) => {
            let here = join.runtime.private_at(ty.span());
            Some(quote_spanned!(ty.span()=> __out.sink::<<#ty as #here::TopicSpec>::Value>();))
        }
        _ => None,
    };
    let (on, fed) = match (&join.on, &join.left, &join.right) {
        (Some((l, r)), ..) => {
            let one = |field: &FieldPath, side: TokenStream| {
                let (reach, text) = (reach(field), field.text());
                quote_spanned!(field.span()=> (&#side, #text, #reach))
            };
            let (l, r) = (one(l, quote!(__left_side)), one(r, quote!(__right_side)));
            (
                Some(quote!(let [__left_feeder, __right_feeder] = __of.on(#l, #r);)),
                Some(quote!(.fed_by(__left_feeder).fed_by(__right_feeder))),
            )
        }
        (None, TopicRef::Spec(l), TopicRef::Spec(r)) => (
            Some(quote_spanned!(r.span()=> __of.by_keys::<#l, #r>();)),
            None,
        ),
        _ => (None, None),
    };
    let names: Vec<_> = (0..rest.len())
        .map(|n| format_ident!("__p{n}", span = Span::mixed_site()))
        .collect();
    let types = rest.iter().map(|parameter| {
        let ty = &parameter.ty;
        quote_spanned!(ty.span()=> __of.parameter::<#ty>())
    });
    let writes = rest.iter().map(|parameter| parameter.writes);
    let arguments = rest
        .iter()
        .zip(&names)
        .map(|(parameter, name)| argument(parameter.by, name));
    let [l, r] = ["__l", "__r"].map(|name| Ident::new(name, Span::mixed_site()));
    let (first, second) = (argument(left.by, &l), argument(right.by, &r));
    let [left_buffer, right_buffer] = ["left", "right"].map(buffer_name);
    quote! {
        fn __agent() -> #p::AgentParts {
            let __of = #p::Agent::<(), #p::JoinForm>::new();
            let __left_side = #left_side;
            let __right_side = #right_side;
            #on
            let __out = #returns;
            #sink
            #(let #names = #types;)*
            __of.joins::<#left_buffer, #right_buffer, _, _, _, _, _, _, _>(
                (__left_side, __right_side),
                &[#((#names.edge(), #writes)),*],
                __out.info(),
                #[allow(unused_mut, unused_variables)]
                move |#l, #r, __cx| {
                    #(let mut #names = #names.make(__cx);)*
                    async move { __out.of(#function(#first, #second, #(#arguments),*).await) }
                },
            )
            #fed
        }
    }
}
