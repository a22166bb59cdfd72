//! From tokens to a topic that was checked.

use crate::{
    errors::Errors,
    item,
    options::{Kind, Options, Spec, check_topic_name},
    paths::Runtime,
    record::CODECS,
};
use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Fields, LitStr, Type};

pub const SPEC: Spec = Spec {
    attribute: "#[topic]",
    legal: &[
        ("key", Kind::Type),
        ("value", Kind::Type),
        ("partitions", Kind::Int),
        ("replication_factor", Kind::Int),
        ("retention", Kind::Duration),
        ("compact", Kind::Flag),
        ("external", Kind::Flag),
        ("internal", Kind::Flag),
        ("codec", Kind::ChoiceOrType(CODECS)),
        ("start", Kind::Choice(&["earliest", "latest"])),
        ("on_gap", Kind::Choice(&["stop", "skip"])),
        ("max_ahead", Kind::Duration),
        ("crate", Kind::Path),
    ],
    later: &[],
    words: &[
        (
            "pattern",
            "a topic here has one name; to read all topics whose names match: `#[agent(pattern = \"..\")]`",
        ),
        (
            "name",
            "the name comes first: `#[topic(\"name\", value = Record)]`",
        ),
        ("key_type", "it is `key` here"),
        ("value_type", "it is `value` here"),
        ("compacting", "it is `compact` here"),
        (
            "deleting",
            "topics delete by `retention` unless they are `compact` here",
        ),
        ("replicas", "it is `replication_factor` here"),
        (
            "allow_declare",
            "topics that others own are `external` here",
        ),
        (
            "isolated_partitions",
            "agents always run by partition here; take it out",
        ),
        (
            "key_serializer",
            "the wire form follows from the type of `key` here",
        ),
        (
            "value_serializer",
            "it is `codec` here; JSON is the default",
        ),
        ("expires", "how long records are kept is `retention` here"),
    ],
    bare: None,
};

/// A topic whose attribute was read. What is wrong in it was noted and left out.
pub struct Topic {
    pub runtime: Runtime,
    pub item: DeriveInput,
    pub name: String,
    pub key: Option<Type>,
    pub value: Option<Type>,
    pub partitions: Option<i32>,
    pub replication_factor: Option<i32>,
    pub retention: Option<i64>,
    pub compact: bool,
    pub external: bool,
    pub internal: bool,
    /// How its records are written; checked against what they say themselves.
    pub codec: Option<LitStr>,
    pub start: Option<String>,
    pub on_gap: Option<String>,
    pub max_ahead: Option<i64>,
}

pub fn parse(args: TokenStream, tokens: &TokenStream, errors: &Errors) -> Option<Topic> {
    let (name, options) = Options::parse_named(args, &SPEC, errors);
    let item = item::data(
        tokens,
        SPEC.attribute,
        "a unit struct: `struct Orders;`",
        errors,
    )?;
    match &item.data {
        Data::Struct(data) if matches!(data.fields, Fields::Unit) => {}
        Data::Struct(data) => {
            errors.on(&data.fields, format!("the struct only names the topic: `struct {};`; its records are `value = Record`", item.ident));
        }
        Data::Enum(data) => errors.on(
            data.enum_token,
            "`#[topic]` stands on a unit struct: `struct Orders;`",
        ),
        Data::Union(data) => errors.on(
            data.union_token,
            "`#[topic]` stands on a unit struct: `struct Orders;`",
        ),
    }
    if let Some(param) = item.generics.params.first() {
        errors.on(param, "a topic has no generics: it carries one type");
        return None;
    }
    match &name {
        Some(name) => check_topic_name(name).unwrap_or_else(|error| errors.push(error)),
        None if options.is_missing("name") => {
            errors.on(
                &item.ident,
                "a topic needs its name: `#[topic(\"name\", value = Record)]`",
            );
        }
        None => {}
    }
    if options.is_missing("value") {
        errors.on(
            &item.ident,
            "a topic needs the type of its records: `value = Record`",
        );
    }
    if let Some(codec) = options.ty("codec") {
        errors.on(
            codec,
            "a codec of your own is part of the record: `#[record(codec = ..)]`; take it out here",
        );
    }
    let external = options.flag("external");
    for setting in ["partitions", "replication_factor", "retention", "compact"] {
        if external && let Some(word) = options.word(setting) {
            errors.on(word, format!("`{setting}` is for topics that the app creates; an `external` one is never created"));
        }
    }
    let internal = options.flag("internal");
    if internal && let Some(word) = options.word("compact") {
        errors.on(word, "`compact` does not go with `internal`: beside the records stand watermarks, which have neither key nor value");
    }
    if internal && let Some(word) = options.word("external") {
        errors.on(
            word,
            "`external` does not go with `internal`: what others own they read or write as well",
        );
    }
    options.ty("value")?;
    Some(Topic {
        runtime: Runtime::new(options.runtime()),
        name: name.map(|name| name.value()).unwrap_or_default(),
        key: options.ty("key").cloned(),
        value: options.ty("value").cloned(),
        partitions: item::partitions(&options, errors),
        replication_factor: item::count(
            &options,
            "replication_factor",
            i64::from(i16::MAX),
            errors,
        ),
        retention: options.duration("retention").map(|(ms, _)| ms),
        compact: options.flag("compact"),
        external,
        internal,
        codec: options.text("codec").cloned(),
        start: options.text("start").map(LitStr::value),
        on_gap: options.text("on_gap").map(LitStr::value),
        max_ahead: options.duration("max_ahead").map(|(ms, _)| ms),
        item,
    })
}
