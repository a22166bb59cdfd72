//! What the attributes share of the items they stand on.

use crate::{errors::Errors, options::Options};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, DeriveInput, GenericArgument, Ident, Meta, Path, PathArguments, Signature, Token,
    Type, Visibility, parse::Parse, parse::ParseStream, punctuated::Punctuated,
};

/// A function whose body stays as it is: what is wrong in there is the compiler's to say.
pub struct Function {
    pub attrs: Vec<Attribute>,
    pub vis: Visibility,
    pub sig: Signature,
    pub body: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            body: input.parse()?,
        })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, out: &mut TokenStream) {
        let Self {
            attrs,
            vis,
            sig,
            body,
        } = self;
        quote!(#(#attrs)* #vis #sig #body).to_tokens(out);
    }
}

/// The function, or the mistake that it is none.
pub fn function(item: &TokenStream, attribute: &str, errors: &Errors) -> Option<Function> {
    match syn::parse2::<Function>(item.clone()) {
        Ok(function) => Some(function),
        Err(error) => {
            match keyword(item) {
                Some(word)
                    if word != "fn" && word != "async" && word != "unsafe" && word != "const" =>
                {
                    errors.on(&word, format!("`{attribute}` stands on an async fn"));
                }
                _ => errors.push(error),
            }
            None
        }
    }
}

/// The struct (or enum), or the mistake that it is none.
pub fn data(item: &TokenStream, attribute: &str, on: &str, errors: &Errors) -> Option<DeriveInput> {
    match syn::parse2::<DeriveInput>(item.clone()) {
        Ok(data) => Some(data),
        Err(error) => {
            match keyword(item) {
                Some(word) if word != "struct" && word != "enum" && word != "union" => {
                    errors.on(&word, format!("`{attribute}` stands on {on}"));
                }
                _ => errors.push(error),
            }
            None
        }
    }
}

/// The first word of an item after its attributes and visibility.
fn keyword(item: &TokenStream) -> Option<Ident> {
    let parser = |input: ParseStream<'_>| {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let word = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
        input.parse::<TokenStream>()?;
        Ok(word)
    };
    syn::parse::Parser::parse2(parser, item.clone()).ok()
}

/// The `#[cfg]`s, to be put on whatever is generated beside the item.
pub fn cfgs(attrs: &[Attribute]) -> Vec<&Attribute> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"))
        .collect()
}

/// The derives among `names` that stand below the attribute (those above it have expanded already).
pub fn derives(attrs: &[Attribute], names: &[&str]) -> Vec<Path> {
    let mut found = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        if let Meta::List(list) = &attr.meta
            && let Ok(paths) = list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)
        {
            let named = |path: &Path| {
                path.segments
                    .last()
                    .is_some_and(|last| names.iter().any(|name| last.ident == name))
            };
            found.extend(paths.into_iter().filter(named));
        }
    }
    found
}

/// Notes every derive of serde's traits, which the attribute brings itself.
pub fn refuse_serde(attrs: &[Attribute], attribute: &str, errors: &Errors) {
    for path in derives(attrs, &["Serialize", "Deserialize"]) {
        let name = path
            .segments
            .last()
            .map(|last| last.ident.to_string())
            .unwrap_or_default();
        errors.on(
            &path,
            format!("`{attribute}` derives `{name}` itself; remove it here"),
        );
    }
}

/// Takes out what [`refuse_serde`] refused, so that it is not a second error.
pub fn strip_serde(item: &mut DeriveInput) {
    for attr in &mut item.attrs {
        let Meta::List(list) = &mut attr.meta else {
            continue;
        };
        if !list.path.is_ident("derive") {
            continue;
        }
        if let Ok(paths) = list.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated) {
            let kept = paths.iter().filter(|path| {
                path.segments
                    .last()
                    .is_none_or(|last| last.ident != "Serialize" && last.ident != "Deserialize")
            });
            list.tokens = quote!(#(#kept),*);
        }
    }
}

/// The option `name`, else the item's own name, which then must be one that Kafka takes.
pub fn wire_name(options: &Options, ident: &Ident, default: String, errors: &Errors) -> String {
    if let Some(name) = options.text("name") {
        return name.value();
    }
    if options.word("name").is_none() && !default.is_ascii() {
        errors.on(ident, "topics of Kafka are named in ASCII, and this name becomes part of one: add `name = \"..\"`");
    }
    default
}

/// The option `partitions`.
pub fn partitions(options: &Options, errors: &Errors) -> Option<i32> {
    count(options, "partitions", i64::from(i32::MAX), errors)
}

/// A count of at least one.
pub fn count(options: &Options, name: &str, most: i64, errors: &Errors) -> Option<i32> {
    let (number, literal) = options.int(name)?;
    match i32::try_from(number) {
        Ok(number) if number >= 1 && i64::from(number) <= most => Some(number),
        _ => {
            errors.on(literal, format!("`{name}` is a number from 1 to {most}"));
            None
        }
    }
}

/// `Some(value)` or `None`, under whatever names the user's module shadows.
pub fn optional<T: ToTokens>(value: Option<T>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

/// Where the attribute stands.
pub fn place(p: &TokenStream) -> TokenStream {
    quote! {
        #p::SourceLocation { module: ::core::module_path!(), file: ::core::file!(), line: ::core::line!() }
    }
}

/// Returns `true` if serde's derive takes a missing field of this type for `None`: it goes by how the type is written.
pub fn is_option(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| {
        last.ident == "Option"
            && matches!(&last.arguments, PathArguments::AngleBracketed(list)
                if list.args.len() == 1 && matches!(list.args[0], GenericArgument::Type(_)))
    })
}
