//! `name = value` lists: what each attribute takes, and what is said about the rest.

mod value;

pub use value::{FieldPath, Grouping, Kind, Number, TopicRef, Value, check_topic_name};

use crate::errors::Errors;
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    LitStr, Path, Token, Type,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

/// What may become of an event that failed.
pub const POLICIES: &[&str] = &["dead_letter", "skip", "stop"];

/// What an attribute takes.
pub struct Spec {
    /// As the user writes it: `#[agent]`.
    pub attribute: &'static str,
    pub legal: &'static [(&'static str, Kind)],
    /// Words of the language that are not built yet.
    pub later: &'static [&'static str],
    /// Words of other frameworks, and what they are here.
    pub words: &'static [(&'static str, &'static str)],
    /// For a bare literal: the option that was probably meant.
    pub bare: Option<&'static str>,
}

/// Words of Faust that are said of many things there; an attribute's own translation comes first.
const FAUST: &[(&str, &str)] = &[
    (
        "expires",
        "how long late records are taken is `grace` of `#[table]` here",
    ),
    (
        "on_window_close",
        "windows that close go to an agent here: `#[agent(on_close = Table)]`",
    ),
    (
        "relative_to_field",
        "event time is `#[record(timestamp = field)]` here",
    ),
    (
        "default",
        "a new row is `Default::default()` of the table's struct here",
    ),
    (
        "key_type",
        "the type of keys is `key` of `#[topic]`, `#[table]` or `#[record]` here",
    ),
    (
        "value_type",
        "the type of values is that of the parameter, or `value` of `#[topic]` and `#[table]` here",
    ),
    (
        "isolated_partitions",
        "agents and tables are always kept by partition here; take it out",
    ),
];

/// The options of one attribute, each of the kind that its [`Spec`] says.
#[derive(Default)]
pub struct Options {
    given: Vec<(Ident, Value)>,
    /// Every word that was written, legal or not: what follows from a mistake is not a second one.
    words: Vec<Ident>,
    /// Whether a value stood without a name, or under one that nobody knows: then an option that is missing was meant
    /// by it.
    strange: bool,
}

impl Options {
    /// Reads the list; every mistake is noted and the rest is read nevertheless.
    pub fn parse(tokens: TokenStream, spec: &Spec, errors: &Errors) -> Self {
        let parser = |input: ParseStream<'_>| {
            let mut given = Self::default();
            given.read(input, spec, errors);
            Ok(given)
        };
        parser.parse2(tokens).unwrap_or_else(|error| {
            errors.push(error);
            Self::default()
        })
    }

    /// Reads a list whose first part is a literal text.
    pub fn parse_named(
        tokens: TokenStream,
        spec: &Spec,
        errors: &Errors,
    ) -> (Option<LitStr>, Self) {
        let parser = |input: ParseStream<'_>| {
            let mut given = Self::default();
            let name = input.peek(LitStr).then(|| input.parse()).transpose()?;
            if name.is_some() && !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
            given.read(input, spec, errors);
            Ok((name, given))
        };
        parser.parse2(tokens).unwrap_or_else(|error| {
            errors.push(error);
            (None, Self::default())
        })
    }

    fn read(&mut self, input: ParseStream<'_>, spec: &Spec, errors: &Errors) {
        while !input.is_empty() {
            if let Err(error) = self.read_one(input, spec, errors) {
                errors.push(error);
            } else if !input.is_empty() && !input.peek(Token![,]) {
                errors.push(input.error("expected `,`"));
            }
            skip_to_comma(input);
            let _ = input.parse::<Option<Token![,]>>();
        }
    }

    fn read_one(
        &mut self,
        input: ParseStream<'_>,
        spec: &Spec,
        errors: &Errors,
    ) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            let token: TokenTree = input.parse()?;
            self.strange = true;
            let hint = spec
                .bare
                .map(|name| format!(": did you mean `{name} = {token}`?"))
                .unwrap_or_default();
            return Err(syn::Error::new_spanned(
                &token,
                format!("options are written `name = value`{hint}"),
            ));
        }
        let name = Ident::parse_any(input)?;
        let text = name.unraw().to_string();
        let twice = self.words.contains(&name);
        self.words.push(name.clone());
        let Some((_, kind)) = spec.legal.iter().find(|(legal, _)| *legal == text) else {
            errors.on(&name, spec.refuse(&text));
            self.strange = true;
            skip_to_comma(input);
            return Ok(());
        };
        if twice {
            errors.on(&name, format!("`{name}` is given twice"));
            skip_to_comma(input);
            return Ok(());
        }
        let value = Value::parse(input, &name, *kind)?;
        self.given.push((name, value));
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&(Ident, Value)> {
        self.given.iter().find(|(given, _)| given == name)
    }

    /// The name of an option as it was written, for messages on it; also when its value is wrong.
    pub fn word(&self, name: &str) -> Option<&Ident> {
        self.words.iter().find(|given| *given == name)
    }

    /// Whether the option was neither written nor perhaps meant by something that was refused.
    pub fn is_missing(&self, name: &str) -> bool {
        !self.strange && self.word(name).is_none()
    }

    /// Whether a flag is set.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.find(name), Some((_, Value::Bool(true))))
    }

    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.find(name)? {
            (_, Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&LitStr> {
        match self.find(name)? {
            (_, Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, name: &str) -> Option<(u64, &syn::LitInt)> {
        match self.find(name)? {
            (_, Value::Int(number, literal)) => Some((*number, literal)),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<&Number> {
        match self.find(name)? {
            (_, Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// Milliseconds, and the literal for messages on it.
    pub fn duration(&self, name: &str) -> Option<(i64, &LitStr)> {
        match self.find(name)? {
            (_, Value::Duration(ms, literal)) => Some((*ms, literal)),
            _ => None,
        }
    }

    pub fn ty(&self, name: &str) -> Option<&Type> {
        match self.find(name)? {
            (_, Value::Type(ty)) => Some(ty),
            _ => None,
        }
    }

    pub fn field(&self, name: &str) -> Option<&FieldPath> {
        match self.find(name)? {
            (_, Value::Field(path)) => Some(path),
            _ => None,
        }
    }

    pub fn fields(&self, name: &str) -> Option<&[FieldPath]> {
        match self.find(name)? {
            (_, Value::Fields(fields)) => Some(fields),
            _ => None,
        }
    }

    pub fn grouping(&self, name: &str) -> Option<&Grouping> {
        match self.find(name)? {
            (_, Value::Grouping(grouping)) => Some(grouping),
            _ => None,
        }
    }

    /// The topics of an option, one or several.
    pub fn topics(&self, name: &str) -> Option<Vec<TopicRef>> {
        match self.find(name)? {
            (_, Value::Topics(topics)) => Some(topics.clone()),
            _ => None,
        }
    }

    /// The `crate = path` that every attribute takes.
    pub fn runtime(&self) -> Option<Path> {
        match self.find("crate")? {
            (_, Value::Path(path)) => Some(path.clone()),
            _ => None,
        }
    }
}

impl Spec {
    fn refuse(&self, name: &str) -> String {
        if self.later.contains(&name) {
            return format!("`{name}` is not supported yet");
        }
        let mut words = self.words.iter().chain(FAUST);
        if let Some((_, here)) = words.find(|(word, _)| *word == name) {
            return format!("unknown option `{name}`: {here}");
        }
        let legal: Vec<_> = self
            .legal
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name != "crate")
            .collect();
        match legal.is_empty() {
            true => format!("unknown option `{name}`; `{}` takes none", self.attribute),
            false => format!(
                "unknown option `{name}`; `{}` takes {}",
                self.attribute,
                legal.join(", ")
            ),
        }
    }
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _ = input.parse::<TokenTree>();
    }
}
