//! `#[field(..)]`: the rules of one field.

use crate::{
    errors::Errors,
    options::{Kind, Number, Options, Spec},
};
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Field, LitInt, LitStr, Meta};

pub const SPEC: Spec = Spec {
    attribute: "#[field]",
    legal: &[
        ("min", Kind::Number),
        ("max", Kind::Number),
        ("min_length", Kind::Int),
        ("max_length", Kind::Int),
        ("coerce", Kind::Flag),
        ("date_format", Kind::Text),
        ("sensitive", Kind::Flag),
    ],
    later: &[],
    words: &[
        ("default", "defaults are serde's: `#[serde(default)]`"),
        (
            "required",
            "a field is required unless it has `#[serde(default)]` or is an `Option`",
        ),
        (
            "rename",
            "the wire shape is serde's: `#[serde(rename = \"..\")]`",
        ),
        (
            "input_name",
            "the wire shape is serde's: `#[serde(rename(deserialize = \"..\"))]`",
        ),
        (
            "output_name",
            "the wire shape is serde's: `#[serde(rename(serialize = \"..\"))]`",
        ),
        (
            "exclude",
            "the wire shape is serde's: `#[serde(skip_serializing)]`",
        ),
        ("date_parser", "it is `date_format = \"%d/%m/%Y\"` here"),
        ("min_value", "it is `min` here"),
        ("max_value", "it is `max` here"),
        ("secret", "it is `sensitive` here"),
    ],
    bare: None,
};

/// The letters that may follow a `%` in a date format, padding marks apart.
const SPECIFIERS: &str = "YCyqmbBhdeaAwuUWGgVjDxFvHkIlPpMSfRTXrZzsctn+%";

/// What `#[field]` says of a field.
#[derive(Default)]
pub struct Rules {
    pub min: Option<Bound>,
    pub max: Option<Bound>,
    pub min_length: Option<LitInt>,
    pub max_length: Option<LitInt>,
    pub coerce: bool,
    pub date_format: Option<LitStr>,
    pub sensitive: bool,
}

/// A bound as the runtime takes it.
pub struct Bound {
    pub float: bool,
    pub literal: TokenStream,
}

impl Rules {
    /// Whether the field is looked at while it is read.
    pub fn are_checked(&self) -> bool {
        self.date_format.is_some() || self.bind()
    }

    /// Whether not every value may stand there.
    pub fn bind(&self) -> bool {
        self.min.is_some()
            || self.max.is_some()
            || self.min_length.is_some()
            || self.max_length.is_some()
    }
}

/// Takes the `#[field]`s off a field and reads them.
pub fn take(field: &mut Field, errors: &Errors) -> Rules {
    let (own, others): (Vec<_>, Vec<_>) = std::mem::take(&mut field.attrs)
        .into_iter()
        .partition(|attr| attr.path().is_ident("field"));
    field.attrs = others;
    let mut tokens = TokenStream::new();
    for attr in own {
        match attr.meta {
            Meta::List(list) => {
                list.tokens.to_tokens(&mut tokens);
                tokens.extend(quote::quote!(,));
            }
            meta => errors.on(meta, "`#[field]` takes min, max, min_length, max_length, coerce, date_format, sensitive: `#[field(coerce)]`"),
        }
    }
    let options = Options::parse(tokens, &SPEC, errors);
    let mut rules = Rules {
        min: options.number("min").map(bound),
        max: options.number("max").map(bound),
        min_length: options
            .int("min_length")
            .map(|(_, literal)| literal.clone()),
        max_length: options
            .int("max_length")
            .map(|(_, literal)| literal.clone()),
        coerce: options.flag("coerce"),
        date_format: options.text("date_format").cloned(),
        sensitive: options.flag("sensitive"),
    };
    check(&options, &rules, errors);
    if rules.coerce || rules.are_checked() {
        let by_serde = field
            .attrs
            .iter()
            .filter(|attr| serde_words(attr).iter().any(|word| reads(word)));
        let by_serde: Vec<_> = by_serde.collect();
        for attr in &by_serde {
            errors.on(attr, "serde reads this field by a function of yours; the rules of `#[field]` belong in there");
        }
        if !by_serde.is_empty() {
            rules = Rules {
                sensitive: rules.sensitive,
                ..Rules::default()
            };
        }
    }
    rules
}

fn bound(number: &Number) -> Bound {
    Bound {
        float: matches!(number, Number::Float(..)),
        literal: number.to_token_stream(),
    }
}

fn check(options: &Options, rules: &Rules, errors: &Errors) {
    if let (Some(min), Some(max)) = (options.number("min"), options.number("max"))
        && min.value() > max.value()
    {
        errors.on(
            min,
            format!("`min` is above `max` ({})", max.to_token_stream()),
        );
    }
    if let (Some((min, literal)), Some((max, _))) =
        (options.int("min_length"), options.int("max_length"))
        && min > max
    {
        errors.on(
            literal,
            format!("`min_length` is above `max_length` ({max})"),
        );
    }
    if let Some(format) = &rules.date_format
        && let Some(problem) = wrong_format(&format.value()).or_else(|| unreadable(&format.value()))
    {
        errors.on(format, problem);
    }
}

/// The first part of a date format that chrono does not know.
fn wrong_format(format: &str) -> Option<String> {
    let mut letters = format.chars();
    while letters.by_ref().any(|c| c == '%') {
        let mut part = String::from("%");
        loop {
            let Some(letter) = letters.next() else {
                return Some(format!(
                    "\"{format}\": '%' at the end; write %% for a percent sign"
                ));
            };
            part.push(letter);
            if "-_0.:#369".contains(letter) {
                continue;
            }
            if !SPECIFIERS.contains(letter) {
                return Some(format!(
                    "\"{format}\": unknown '{part}'; use %Y %m %d %H %M %S %f %z and their family"
                ));
            }
            break;
        }
    }
    None
}

/// Why no text can be a time by a date format whose parts are all known.
fn unreadable(format: &str) -> Option<String> {
    let parts = parts(format);
    let has = |letters: &str| parts.chars().any(|part| letters.contains(part));
    if has("s") {
        return None;
    }
    let (year, month, day) = (has("YyCcDxFv+"), has("mbBhcDxFv+"), has("decDxFv+"));
    let week = has("aAuwc");
    let date = year && ((month && day) || has("j") || (has("UW") && week))
        || has("Gg") && has("V") && week;
    // "C" alone is a century.
    let year_missing = has("C") && !has("YycDxFv+");
    if !date || year_missing {
        return Some(format!(
            "\"{format}\" can read no time: it has no whole date, which is year, month and day (%Y %m %d, %F), year and day of the year \
             (%Y %j), or seconds since the epoch (%s)"
        ));
    }
    let whole_day = has("HkTRXc+");
    let half_day = has("Ilr");
    let half = has("pPr");
    let hour = whole_day || (half_day && half);
    let missing = match () {
        () if half_day && !half && !whole_day => "%I is an hour of half a day: add %p, or write %H",
        () if !hour && has("MSfTRXcrpP+") => "it has a time without the hour: add %H",
        () if has("Sf") && !has("MTRXcr+") => "it has seconds without minutes: add %M",
        () if has("f") && !has("STXcr+") => "it has a fraction without seconds: add %S",
        () => return None,
    };
    Some(format!("\"{format}\" can read no time: {missing}"))
}

/// The letters of a date format's parts.
fn parts(format: &str) -> String {
    let mut letters = format.chars();
    let mut parts = String::new();
    while letters.by_ref().any(|c| c == '%') {
        let mark = |c: &char| !"-_0.:#369".contains(*c);
        parts.extend(letters.by_ref().find(mark));
    }
    parts
}

/// Whether serde reads the field by a function of the user's, or from the fields of its parent.
pub fn is_read_by_serde(field: &Field) -> bool {
    field.attrs.iter().any(|attr| {
        serde_words(attr)
            .iter()
            .any(|word| reads(word) || word == "skip" || word == "skip_deserializing")
    })
}

fn reads(word: &str) -> bool {
    matches!(word, "with" | "deserialize_with" | "flatten")
}

/// Whether `#[serde(default)]` is already said.
pub fn has_default(attrs: &[Attribute]) -> bool {
    attrs
        .iter()
        .any(|attr| serde_words(attr).iter().any(|word| word == "default"))
}

fn serde_words(attr: &Attribute) -> Vec<String> {
    let metas = serde_metas(attr).into_iter();
    metas
        .filter_map(|meta| meta.path().get_ident().map(ToString::to_string))
        .collect()
}

/// Reads a `#[serde(..)]`; nothing when it is another attribute.
pub fn serde_metas(attr: &Attribute) -> Vec<Meta> {
    if attr.path().is_ident("serde")
        && let Meta::List(list) = &attr.meta
        && let Ok(metas) = list
            .parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated)
    {
        return metas.into_iter().collect();
    }
    Vec::new()
}

/// Takes `#[serde(serialize_with = ..)]` off a field: the function that writes it.
pub fn take_writer(field: &mut Field) -> Option<syn::Path> {
    let mut writer = None;
    for attr in &mut field.attrs {
        let metas = serde_metas(attr);
        let (own, others): (Vec<_>, Vec<_>) = metas
            .into_iter()
            .partition(|meta| meta.path().is_ident("serialize_with"));
        if let Some(Meta::NameValue(pair)) = own.into_iter().next()
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(text) = &literal.lit
            && let Ok(path) = text.parse()
        {
            writer = Some(path);
            *attr = syn::parse_quote!(#[serde(#(#others),*)]);
        }
    }
    writer
}

#[cfg(test)]
mod tests {
    use super::unreadable;

    #[test]
    fn a_date_format_that_can_read_nothing_is_known() {
        for format in [
            "%Y",
            "%d.%m. %H:%M",
            "%H:%M:%S",
            "%C-%m-%d",
            "%Y-%m",
            "%Y-%m-%d %I:%M",
            "%Y-%m-%d %M:%S",
            "%F %H:%S",
            "%F %H:%M.%f",
            "%Y %U",
            "%G-%m-%d",
            "at %%Y",
            "%F %p",
        ] {
            assert!(unreadable(format).is_some(), "{format}");
        }
        for format in [
            "%d/%m/%Y",
            "%F",
            "%Y-%j",
            "%s",
            "%c",
            "%+",
            "%Y-%m-%dT%H:%M:%S%.f%:z",
            "%d/%m/%y %I:%M %p",
            "%F %H",
            "%D %r",
            "%v %T",
            "%G-W%V-%u",
            "%Y %W %a",
            "%b %-d, %Y %k:%M",
            "%C%y-%m-%d",
            "%F %R",
            "%Y-%m-%dT%H:%M:%S%.3f",
        ] {
            assert_eq!(unreadable(format), None, "{format}");
        }
    }
}
