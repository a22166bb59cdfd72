//! From tokens to a record that was checked.

use super::field::{self, Rules};
use super::kept;
use crate::{
    errors::Errors,
    item,
    options::{FieldPath, Kind, Options, Spec},
    paths::Runtime,
};
use proc_macro2::{Ident, Span, TokenStream};
use quote::format_ident;
use syn::{Attribute, Data, DeriveInput, Field, Fields, Type, ext::IdentExt};

/// What a record may be written by, beside a type of the user's.
pub const CODECS: &[&str] = &["json", "raw", "text", "binary", "msgpack"];

pub const SPEC: Spec = Spec {
    attribute: "#[record]",
    legal: &[
        ("timestamp", Kind::Field),
        ("key", Kind::Field),
        ("codec", Kind::ChoiceOrType(CODECS)),
        ("deny_unknown_fields", Kind::Flag),
        ("coerce", Kind::Flag),
        ("crate", Kind::Path),
    ],
    later: &[],
    words: &[
        (
            "relative_to_field",
            "the time of a record is `timestamp = field` here",
        ),
        (
            "default",
            "defaults are serde's: `#[serde(default)]` on the field",
        ),
        (
            "isodates",
            "it is `coerce` here, or `#[field(coerce)]` on one field",
        ),
        ("serializer", "it is `codec` here; JSON is the default"),
        (
            "validation",
            "the rules are `#[field(min, max, min_length, max_length)]`, always checked",
        ),
        (
            "key_type",
            "it is `key = field` here, or `key` of `#[topic]`",
        ),
        ("value_type", "the struct itself is the value here"),
        (
            "rename_all",
            "the wire shape is serde's: `#[serde(rename_all = \"..\")]`",
        ),
    ],
    bare: None,
};

/// A record whose attribute was read. What is wrong in it was noted and left out.
pub struct Record {
    pub runtime: Runtime,
    /// The item without its `#[field]`s.
    pub item: DeriveInput,
    pub fields: Vec<RecordField>,
    pub timestamp: Option<FieldPath>,
    pub key: Option<(FieldPath, Type)>,
    pub deny_unknown_fields: bool,
    pub codec: Codec,
}

/// How its values are written.
pub enum Codec {
    Json,
    /// One of the runtime's, by its type there, and where it was named.
    Named(&'static str, Span),
    /// The user's.
    Own(Box<Type>),
}

impl Codec {
    /// As the option has it; empty for the user's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Named("Raw", _) => "raw",
            Self::Named("Text", _) => "text",
            Self::Named("Binary", _) => "binary",
            Self::Named("MessagePack" | "MessagePackAsText", _) => "msgpack",
            Self::Named(..) | Self::Own(_) => "",
        }
    }
}

/// A field, of a struct or of a variant.
pub struct RecordField {
    /// `voltage`, `Shape_radius`, `0`: unique in the record.
    pub id: String,
    pub name: String,
    pub ty: Type,
    pub cfgs: Vec<Attribute>,
    pub rules: Rules,
    pub coerce: Coercion,
}

/// How a field is read.
#[derive(Clone, Copy, PartialEq)]
pub enum Coercion {
    /// As serde does.
    None,
    /// If its type can be (record-level `coerce`).
    Possible,
    /// `#[field(coerce)]`
    Asked,
}

impl RecordField {
    /// Whether serde alone does not read it.
    pub fn is_read_here(&self) -> bool {
        self.coerce != Coercion::None || self.rules.are_checked()
    }

    pub fn reader(&self) -> Ident {
        format_ident!("__read_{}", self.id)
    }

    pub fn writer(&self) -> Ident {
        format_ident!("__write_{}", self.id)
    }
}

impl Record {
    pub fn is_sensitive(&self) -> bool {
        self.fields.iter().any(|field| field.rules.sensitive)
    }
}

pub fn parse(args: TokenStream, tokens: &TokenStream, errors: &Errors) -> Option<Record> {
    let options = Options::parse(args, &SPEC, errors);
    let mut item = item::data(tokens, SPEC.attribute, "a struct or an enum", errors)?;
    if let Data::Union(data) = &item.data {
        errors.on(
            data.union_token,
            "`#[record]` stands on a struct or an enum",
        );
        return None;
    }
    for lifetime in item.generics.lifetimes() {
        errors.on(
            &lifetime.lifetime,
            "a record owns its values; it has no lifetimes",
        );
    }
    if item.generics.lifetimes().next().is_some() {
        return None;
    }
    item::refuse_serde(&item.attrs, SPEC.attribute, errors);
    item::strip_serde(&mut item);
    let coerce = options.flag("coerce");
    let mut fields = Vec::new();
    match &mut item.data {
        Data::Struct(data) => read_fields(&mut data.fields, None, coerce, &mut fields, errors),
        Data::Enum(data) => {
            for variant in &mut data.variants {
                read_fields(
                    &mut variant.fields,
                    Some(&variant.ident),
                    coerce,
                    &mut fields,
                    errors,
                );
            }
        }
        Data::Union(_) => return None,
    }
    let mut record = Record {
        timestamp: None,
        key: None,
        deny_unknown_fields: options.flag("deny_unknown_fields"),
        codec: codec(&options, &item, &fields, errors),
        runtime: Runtime::new(options.runtime()),
        fields,
        item,
    };
    if let Some(path) = options.field("timestamp")
        && find(&record.item, path, errors).is_some()
    {
        record.timestamp = Some(path.clone());
    }
    if let Some(path) = options.field("key")
        && let Some(ty) = find(&record.item, path, errors)
    {
        record.key = Some((path.clone(), ty));
    }
    refuse_debug(&mut record, errors);
    Some(record)
}

fn codec(options: &Options, item: &DeriveInput, fields: &[RecordField], errors: &Errors) -> Codec {
    if let Some(own) = options.ty("codec") {
        return Codec::Own(Box::new(own.clone()));
    }
    let Some(text) = options.text("codec") else {
        return Codec::Json;
    };
    let (codec, cannot) = match text.value().as_str() {
        "raw" => ("Raw", fields.iter().any(RecordField::is_read_here)),
        "text" => ("Text", fields.iter().any(RecordField::is_read_here)),
        "msgpack" => ("MessagePack", false),
        "binary" => (
            "Binary",
            fields
                .iter()
                .any(|f| f.coerce != Coercion::None || f.rules.date_format.is_some()),
        ),
        _ => return Codec::Json,
    };
    if codec == "Binary" {
        let lost = kept::of_binary(item);
        for lost in &lost {
            errors.on(
                &lost.at,
                format!("`codec = \"binary\"` could not read it again: {}", lost.why),
            );
        }
        if !lost.is_empty() {
            return Codec::Json; // that it does not read is said already
        }
    }
    if codec == "MessagePack" && kept::is_buffered(item) {
        return Codec::Named("MessagePackAsText", text.span());
    }
    if cannot {
        let why = match codec {
            "Binary" => {
                "a binary value does not say what it is: `coerce` and `date_format` cannot read it"
            }
            _ => {
                "such a value is read whole, and not field by field: nothing would look at `#[field]` and `coerce`"
            }
        };
        errors.on(text, why);
        return Codec::Json; // or what it asks of the record were further errors
    }
    Codec::Named(codec, text.span())
}

pub fn read_fields(
    fields: &mut Fields,
    variant: Option<&Ident>,
    coerce: bool,
    out: &mut Vec<RecordField>,
    errors: &Errors,
) {
    for (n, field) in fields.iter_mut().enumerate() {
        let name = field
            .ident
            .as_ref()
            .map_or_else(|| n.to_string(), |name| name.unraw().to_string());
        let rules = field::take(field, errors);
        let coercion = match (rules.coerce, coerce && !field::is_read_by_serde(field)) {
            (true, _) => Coercion::Asked,
            (false, true) => Coercion::Possible,
            (false, false) => Coercion::None,
        };
        out.push(RecordField {
            id: variant.map_or_else(|| name.clone(), |variant| format!("{variant}_{name}")),
            name,
            ty: field.ty.clone(),
            cfgs: item::cfgs(&field.attrs).into_iter().cloned().collect(),
            rules,
            coerce: coercion,
        });
    }
}

/// The type of the field that the path begins with, in a struct or in every variant.
fn find(item: &DeriveInput, path: &FieldPath, errors: &Errors) -> Option<Type> {
    let name = &item.ident;
    match &item.data {
        Data::Struct(data) => {
            let field = named(&data.fields, &path.first);
            if field.is_none() {
                errors.on(
                    &path.first,
                    format!(
                        "`{name}` has no field `{}`{}",
                        path.first,
                        list(&data.fields)
                    ),
                );
            }
            field.map(|field| field.ty.clone())
        }
        Data::Enum(data) => {
            let without = data
                .variants
                .iter()
                .find(|variant| named(&variant.fields, &path.first).is_none());
            if let Some(variant) = without {
                errors.on(
                    &path.first,
                    format!(
                        "variant `{}` of `{name}` has no field `{}`; every variant needs it",
                        variant.ident, path.first
                    ),
                );
                return None;
            }
            let first = data
                .variants
                .first()
                .and_then(|variant| named(&variant.fields, &path.first));
            if first.is_none() {
                errors.on(
                    &path.first,
                    format!("`{name}` has no field `{}`", path.first),
                );
            }
            first.map(|field| field.ty.clone())
        }
        Data::Union(_) => None,
    }
}

fn named<'a>(fields: &'a Fields, name: &Ident) -> Option<&'a Field> {
    fields
        .iter()
        .find(|field| field.ident.as_ref() == Some(name))
}

fn list(fields: &Fields) -> String {
    let names: Vec<_> = fields
        .iter()
        .filter_map(|field| field.ident.as_ref())
        .map(|name| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("; its fields are {}", names.join(", "))
    }
}

/// `sensitive` brings a `Debug` that masks; one that is derived would show the field.
fn refuse_debug(record: &mut Record, errors: &Errors) {
    let derived = item::derives(&record.item.attrs, &["Debug"]);
    if !record.is_sensitive() || derived.is_empty() {
        return;
    }
    for path in derived {
        errors.on(path, "a record with a `sensitive` field brings its own `Debug`, which masks it; remove this one");
    }
    for field in &mut record.fields {
        field.rules.sensitive = false; // or the second `Debug` were a second error
    }
}
