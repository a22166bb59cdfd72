//! From a checked agent to code. Nothing can fail here.

use super::parse::{Agent, Policy, Source};
use crate::{
    descriptor::{self, Descriptor},
    function::{self, Parameter},
    item::{self, optional},
    options::{FieldPath, Grouping, TopicRef},
    paths::Runtime,
};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, ReturnType, spanned::Spanned};

pub fn expand(agent: &Agent) -> TokenStream {
    let p = agent.runtime.private();
    let Agent { item, name, .. } = agent;
    let function = &item.sig.ident;
    let cfgs = item::cfgs(&item.attrs);
    let parts = parts(agent, &p);
    let source = match &agent.source {
        Source::Closed(_) => quote!(#p::Source::Closed),
        Source::Pattern(pattern) => quote!(#p::Source::Pattern(#pattern)),
        Source::Topics(topics) => {
            let names = topics.iter().map(|topic| topic_name(topic, &agent.runtime));
            quote!(#p::Source::Topics(&[#(#names),*]))
        }
    };
    let sink = optional(
        agent
            .sink
            .as_ref()
            .map(|topic| topic_name(topic, &agent.runtime)),
    );
    let options = options(agent, &p);
    let place = item::place(&p);
    let feeders = agent.group_by.as_ref().map(|grouping| {
        // What it is named after is part of its topic's name.
        let feeder = match grouping {
            Grouping::Field(field) => format!("{name}-{}", field.text()),
            Grouping::Closure(_) => name.clone(),
        };
        let feeder = Descriptor {
            name: feeder,
            place: place.clone(),
            source: quote!(__SOURCE),
            sink: descriptor::none(),
            // It sends one record after the other.
            options: quote! {
                #p::AgentOptions {
                    concurrency: 1,
                    holds: ::core::option::Option::None,
                    ..#options
                }
            },
            made: quote!(__agent().feeder(0)),
            item: quote!(#p::item_id(&#function)),
            feeders: TokenStream::new(),
        };
        feeder.tokens(&p)
    });
    let descriptor = Descriptor {
        name: name.clone(),
        place,
        source: quote!(__SOURCE),
        sink,
        options,
        made: quote!(__agent()),
        item: quote!(#p::item_id(&#function)),
        feeders: quote!(#feeders),
    };
    let descriptor = descriptor.tokens(&p);
    let vis = &item.vis;
    let named = named_topics(agent);
    let keys = match (&agent.source, &agent.group_by) {
        (Source::Topics(topics), None) => same_keys(topics, &agent.parameters, &agent.runtime),
        _ => TokenStream::new(),
    };
    quote! {
        #item
        #(#cfgs)*
        #p::stand_in! { #vis #function }
        #(#cfgs)*
        #[allow(clippy::needless_update, clippy::pedantic)]
        const _: () = {
            #parts
            #keys
            const __SOURCE: #p::Source = #source;
            #p::register! {
                agent #function [#(#named),*]
                #descriptor
            }
        };
    }
}

/// The topics that the attribute names by their types.
fn named_topics(agent: &Agent) -> Vec<&syn::Type> {
    let sources = match &agent.source {
        Source::Topics(topics) => topics.as_slice(),
        _ => &[],
    };
    let topics = sources.iter().chain(&agent.sink);
    topics.filter_map(TopicRef::spec).collect()
}

/// The keys that parameters take, checked against those of the topics that are named by their types.
pub fn same_keys(topics: &[TopicRef], parameters: &[Parameter], runtime: &Runtime) -> TokenStream {
    let p = runtime.private();
    let checks = topics.iter().filter_map(TopicRef::spec).flat_map(|topic| {
        let name = shown(topic);
        parameters.iter().map(move |parameter| {
            let ty = &parameter.ty;
            let here = runtime.private_at(ty.span());
            let at = runtime.private_at(topic.span());
            let has = quote_spanned!(topic.span()=> <#topic as #at::TopicSpec>::KEY);
            let (text, name) = (shown(ty), name.clone());
            quote_spanned!(ty.span()=> #here::same_key((#text, <#here::KeyProbe<#ty>>::KEY), (#name, #has));)
        })
    });
    let checks: Vec<TokenStream> = checks.collect();
    if checks.is_empty() {
        return TokenStream::new();
    }
    quote! {
        const _: () = {
            #[allow(unused_imports)]
            use #p::TakesNoKey as _;
            #(#checks)*
        };
    }
}

/// A type as people write it.
pub fn shown(ty: &syn::Type) -> String {
    let text = ty.to_token_stream().to_string();
    let text = text
        .replace(" < ", "<")
        .replace(" > ", ">")
        .replace(" >", ">");
    text.replace(" :: ", "::")
        .replace(" ,", ",")
        .replace("& ", "&")
}

/// A function from a record to a field of it. Every token stands at the field, so that what is wrong is said there.
pub fn reach(field: &FieldPath) -> TokenStream {
    let FieldPath { first, .. } = field;
    let (span, tail) = (field.span(), field.tail());
    let record = Ident::new("__record", span);
    quote_spanned!(span=> |#record| &#record.#first #tail)
}

/// What makes the key of `group_by`.
fn feeder(grouping: &Grouping) -> TokenStream {
    match grouping {
        Grouping::Field(field) => {
            let reach = reach(field);
            quote_spanned!(field.span()=> __of.group_by_field(#reach).taken())
        }
        Grouping::Closure(closure) => {
            quote_spanned!(closure.span()=> __of.group_by(#closure).taken())
        }
    }
}

/// An agent of closed windows, under their own key or another one.
fn on_close(
    grouping: Option<&Grouping>,
    table: &syn::Type,
    span: Span,
    edges: &TokenStream,
    call: &TokenStream,
) -> TokenStream {
    match grouping {
        None => {
            quote_spanned!(span=> __of.on_close::<#table, _, _, _>(#edges, __out.info(), #call))
        }
        Some(Grouping::Field(field)) => {
            let reach = reach(field);
            quote_spanned!(span=> __of.on_close_by_field::<#table, _, _, _, _>(#edges, __out.info(), #call, #reach))
        }
        Some(Grouping::Closure(closure)) => {
            quote_spanned!(span=> __of.on_close_by::<#table, _, _, _, _>(#edges, __out.info(), #call, #closure))
        }
    }
}

/// The function that takes the agent apart: every type of its signature, once, at its own place.
fn parts(agent: &Agent, p: &TokenStream) -> TokenStream {
    let function = &agent.item.sig.ident;
    let Some((first, rest)) = agent.parameters.split_first() else {
        return TokenStream::new();
    };
    let first_ty = &first.ty;
    let span = first_ty.span();
    let returns = match &agent.item.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let returns = quote_spanned!(returns.span()=> __of.returns::<#returns>());
    let sink = match &agent.sink {
        Some(TopicRef::Spec(ty)) => {
            let here = agent.runtime.private_at(ty.span());
            Some(quote_spanned!(ty.span()=> __out.sink::<<#ty as #here::TopicSpec>::Value>();))
        }
        _ => None,
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
        .map(|(parameter, name)| function::argument(parameter.by, name));
    let first_name = Ident::new("__first", Span::mixed_site());
    let first_argument = function::argument(first.by, &first_name);
    let edges = quote!(&[#((#names.edge(), #writes)),*]);
    let call = quote! {
        #[allow(unused_mut, unused_variables)]
        move |mut #first_name, __cx| {
            #(let mut #names = #names.make(__cx);)*
            async move { __out.of(#function(#first_argument, #(#arguments),*).await) }
        }
    };
    let here = agent.runtime.private_at(span);
    let (new, check, runs) = match &agent.source {
        Source::Topics(_) | Source::Pattern(_) => (
            quote_spanned!(span=> #here::Agent::<#first_ty, _>::new()),
            Some(quote_spanned!(span=> __of.reads_topics();)),
            quote_spanned!(span=> __of.runs(#edges, __out.info(), #call)),
        ),
        Source::Closed(table) => {
            let form = match &agent.group_by {
                None => quote_spanned!(span=> #here::ClosedForm),
                Some(_) => quote_spanned!(span=> #here::RegroupedForm),
            };
            (
                quote_spanned!(span=> #here::Agent::<#first_ty, #form>::new()),
                None,
                on_close(agent.group_by.as_ref(), table, span, &edges, &call),
            )
        }
    };
    let feeder = match &agent.source {
        Source::Topics(_) | Source::Pattern(_) => agent.group_by.as_ref().map(feeder),
        // Its windows have one type, and with them what takes them: `on_close_by` makes both.
        Source::Closed(_) => None,
    };
    let (feeder, fed) = match feeder {
        Some(feeder) => (
            Some(quote! {
                #[allow(unused_imports)]
                use #p::NoKeyAtAll as _;
                let __feeder = #feeder;
            }),
            Some(quote!(.fed_by(__feeder))),
        ),
        None => (None, None),
    };
    quote! {
        fn __agent() -> #p::AgentParts {
            let __of = #new;
            #check
            #feeder
            let __out = #returns;
            #sink
            #(let #names = #types;)*
            #runs #fed
        }
    }
}

pub fn topic_name(topic: &TopicRef, runtime: &Runtime) -> TokenStream {
    match topic {
        TopicRef::Name(name) => quote!(#name),
        TopicRef::Spec(ty) => {
            let here = runtime.private_at(ty.span());
            quote_spanned!(ty.span()=> <#ty as #here::TopicSpec>::DESCRIPTOR.name)
        }
    }
}

fn options(agent: &Agent, p: &TokenStream) -> TokenStream {
    let concurrency = agent.concurrency.map(|n| quote!(concurrency: #n,));
    let holds = agent
        .holds
        .map(|how| quote!(holds: ::core::option::Option::Some(#how),));
    options_of(&agent.policy, quote!(#concurrency #holds), p)
}

/// The variant of `OnError` that a policy is.
fn on_error_variant(policy: &str) -> &'static str {
    match policy {
        "skip" => "Skip",
        "stop" => "Stop",
        _ => "DeadLetter",
    }
}

/// What was said about failures, and more fields.
pub fn options_of(policy: &Policy, more: TokenStream, p: &TokenStream) -> TokenStream {
    let Policy {
        retries,
        backoff,
        timeout,
        on_error,
        on_decode_error,
        on_tombstone,
        dead_letter_topic,
    } = policy;
    let on = |name: &str, policy: &Option<String>| {
        let name = Ident::new(name, Span::call_site());
        let policy = Ident::new(on_error_variant(policy.as_deref()?), Span::call_site());
        Some(quote!(#name: #p::OnError::#policy,))
    };
    let retries = retries.map(|retries| quote!(retries: #retries,));
    let backoff = backoff.map(|ms| quote!(backoff_ms: #ms,));
    let timeout = timeout.map(|ms| quote!(timeout_ms: ::core::option::Option::Some(#ms),));
    let on_error = on("on_error", on_error);
    let on_decode_error = on("on_decode_error", on_decode_error);
    let tombstone = on_tombstone.as_deref().map(|policy| {
        let policy = Ident::new(on_error_variant(policy), Span::call_site());
        quote!(on_tombstone: ::core::option::Option::Some(#p::OnError::#policy),)
    });
    let topic = dead_letter_topic
        .as_ref()
        .map(|topic| quote!(dead_letter_topic: ::core::option::Option::Some(#topic),));
    quote! {
        #p::AgentOptions {
            #retries #backoff #timeout #on_error #on_decode_error #tombstone #topic #more
            ..#p::AgentOptions::DEFAULT
        }
    }
}
