//! From a checked topic to code. Nothing can fail here.

use super::parse::Topic;
use crate::item::{self, optional};
use proc_macro2::TokenStream;
use quote::quote;

pub fn expand(topic: &Topic) -> TokenStream {
    let p = topic.runtime.private();
    let Topic {
        item,
        name,
        value,
        compact,
        external,
        ..
    } = topic;
    let ident = &item.ident;
    let key = match &topic.key {
        Some(ty) => quote!(#ty),
        None => quote!(<<Self as #p::TopicSpec>::Value as #p::Record>::Key),
    };
    let (partitions, replication_factor) = (
        optional(topic.partitions),
        optional(topic.replication_factor),
    );
    let retention = optional(topic.retention);
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    quote! {
        #item
        #(#cfgs)*
        const _: () = {
            #[automatically_derived]
            impl #p::TopicSpec for #ident {
                type Key = #key;
                type Value = #value;
                const DESCRIPTOR: &'static #p::TopicDescriptor = &#p::TopicDescriptor {
                    name: #name,
                    place: #place,
                    record: #p::topic_record::<Self>,
                    partitions: #partitions,
                    replication_factor: #replication_factor,
                    retention_ms: #retention,
                    compact: #compact,
                    external: #external,
                };
            }
            #[automatically_derived]
            impl #p::CarriedBy<#ident> for #value {}
            #p::inventory::submit! { #p::RegisteredTopic(<#ident as #p::TopicSpec>::DESCRIPTOR) }
        };
    }
}
