//! `#[state]`: parse, check, expand.

use crate::{
    errors::Errors,
    function, item,
    options::{Kind, Options, Spec},
    paths::Runtime,
};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{ReturnType, ext::IdentExt, spanned::Spanned};

pub const SPEC: Spec = Spec {
    attribute: "#[state]",
    legal: &[("crate", Kind::Path)],
    later: &[],
    words: &[],
    bare: None,
};

pub fn attribute(args: TokenStream, tokens: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let options = Options::parse(args, &SPEC, &errors);
    let item = item::function(&tokens, SPEC.attribute, &errors);
    if let Some(item) = &item {
        function::check(&item.sig, "a state", &errors);
        for parameter in function::parameters(&item.sig, &errors) {
            errors.on(
                &parameter.ty,
                "`#[state]` takes no parameters: it runs before anything else is there",
            );
        }
        if function::returns_nothing(&item.sig.output) {
            errors.on(
                &item.sig.ident,
                "a state returns the resource that `State<T>` gives, or a `Result` of it",
            );
        }
    }
    let out = match &item {
        Some(item) if errors.is_empty() => expand(item, &Runtime::new(options.runtime())),
        _ => tokens,
    };
    let errors = errors.finish();
    quote!(#out #errors)
}

fn expand(item: &item::Function, runtime: &Runtime) -> TokenStream {
    let p = runtime.private();
    let function = &item.sig.ident;
    let name = function.unraw().to_string();
    let ReturnType::Type(_, returned) = &item.sig.output else {
        return quote!(#item);
    };
    let cfgs = item::cfgs(&item.attrs);
    let place = item::place(&p);
    let here = runtime.private_at(returned.span());
    let parts = quote_spanned! {returned.span()=>
        #here::state_parts((&&#here::FactoryProbe::<#returned>::NEW).kind(), #function)
    };
    let vis = &item.vis;
    quote! {
        #item
        #(#cfgs)*
        #p::stand_in! { #vis #function }
        #(#cfgs)*
        #[allow(clippy::needless_borrow, unused_imports)]
        const _: () = {
            use #p::{ViaResult as _, ViaValue as _};
            fn __state() -> #p::StateParts {
                #parts
            }
            #p::register! {
                state #function []
                #p::StateDescriptor {
                    name: #name,
                    place: #place,
                    type_id: || __state().type_id,
                    make: || (__state().make)(),
                }
            }
        };
    }
}
