//! From a checked topic to code. Nothing can fail here.

use super::parse::Topic;
use crate::item::{self, optional};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

pub fn expand(topic: &Topic) -> TokenStream {
    let p = topic.runtime.private();
    let Topic {
        item,
        name,
        value,
        compact,
        external,
        internal,
        ..
    } = topic;
    let ident = &item.ident;
    let key = match &topic.key {
        Some(ty) => quote!(#ty),
        None => {
            let here = topic.runtime.private_at(value.span());
            quote_spanned!(value.span()=> <#value as #here::AsRecord>::Key)
        }
    };
    // By the same path as the key's, so that a value that is not a record is one error.
    let record = match &topic.key {
        Some(_) => quote!(#value),
        None => {
            let here = topic.runtime.private_at(value.span());
            quote_spanned!(value.span()=> <#value as #here::AsRecord>::Record)
        }
    };
    let (partitions, replication_factor) = (
        optional(topic.partitions),
        optional(topic.replication_factor),
    );
    let retention = optional(topic.retention);
    let start = optional(topic.start.as_deref().map(|start| match start {
        "latest" => quote!(#p::Start::Latest),
        _ => quote!(#p::Start::Earliest),
    }));
    let on_gap = optional(topic.on_gap.as_deref().map(|on_gap| match on_gap {
        "skip" => quote!(#p::OnGap::Skip),
        _ => quote!(#p::OnGap::Stop),
    }));
    let max_ahead = optional(topic.max_ahead);
    let codec = topic.codec.as_ref().map(|codec| {
        let text = format!(
            "`codec = {:?}` is not how the topic's records are written: a record has one codec, that of its `#[record(codec = ..)]` (JSON unless it says; String is \"text\", Bytes \"raw\", Value \"json\")",
            codec.value()
        );
        let here = topic.runtime.private_at(codec.span());
        quote_spanned! {codec.span()=>
            const _: () = ::core::assert!(
                #here::is_written_by::<<#ident as #here::TopicSpec>::Value>(#codec),
                #text
            );
        }
    });
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    quote! {
        #item
        #(#cfgs)*
        const _: () = {
            #codec
            #[automatically_derived]
            impl #p::TopicSpec for #ident {
                type Key = #key;
                type Value = #record;
                const DESCRIPTOR: &'static #p::TopicDescriptor = &#p::TopicDescriptor {
                    name: #name,
                    place: #place,
                    record: #p::topic_record::<Self>,
                    partitions: #partitions,
                    replication_factor: #replication_factor,
                    retention_ms: #retention,
                    compact: #compact,
                    external: #external,
                    internal: #internal,
                    start: #start,
                    on_gap: #on_gap,
                    max_ahead_ms: #max_ahead,
                };
            }
            #p::register! { topic #ident [] #p::RegisteredTopic(<#ident as #p::TopicSpec>::DESCRIPTOR) }
        };
    }
}
