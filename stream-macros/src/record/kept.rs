//! Serde's attributes that write and do not read: shapes that never come back, from a table or from a codec.

use super::field::serde_metas;
use quote::ToTokens;
use syn::{
    Attribute, Data, DeriveInput, Expr, Field, Fields, GenericArgument, Lit, Meta, PathArguments,
    Token, Type, ext::IdentExt, punctuated::Punctuated,
};

/// Something that does not come back.
pub struct Lost {
    /// Where it is said.
    pub at: proc_macro2::TokenStream,
    /// What it is, as `field `rest``; empty for the whole.
    pub what: String,
    pub why: String,
}

/// What a row of this type would lose, or why it could not be read again.
pub fn of_row(item: &DeriveInput) -> Vec<Lost> {
    let mut lost = Vec::new();
    let whole = Words::of(&item.attrs);
    for name in ["rename_all", "rename_all_fields"] {
        if let Some((meta, way)) = whole.renamed(name)
            && way.written != way.read
        {
            lost.push(Lost {
                at: meta.to_token_stream(),
                what: String::new(),
                why: format!(
                    "`{name}` for one direction writes names that are not read; rename for both"
                ),
            });
        }
    }
    let mut fields = |fields: &Fields| {
        for (n, field) in fields.iter().enumerate() {
            lost.extend(of_field(field, n, whole.has("default")));
        }
    };
    match &item.data {
        Data::Struct(data) => fields(&data.fields),
        Data::Enum(data) => {
            data.variants.iter().for_each(|v| fields(&v.fields));
            for variant in &data.variants {
                let words = Words::of(&variant.attrs);
                let name = variant.ident.unraw().to_string();
                let what = format!("variant `{name}`");
                let skipped = words.find("skip_deserializing");
                if let Some(meta) = skipped.filter(|_| !words.has("skip_serializing")) {
                    lost.push(Lost {
                        at: meta.to_token_stream(),
                        what: what.clone(),
                        why: "it is written and never read".into(),
                    });
                }
                lost.extend(renamed(&words, &name, what));
            }
        }
        Data::Union(_) => {}
    }
    lost
}

fn of_field(field: &Field, n: usize, all_default: bool) -> Option<Lost> {
    let words = Words::of(&field.attrs);
    let name = field
        .ident
        .as_ref()
        .map_or_else(|| n.to_string(), |name| name.unraw().to_string());
    let what = format!("field `{name}`");
    let lost = |at: &dyn ToTokens, why: &str| {
        Some(Lost {
            at: at.to_token_stream(),
            what: what.clone(),
            why: why.into(),
        })
    };
    for word in ["skip", "skip_serializing"] {
        if let Some(meta) = words.find(word) {
            return lost(
                meta,
                "it is not written: after a restart it would be gone. Take the attribute out, or the field",
            );
        }
    }
    if let Some(meta) = words.find("skip_deserializing") {
        return lost(
            meta,
            "it is not read: after a restart it would be gone. Take the attribute out, or the field",
        );
    }
    let by_function = ["with", "deserialize_with"]
        .iter()
        .any(|word| words.has(word));
    let may_lack =
        all_default || words.has("default") || (crate::item::is_option(&field.ty) && !by_function);
    if let Some(meta) = words.find("skip_serializing_if").filter(|_| !may_lack) {
        return lost(
            meta,
            "where it is left out it could not be read again: add `default`",
        );
    }
    if !by_function && let Some(option) = nested_option(&field.ty) {
        return lost(
            option,
            "`Some(None)` would come back as `None`; say the three cases with an enum",
        );
    }
    renamed(&words, &name, what)
}

/// A name for one direction, unless an alias reads what is written.
fn renamed(words: &Words, own: &str, what: String) -> Option<Lost> {
    let (meta, way) = words.renamed("rename")?;
    let written = way.written.unwrap_or_else(|| own.to_owned());
    let read = way.read.unwrap_or_else(|| own.to_owned());
    let aliased = words.aliases().any(|alias| alias == written);
    (written != read && !aliased).then(|| Lost {
        at: meta.to_token_stream(),
        what,
        why: format!(
            "it is written as `{written}` and read as `{read}`: add `#[serde(alias = \"{written}\")]`"
        ),
    })
}

/// What `codec = "binary"` would write and never read: such a value says neither names nor kinds.
pub fn of_binary(item: &DeriveInput) -> Vec<Lost> {
    let mut lost = Vec::new();
    let mut add = |attrs: &[Attribute], what: &str, names: &[(&str, &str)]| {
        let words = Words::of(attrs);
        for (name, why) in names {
            if let Some(meta) = words.find(name) {
                lost.push(Lost {
                    at: meta.to_token_stream(),
                    what: what.to_owned(),
                    why: (*why).to_owned(),
                });
            }
        }
    };
    const KINDS: &str = "a binary value does not say what it is, and this cannot be read without; take it out, or take \"msgpack\"";
    const PLACES: &str = "the fields of a binary value are known by their places, and this leaves one out; take it out, or take \"msgpack\"";
    add(&item.attrs, "", &[("tag", KINDS), ("untagged", KINDS)]);
    const FIELD: [(&str, &str); 4] = [
        ("flatten", KINDS),
        ("skip_serializing_if", PLACES),
        ("skip_serializing", PLACES),
        ("skip_deserializing", PLACES),
    ];
    let mut values = Vec::new();
    let mut fields = |fields: &Fields| {
        for (n, field) in fields.iter().enumerate() {
            let name = field
                .ident
                .as_ref()
                .map_or_else(|| n.to_string(), ToString::to_string);
            let what = format!("field `{name}`");
            add(&field.attrs, &what, &FIELD);
            if is_json_value(&field.ty) {
                values.push(Lost {
                    at: field.ty.to_token_stream(),
                    what,
                    why: KINDS.to_owned(),
                });
            }
        }
    };
    match &item.data {
        Data::Struct(data) => fields(&data.fields),
        Data::Enum(data) => {
            data.variants.iter().for_each(|v| fields(&v.fields));
            for variant in &data.variants {
                add(&variant.attrs, "", &[("untagged", KINDS)]);
            }
        }
        Data::Union(_) => {}
    }
    lost.extend(values);
    lost
}

/// Whether values of the type are read from a buffer that says it is human-readable, whatever they were written for.
pub fn is_buffered(item: &DeriveInput) -> bool {
    let any = |attrs: &[Attribute], names: &[&str]| {
        let words = Words::of(attrs);
        names.iter().any(|name| words.has(name))
    };
    let flattened = |fields: &Fields| fields.iter().any(|field| any(&field.attrs, &["flatten"]));
    any(&item.attrs, &["tag", "untagged"])
        || match &item.data {
            Data::Struct(data) => flattened(&data.fields),
            Data::Enum(data) => data
                .variants
                .iter()
                .any(|v| any(&v.attrs, &["untagged"]) || flattened(&v.fields)),
            Data::Union(_) => false,
        }
}

/// `serde_json::Value`, as far as its name shows it.
fn is_json_value(ty: &Type) -> bool {
    any_part(ty, &mut |part| match part {
        Type::Path(path) => {
            let names: Vec<_> = path
                .path
                .segments
                .iter()
                .map(|s| s.ident.to_string())
                .collect();
            names.ends_with(&["serde_json".to_owned(), "Value".to_owned()])
        }
        _ => false,
    })
    .is_some()
}

/// The first part of a type that is an `Option` of an `Option`, or of nothing.
fn nested_option(ty: &Type) -> Option<&Type> {
    any_part(ty, &mut |part| {
        argument(part).is_some_and(|inner| {
            argument(inner).is_some()
                || matches!(inner, Type::Tuple(tuple) if tuple.elems.is_empty())
        })
    })
}

/// What an `Option` is of.
fn argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    match &last.arguments {
        PathArguments::AngleBracketed(list) if last.ident == "Option" => match list.args.first()? {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

/// The first of a type's parts, itself first, of which it is true.
fn any_part<'a>(ty: &'a Type, is: &mut dyn FnMut(&Type) -> bool) -> Option<&'a Type> {
    if is(ty) {
        return Some(ty);
    }
    match ty {
        Type::Path(path) => path.path.segments.iter().find_map(|segment| {
            let PathArguments::AngleBracketed(list) = &segment.arguments else {
                return None;
            };
            list.args.iter().find_map(|arg| match arg {
                GenericArgument::Type(ty) => any_part(ty, is),
                _ => None,
            })
        }),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(|ty| any_part(ty, is)),
        Type::Array(array) => any_part(&array.elem, is),
        Type::Paren(inner) => any_part(&inner.elem, is),
        Type::Group(inner) => any_part(&inner.elem, is),
        _ => None,
    }
}

/// Serde's words on an item, a variant or a field.
struct Words(Vec<Meta>);

/// A name in each direction; `None`: the own one.
struct Way {
    written: Option<String>,
    read: Option<String>,
}

impl Words {
    fn of(attrs: &[Attribute]) -> Self {
        Words(attrs.iter().flat_map(serde_metas).collect())
    }

    fn find(&self, name: &str) -> Option<&Meta> {
        self.0.iter().find(|meta| meta.path().is_ident(name))
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn renamed(&self, name: &str) -> Option<(&Meta, Way)> {
        let meta = self.find(name)?;
        let Meta::List(list) = meta else {
            return None; // for both directions
        };
        let parts = list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .ok()?;
        let of = |name: &str| {
            let part = parts.iter().find(|part| part.path().is_ident(name));
            part.and_then(text)
        };
        let way = Way {
            written: of("serialize"),
            read: of("deserialize"),
        };
        Some((meta, way))
    }

    fn aliases(&self) -> impl Iterator<Item = String> + '_ {
        let aliases = self.0.iter().filter(|meta| meta.path().is_ident("alias"));
        aliases.filter_map(text)
    }
}

/// The text of `name = ".."`.
fn text(meta: &Meta) -> Option<String> {
    let Meta::NameValue(pair) = meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
