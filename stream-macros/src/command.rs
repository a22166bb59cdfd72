//! `#[command]`: parse, check, expand.

use crate::{
    errors::Errors,
    function::{self, Parameter},
    item,
    options::{Kind, Options, Spec},
    paths::Runtime,
};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Expr, Lit, Meta, ReturnType, ext::IdentExt, spanned::Spanned};

pub const SPEC: Spec = Spec {
    attribute: "#[command]",
    legal: &[("name", Kind::Text), ("crate", Kind::Path)],
    later: &[],
    words: &[],
    bare: Some("name"),
};

pub fn attribute(args: TokenStream, tokens: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let options = Options::parse(args, &SPEC, &errors);
    let item = item::function(&tokens, SPEC.attribute, &errors);
    let mut parameters = Vec::new();
    if let Some(item) = &item {
        function::check(&item.sig, "a command", &errors);
        parameters = function::parameters(&item.sig, &errors);
        let takes = "a command takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S>, AppHandle, and structs that derive `clap::Args`";
        function::refuse_handles(&parameters, takes, &errors);
    }
    if let Some(name) = options.text("name") {
        let text = name.value();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if text.is_empty() || text.starts_with('-') || !text.chars().all(legal) {
            errors.on(
                name,
                "a command's name is typed in a shell: letters, digits, `-` and `_`",
            );
        }
    }
    let out = match &item {
        Some(item) if errors.is_empty() => {
            let runtime = Runtime::new(options.runtime());
            let given = options.text("name").map(syn::LitStr::value);
            expand(item, &parameters, given, &runtime)
        }
        _ => tokens,
    };
    let errors = errors.finish();
    quote!(#out #errors)
}

fn expand(
    item: &item::Function,
    parameters: &[Parameter],
    given: Option<String>,
    runtime: &Runtime,
) -> TokenStream {
    let p = runtime.private();
    let function = &item.sig.ident;
    let name = given.unwrap_or_else(|| function.unraw().to_string().replace('_', "-"));
    let about = documentation(&item.attrs);
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    let mut constants = Vec::new();
    let mut names = Vec::new();
    let mut variables = Vec::new();
    let mut arguments = Vec::new();
    for (number, parameter) in parameters.iter().enumerate() {
        let (ty, span) = (&parameter.ty, parameter.ty.span());
        let here = runtime.private_at(span);
        let (name, variable) = (format_ident!("__P{number}"), format_ident!("__p{number}"));
        // The type stands here alone, so that a wrong one is one error.
        constants.push(quote_spanned! {span=>
            const #name: #here::CommandParameter<#ty> = #here::CommandParameter::of();
        });
        arguments.push(function::argument(parameter.by, &variable));
        names.push(name);
        variables.push(variable);
    }
    let span = match &item.sig.output {
        ReturnType::Default => function.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let here = runtime.private_at(span);
    let finish = quote_spanned!(span=> #here::CommandOutput::finish(__ended));
    let boxed = quote_spanned! {span=>
        #here::Box::pin(async move {
            #(#[allow(unused_mut)] let mut #variables = #names.make(&__cx)?;)*
            let __ended = #function(#(#arguments),*).await;
            #finish
        })
    };
    quote! {
        #item
        #(#cfgs)*
        #[allow(clippy::let_unit_value)]
        const _: () = {
            #(#constants)*
            #p::register! {
                command #function []
                #p::CommandDescriptor {
                    name: #name,
                    about: #about,
                    place: #place,
                    parts: &[#(#names.part()),*],
                    run: |__cx| #boxed,
                }
            }
        };
    }
}

/// The doc comment, for the command's help.
fn documentation(attrs: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attr.meta
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}
