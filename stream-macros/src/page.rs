//! `#[page]`: parse, check, expand.

use crate::{
    errors::Errors,
    function::{self, Parameter},
    item,
    options::{Kind, Options, Spec},
    paths::Runtime,
};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{LitStr, ReturnType, ext::IdentExt, spanned::Spanned};

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

/// Pages that every worker has.
const TAKEN: &[&str] = &["/health", "/ready", "/metrics"];

pub const SPEC: Spec = Spec {
    attribute: "#[page]",
    legal: &[("method", Kind::Choice(METHODS)), ("crate", Kind::Path)],
    later: &[],
    words: &[
        ("path", "the path comes first: `#[page(\"/count/{word}\")]`"),
        ("methods", "a page has one method here: `method = \"post\"`"),
        ("name", "a page has its function's name here; take it out"),
        (
            "base",
            "the whole path comes first: `#[page(\"/count/{word}\")]`",
        ),
        (
            "cors_options",
            "the server is on loopback; put what faces others in front of it",
        ),
    ],
    bare: None,
};

pub fn attribute(args: TokenStream, tokens: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let (path, options) = Options::parse_named(args, &SPEC, &errors);
    let item = item::function(&tokens, SPEC.attribute, &errors);
    let mut parameters = Vec::new();
    if let Some(item) = &item {
        function::check(&item.sig, "a page", &errors);
        parameters = function::parameters(&item.sig, &errors);
        let takes = "a page takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S> and what axum takes from a request";
        function::refuse_handles(&parameters, takes, &errors);
        match &path {
            Some(path) => {
                if let Err(problem) = check_path(&path.value()) {
                    errors.on(path, problem);
                }
            }
            None if options.is_missing("path") => errors.on(
                &item.sig.ident,
                "a page needs its path: `#[page(\"/count/{word}\")]`",
            ),
            None => {}
        }
    }
    let out = match (&item, &path) {
        (Some(item), Some(path)) if errors.is_empty() => {
            let method = options
                .text("method")
                .map_or_else(|| "get".to_owned(), LitStr::value);
            let runtime = Runtime::new(options.runtime());
            expand(item, &parameters, path, &method, &runtime)
        }
        _ => tokens,
    };
    let errors = errors.finish();
    quote!(#out #errors)
}

/// What axum takes as a path, by its own router.
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("a path begins with a slash: \"/{path}\""));
    }
    if TAKEN.contains(&path) {
        return Err(format!(
            "every worker has a page {path}: choose another path"
        ));
    }
    for part in path.split('/') {
        if let Some(name) = part.strip_prefix(':') {
            return Err(format!(
                "a part of the path is captured as `{{{name}}}` here"
            ));
        }
        if let Some(name) = part.strip_prefix('*') {
            return Err(format!(
                "the rest of the path is captured as `{{*{name}}}` here"
            ));
        }
    }
    matchit::Router::new()
        .insert(path, ())
        .map_err(|problem| format!("{path:?}: {problem}"))
}

fn expand(
    item: &item::Function,
    parameters: &[Parameter],
    path: &LitStr,
    method: &str,
    runtime: &Runtime,
) -> TokenStream {
    let p = runtime.private();
    let function = &item.sig.ident;
    let name = function.unraw().to_string();
    let method = method.to_uppercase();
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    let mut constants = Vec::new();
    let mut makes = Vec::new();
    let mut names = Vec::new();
    let mut arguments = Vec::new();
    for (number, parameter) in parameters.iter().enumerate() {
        let (ty, span) = (&parameter.ty, parameter.ty.span());
        let here = runtime.private_at(span);
        let (name, variable) = (format_ident!("__P{number}"), format_ident!("__p{number}"));
        // The type stands here alone, so that a wrong one is one error. The last may take the body.
        let made = if number + 1 == parameters.len() {
            constants.push(quote_spanned! {span=>
                const #name: #here::PageBody<#ty> = #here::PageBody::of();
            });
            quote!(#name.make(#p::Request::from_parts(__parts, __body), &__cx))
        } else {
            constants.push(quote_spanned! {span=>
                const #name: #here::PageParameter<#ty> = #here::PageParameter::of();
            });
            quote!(#name.make(&mut __parts, &__cx))
        };
        makes.push(quote! {
            #[allow(unused_mut)]
            let mut #variable = match #made.await {
                ::core::result::Result::Ok(__made) => __made,
                ::core::result::Result::Err(__refused) => return __refused,
            };
        });
        arguments.push(function::argument(parameter.by, &variable));
        names.push(name);
    }
    let span = match &item.sig.output {
        ReturnType::Default => function.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let here = runtime.private_at(span);
    let finish = quote_spanned!(span=> #here::PageOutput::finish(__ended));
    let boxed = quote_spanned! {span=>
        #here::Box::pin(async move {
            #[allow(unused_mut, unused_variables)]
            let (mut __parts, __body) = __request.into_parts();
            #(#makes)*
            let __ended = #function(#(#arguments),*).await;
            #finish
        })
    };
    let vis = &item.vis;
    quote! {
        #item
        #(#cfgs)*
        #p::stand_in! { #vis #function }
        #(#cfgs)*
        #[allow(clippy::let_unit_value)]
        const _: () = {
            #(#constants)*
            #p::register! {
                page #function []
                #p::PageDescriptor {
                    name: #name,
                    place: #place,
                    path: #path,
                    method: #method,
                    edges: &[#(#names.edge()),*],
                    call: |__cx, __request| #boxed,
                    item: || #p::item_id(&#function),
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn a_path_is_one_that_the_router_takes() {
        for good in [
            "/",
            "/count",
            "/count/{word}",
            "/a/{b}/c/{d}",
            "/files/{*rest}",
        ] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("count", "\"/count\""),
            ("", "slash"),
            ("/count/:word", "{word}"),
            ("/files/*rest", "{*rest}"),
            ("/count/{word", "/count/{word"),
            ("/count/{}", "/count/{}"),
            ("/ready", "every worker"),
        ] {
            let said = check_path(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
