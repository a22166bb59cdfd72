//! From a checked function beside the streams to code. Nothing can fail here.

use super::parse::{Beside, When};
use crate::{
    descriptor::{self, Descriptor},
    function, item,
};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{ReturnType, spanned::Spanned};

pub fn expand(beside: &Beside) -> TokenStream {
    let p = beside.runtime.private();
    match &beside.when {
        When::Every {
            ms,
            per_partition: true,
        } => per_partition(
            beside,
            &quote!(#p::Source::Timer { every_ms: #ms }),
            &quote!(#p::AgentOptions::TIMER),
        ),
        When::Crontab {
            expression,
            timezone,
            per_partition: true,
        } => {
            let (retries, backoff_ms) = policy(beside);
            per_partition(
                beside,
                &quote!(#p::Source::Crontab { expression: #expression, timezone: #timezone }),
                &quote! {
                    #p::AgentOptions {
                        retries: #retries,
                        backoff_ms: #backoff_ms,
                        ..#p::AgentOptions::TIMER
                    }
                },
            )
        }
        _ => per_worker(beside),
    }
}

/// The rule by which a call that failed is tried again. Timers and tasks are not called again: the next tick comes, and
/// a task may be a loop.
fn policy(beside: &Beside) -> (u32, u64) {
    match &beside.when {
        When::Crontab { .. } => (beside.retries.unwrap_or(5), beside.backoff.unwrap_or(1000)),
        _ => (0, 0),
    }
}

fn per_worker(beside: &Beside) -> TokenStream {
    let p = beside.runtime.private();
    let Beside {
        item,
        name,
        on_leader,
        ..
    } = beside;
    let when = match &beside.when {
        When::Every { ms, .. } => quote!(#p::When::Every { ms: #ms }),
        When::Crontab {
            expression,
            timezone,
            ..
        } => quote!(#p::When::Crontab { expression: #expression, timezone: #timezone }),
        When::Start => quote!(#p::When::Start),
        When::Stop => quote!(#p::When::Stop),
    };
    let (retries, backoff_ms) = policy(beside);
    let function = &item.sig.ident;
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    let mut constants = Vec::new();
    let mut names = Vec::new();
    let mut variables = Vec::new();
    let mut arguments = Vec::new();
    for (number, parameter) in beside.parameters.iter().enumerate() {
        let (ty, span) = (&parameter.ty, parameter.ty.span());
        let here = beside.runtime.private_at(span);
        let (name, variable) = (format_ident!("__P{number}"), format_ident!("__p{number}"));
        // The type stands here alone, so that a wrong one is one error.
        constants.push(quote_spanned! {span=>
            const #name: #here::JobParameter<#ty> = #here::JobParameter::of();
        });
        arguments.push(function::argument(parameter.by, &variable));
        names.push(name);
        variables.push(variable);
    }
    let span = returned(item);
    let here = beside.runtime.private_at(span);
    let finish = quote_spanned!(span=> #here::JobOutput::finish(__ended));
    let boxed = quote_spanned! {span=>
        #here::Box::pin(async move {
            #(#[allow(unused_mut)] let mut #variables = #names.make(&__cx)?;)*
            let __ended = #function(#(#arguments),*).await;
            #finish
        })
    };
    let vis = &item.vis;
    quote! {
        #item
        #(#cfgs)*
        #p::stand_in! { #vis #function }
        #(#cfgs)*
        #[allow(clippy::let_unit_value)]
        const _: () = {
            #(#constants)*
            #p::register! {
                beside #function []
                #p::JobDescriptor {
                    name: #name,
                    place: #place,
                    when: #when,
                    on_leader: #on_leader,
                    retries: #retries,
                    backoff_ms: #backoff_ms,
                    edges: &[#(#names.edge()),*],
                    run: |__cx| #boxed,
                    item: || #p::item_id(&#function),
                }
            }
        };
    }
}

/// An agent whose events are ticks.
fn per_partition(beside: &Beside, source: &TokenStream, options: &TokenStream) -> TokenStream {
    let p = beside.runtime.private();
    let Beside {
        item,
        name,
        parameters,
        ..
    } = beside;
    let function = &item.sig.ident;
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    let names: Vec<_> = (0..parameters.len())
        .map(|n| format_ident!("__p{n}", span = Span::mixed_site()))
        .collect();
    let types = parameters.iter().map(|parameter| {
        let ty = &parameter.ty;
        quote_spanned!(ty.span()=> __of.parameter::<#ty>())
    });
    let writes = parameters.iter().map(|parameter| parameter.writes);
    let arguments = parameters
        .iter()
        .zip(&names)
        .map(|(parameter, name)| function::argument(parameter.by, name));
    let span = returned(item);
    let here = beside.runtime.private_at(span);
    let finish = quote_spanned!(span=> #here::JobOutput::finish(__ended));
    let vis = &item.vis;
    let descriptor = Descriptor {
        name: name.clone(),
        place,
        source: source.clone(),
        sink: descriptor::none(),
        options: options.clone(),
        made: quote!(__timer()),
        item: quote!(#p::item_id(&#function)),
        feeders: TokenStream::new(),
    };
    let descriptor = descriptor.tokens(&p);
    quote! {
        #item
        #(#cfgs)*
        #p::stand_in! { #vis #function }
        #(#cfgs)*
        #[allow(clippy::let_unit_value, clippy::pedantic)]
        const _: () = {
            fn __timer() -> #p::AgentParts {
                let __of = #p::Agent::<(), #p::TickForm>::new();
                #(let #names = #types;)*
                __of.on_tick(
                    &[#((#names.edge(), #writes)),*],
                    #[allow(unused_mut, unused_variables)]
                    move |__cx| {
                        #(let mut #names = #names.make(__cx);)*
                        async move {
                            let __ended = #function(#(#arguments),*).await;
                            #finish
                        }
                    },
                )
            }
            #p::register! {
                agent #function []
                #descriptor
            }
        };
    }
}

fn returned(item: &item::Function) -> Span {
    match &item.sig.output {
        ReturnType::Default => item.sig.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    }
}
