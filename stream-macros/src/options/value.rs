//! The values that options take.

use crate::duration;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    ExprClosure, Ident, Lit, LitBool, LitFloat, LitInt, LitStr, Path, Token, Type, bracketed,
    ext::IdentExt, parenthesized, parse::ParseStream, punctuated::Punctuated, token,
};

/// What kind of value an option takes.
#[derive(Clone, Copy)]
pub enum Kind {
    /// `local`, or `local = true`
    Flag,
    /// `changelog = false`
    Bool,
    /// `date_format = "%d/%m/%Y"`
    Text,
    /// `pattern = "orders-.+"`
    Pattern,
    /// A name that becomes part of a topic's name.
    Name,
    /// `retries = 5`
    Int,
    /// `min = -1.5`
    Number,
    /// `grace = "30s"`
    Duration,
    /// `key = String`
    Type,
    /// `timestamp = datetime`
    Field,
    /// `on = (id, order_id)`
    Fields,
    /// `group_by = user`, `group_by = |r: &View| (r.country.clone(), r.day)`
    Grouping,
    /// `sink = "voltage_avg"`, `sink = VoltageAvg`
    Topic,
    /// `topics = ["a", B]`
    Topics,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// One of these texts, or a type.
    ChoiceOrType(&'static [&'static str]),
    /// `crate = my::runtime`
    Path,
}

/// The value of an option.
pub enum Value {
    Bool(bool),
    Text(LitStr),
    Int(u64, LitInt),
    Number(Number),
    Duration(i64, LitStr),
    Type(Type),
    Field(FieldPath),
    Fields(Vec<FieldPath>),
    Grouping(Grouping),
    Topics(Vec<TopicRef>),
    Path(Path),
}

/// A number with a sign, of either kind.
pub enum Number {
    Int(i128, TokenStream),
    Float(f64, TokenStream),
}

impl Number {
    pub fn value(&self) -> f64 {
        match self {
            Self::Int(number, _) => *number as f64,
            Self::Float(number, _) => *number,
        }
    }
}

impl ToTokens for Number {
    fn to_tokens(&self, out: &mut TokenStream) {
        match self {
            Self::Int(_, tokens) | Self::Float(_, tokens) => tokens.to_tokens(out),
        }
    }
}

/// A field, or a field of a field: `address.city`.
#[derive(Clone)]
pub struct FieldPath {
    pub first: Ident,
    pub rest: Vec<Ident>,
}

impl FieldPath {
    /// Where it ends: what is wrong with its type is said there.
    pub fn span(&self) -> Span {
        self.rest.last().unwrap_or(&self.first).span()
    }

    /// As it is written: `address.city`.
    pub fn text(&self) -> String {
        let rest = self.rest.iter().map(|ident| format!(".{}", ident.unraw()));
        format!("{}{}", self.first.unraw(), rest.collect::<String>())
    }

    /// What follows the first field: `.city`.
    pub fn tail(&self) -> TokenStream {
        let rest = &self.rest;
        quote!(#(.#rest)*)
    }
}

/// What becomes the key.
#[derive(Clone)]
pub enum Grouping {
    Field(FieldPath),
    Closure(Box<ExprClosure>),
}

/// A topic by name or by its `#[topic]` type.
#[derive(Clone)]
pub enum TopicRef {
    Name(LitStr),
    Spec(Box<Type>),
}

impl TopicRef {
    /// Its `#[topic]` type.
    pub fn spec(&self) -> Option<&Type> {
        match self {
            Self::Spec(ty) => Some(ty),
            Self::Name(_) => None,
        }
    }
}

impl ToTokens for TopicRef {
    fn to_tokens(&self, out: &mut TokenStream) {
        match self {
            Self::Name(name) => name.to_tokens(out),
            Self::Spec(ty) => ty.to_tokens(out),
        }
    }
}

impl Value {
    pub fn parse(input: ParseStream<'_>, name: &Ident, kind: Kind) -> syn::Result<Self> {
        if !input.peek(Token![=]) {
            return match kind {
                Kind::Flag => Ok(Self::Bool(true)),
                _ => Err(syn::Error::new_spanned(
                    name,
                    format!("`{name}` needs a value: {}", kind.example(name)),
                )),
            };
        }
        input.parse::<Token![=]>()?;
        let wrong = |input: ParseStream<'_>| {
            let message = format!("`{name}` takes {}: {}", kind.what(), kind.example(name));
            // At the end of the list there is no token left to point at.
            if input.is_empty() {
                syn::Error::new_spanned(name, message)
            } else {
                input.error(message)
            }
        };
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new_spanned(
                name,
                format!("`{name}` needs a value: {}", kind.example(name)),
            ));
        }
        match kind {
            Kind::Flag | Kind::Bool if input.peek(LitBool) => {
                Ok(Self::Bool(input.parse::<LitBool>()?.value))
            }
            Kind::Text if input.peek(LitStr) => input.parse().map(Self::Text),
            Kind::Name if input.peek(LitStr) => {
                let text: LitStr = input.parse()?;
                check_topic_name(&text)?;
                Ok(Self::Text(text))
            }
            Kind::Pattern if input.peek(LitStr) => {
                let text: LitStr = input.parse()?;
                check_pattern(&text)?;
                Ok(Self::Text(text))
            }
            Kind::Int if input.peek(LitInt) => {
                let literal: LitInt = input.parse()?;
                let number = literal.base10_parse().map_err(|_| {
                    syn::Error::new_spanned(&literal, format!("`{name}` takes {}", kind.what()))
                })?;
                Ok(Self::Int(number, literal))
            }
            Kind::Number if input.peek(LitInt) || input.peek(LitFloat) || input.peek(Token![-]) => {
                parse_number(input)
                    .map(Self::Number)
                    .ok_or_else(|| wrong(input))
            }
            Kind::Duration if input.peek(LitStr) => {
                let text: LitStr = input.parse()?;
                match duration::parse(&text.value()) {
                    Ok(ms) => Ok(Self::Duration(ms, text)),
                    Err(problem) => Err(syn::Error::new_spanned(text, problem)),
                }
            }
            Kind::Type if !input.peek(Lit) => input.parse().map(Self::Type),
            Kind::Field if input.peek(Ident) => parse_field(input, &wrong).map(Self::Field),
            Kind::Fields if input.peek(token::Paren) => {
                let inner;
                let paren = parenthesized!(inner in input);
                let mut fields = Vec::new();
                while !inner.is_empty() {
                    if !inner.peek(Ident) {
                        let error = wrong(&inner);
                        // What is left over would be a second mistake.
                        inner.parse::<TokenStream>()?;
                        return Err(error);
                    }
                    fields.push(parse_field(&inner, &wrong)?);
                    if !inner.is_empty() {
                        inner.parse::<Token![,]>()?;
                    }
                }
                if fields.is_empty() {
                    let message = format!("`{name}` is empty: {}", kind.example(name));
                    return Err(syn::Error::new(paren.span.join(), message));
                }
                Ok(Self::Fields(fields))
            }
            Kind::Grouping if input.peek(Token![|]) || input.peek(Token![||]) => {
                let closure: ExprClosure = input.parse()?;
                check_closure(&closure)?;
                Ok(Self::Grouping(Grouping::Closure(Box::new(closure))))
            }
            Kind::Grouping if input.peek(Ident) => {
                parse_field(input, &wrong).map(|field| Self::Grouping(Grouping::Field(field)))
            }
            Kind::Topic if !input.peek(token::Bracket) && !input.peek(token::Paren) => {
                parse_topic(input, &wrong).map(|topic| Self::Topics(vec![topic]))
            }
            Kind::Topics if input.peek(token::Bracket) || input.peek(token::Paren) => {
                let inner;
                if input.peek(token::Bracket) {
                    bracketed!(inner in input);
                } else {
                    parenthesized!(inner in input);
                }
                let mut list = Vec::new();
                while !inner.is_empty() {
                    list.push(parse_topic(&inner, &wrong)?);
                    if !inner.is_empty() {
                        inner.parse::<Token![,]>()?;
                    }
                }
                if list.is_empty() {
                    return Err(syn::Error::new_spanned(
                        name,
                        format!("`{name}` is empty: {}", kind.example(name)),
                    ));
                }
                Ok(Self::Topics(list))
            }
            Kind::ChoiceOrType(_) if !input.peek(Lit) => input.parse().map(Self::Type),
            Kind::Choice(choices) | Kind::ChoiceOrType(choices) if input.peek(LitStr) => {
                let text: LitStr = input.parse()?;
                if !choices.contains(&text.value().as_str()) {
                    return Err(syn::Error::new_spanned(
                        text,
                        format!("`{name}` is one of {}", quoted(choices)),
                    ));
                }
                Ok(Self::Text(text))
            }
            Kind::Path if !input.peek(Lit) => input.call(Path::parse_mod_style).map(Self::Path),
            _ => Err(wrong(input)),
        }
    }
}

impl Kind {
    fn what(self) -> String {
        match self {
            Self::Flag | Self::Bool => "true or false".into(),
            Self::Text | Self::Name => "a text".into(),
            Self::Pattern => "a regular expression on whole topic names".into(),
            Self::Int => "a whole number".into(),
            Self::Number => "a number".into(),
            Self::Duration => "a text with a number and a unit".into(),
            Self::Type => "a type, without quotes".into(),
            Self::Field => "the name of a field, without quotes".into(),
            Self::Fields => "two fields, without quotes".into(),
            Self::Grouping => "a field, without quotes, or a closure on the record".into(),
            Self::Topic => "the name of a topic, or a `#[topic]` type".into(),
            Self::Topics => "a list of topics".into(),
            Self::Choice(choices) => format!("one of {}", quoted(choices)),
            Self::ChoiceOrType(choices) => format!("one of {}, or a type", quoted(choices)),
            Self::Path => "the path of the runtime".into(),
        }
    }

    fn example(self, name: &Ident) -> String {
        match self {
            Self::Flag => format!("`{name}`"),
            Self::Bool => format!("`{name} = false`"),
            Self::Text | Self::Name => format!("`{name} = \"..\"`"),
            Self::Pattern => format!("`{name} = \"orders-.+\"`"),
            Self::Int | Self::Number => format!("`{name} = 3`"),
            Self::Duration => format!("`{name} = \"10s\"` (ms, s, m, h, d)"),
            Self::Type => format!("`{name} = String`"),
            Self::Field => format!("`{name} = field`"),
            Self::Fields => format!("`{name} = (id, order_id)`"),
            Self::Grouping => {
                format!("`{name} = field` or `{name} = |record: &Record| record.field.clone()`")
            }
            Self::Topic => format!("`{name} = \"topic\"`"),
            Self::Topics => format!("`{name} = [\"first\", \"second\"]`"),
            Self::Choice(choices) | Self::ChoiceOrType(choices) => {
                format!("`{name} = \"{}\"`", choices[0])
            }
            Self::Path => format!("`{name} = ::stream_runtime`"),
        }
    }
}

type Wrong<'a> = &'a dyn Fn(ParseStream<'_>) -> syn::Error;

fn parse_field(input: ParseStream<'_>, wrong: Wrong<'_>) -> syn::Result<FieldPath> {
    let path = Punctuated::<Ident, Token![.]>::parse_separated_nonempty(input)?;
    let mut path = path.into_iter();
    let first = path.next().ok_or_else(|| wrong(input))?;
    Ok(FieldPath {
        first,
        rest: path.collect(),
    })
}

/// A closure that makes a key takes the record by reference.
fn check_closure(closure: &ExprClosure) -> syn::Result<()> {
    if let Some(word) = &closure.asyncness {
        return Err(syn::Error::new_spanned(
            word,
            "the closure that makes the key cannot be async",
        ));
    }
    if let Some(word) = &closure.capture {
        return Err(syn::Error::new_spanned(
            word,
            "there is nothing here that the closure could take along; take `move` out",
        ));
    }
    if closure.inputs.len() != 1 {
        let message = "the closure that makes the key takes the record: `|record: &Record| ..`";
        return Err(match closure.inputs.iter().nth(1) {
            Some(second) => syn::Error::new_spanned(second, message),
            None => syn::Error::new_spanned(closure, message),
        });
    }
    Ok(())
}

fn quoted(choices: &[&str]) -> String {
    choices
        .iter()
        .map(|choice| format!("{choice:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn parse_number(input: ParseStream<'_>) -> Option<Number> {
    let minus: Option<Token![-]> = input.parse().ok()?;
    if input.peek(LitInt) {
        let literal: LitInt = input.parse().ok()?;
        let number: i128 = literal.base10_parse().ok()?;
        let number = if minus.is_some() { -number } else { number };
        return Some(Number::Int(number, quote!(#minus #literal)));
    }
    let literal: LitFloat = input.parse().ok()?;
    let number: f64 = literal.base10_parse().ok()?;
    let number = if minus.is_some() { -number } else { number };
    number
        .is_finite()
        .then(|| Number::Float(number, quote!(#minus #literal)))
}

fn parse_topic(
    input: ParseStream<'_>,
    wrong: &dyn Fn(ParseStream<'_>) -> syn::Error,
) -> syn::Result<TopicRef> {
    if input.peek(LitStr) {
        let name: LitStr = input.parse()?;
        check_topic_name(&name)?;
        return Ok(TopicRef::Name(name));
    }
    if input.peek(Lit) {
        return Err(wrong(input));
    }
    let ty: Type = input.parse()?;
    if let Type::Path(path) = &ty
        && let Some(word) = path.path.get_ident()
        && word.to_string().starts_with(char::is_lowercase)
    {
        return Err(syn::Error::new_spanned(
            word,
            format!("the name of a topic stands in quotes: \"{word}\""),
        ));
    }
    Ok(TopicRef::Spec(Box::new(ty)))
}

/// What the runtime takes as a pattern: names are ASCII, so that the classes are as well.
fn check_pattern(pattern: &LitStr) -> syn::Result<()> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build();
    let problem = match parser.parse(&pattern.value()) {
        Ok(_) => return Ok(()),
        Err(regex_syntax::Error::Parse(error)) => {
            format!("{} at byte {}", error.kind(), error.span().start.offset)
        }
        Err(regex_syntax::Error::Translate(error)) => {
            format!("{} at byte {}", error.kind(), error.span().start.offset)
        }
        Err(error) => error.to_string(),
    };
    Err(syn::Error::new_spanned(
        pattern,
        format!("not a regular expression: {problem}"),
    ))
}

/// What Kafka takes as a topic's name: at most 249 letters, digits, `.`, `_`, `-`.
pub fn check_topic_name(name: &LitStr) -> syn::Result<()> {
    let text = name.value();
    let problem = if text.is_empty() {
        "a name is empty".to_owned()
    } else if text.len() > 249 {
        format!(
            "a name has at most 249 characters, this one has {}",
            text.len()
        )
    } else if text == "." || text == ".." {
        format!("{text:?} is not a name that Kafka takes")
    } else if let Some(c) = text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c))
    {
        format!("{c:?} cannot stand in a name; use letters, digits, '.', '_', '-'")
    } else {
        return Ok(());
    };
    Err(syn::Error::new_spanned(name, problem))
}
