//! What functions under an attribute have in common: the signature's checks and its parameters.

use crate::errors::Errors;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{FnArg, Pat, ReturnType, Signature, Type, spanned::Spanned, visit_mut::VisitMut};

/// A parameter: the type that is made for it, and how the function takes it.
pub struct Parameter {
    /// Without the `&`.
    pub ty: Type,
    /// `&`, `&mut` or neither.
    pub by: By,
    /// Whether it can be changed: `mut x: T` or `x: &mut T`.
    pub writes: bool,
}

/// How a parameter is taken.
#[derive(Clone, Copy, PartialEq)]
pub enum By {
    Value,
    Ref,
    RefMut,
}

/// Notes what no function under an attribute may be.
pub fn check(sig: &Signature, what: &str, errors: &Errors) {
    if sig.asyncness.is_none() {
        errors.on(
            sig.fn_token,
            format!("{what} is an async fn: write `async fn {}`", sig.ident),
        );
    }
    if let Some(word) = &sig.constness {
        errors.on(word, format!("{what} cannot be const"));
    }
    if let Some(word) = &sig.unsafety {
        errors.on(
            word,
            format!("{what} cannot be unsafe: the runtime calls it"),
        );
    }
    if let Some(abi) = &sig.abi {
        errors.on(abi, format!("{what} is called from Rust; take out the ABI"));
    }
    if let Some(param) = sig.generics.params.first() {
        errors.on(
            param,
            format!("{what} has no generics: the runtime calls it with the types that stand here"),
        );
    }
    if let Some(dots) = &sig.variadic {
        errors.on(dots, format!("{what} has no variable arguments"));
    }
    if let ReturnType::Type(_, ty) = &sig.output {
        refuse_impl(ty, "name the type that is returned", errors);
    }
}

/// The parameters in order; those that cannot be one are noted.
pub fn parameters(sig: &Signature, errors: &Errors) -> Vec<Parameter> {
    let mut out = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                errors.on(
                    receiver.self_token,
                    "a method has no place in the registry: write a free function, and ask for what it needs by type",
                );
            }
            FnArg::Typed(typed) => {
                refuse_impl(&typed.ty, "name the type of the parameter", errors);
                let mutable = matches!(&*typed.pat, Pat::Ident(pat) if pat.mutability.is_some());
                out.push(match &*typed.ty {
                    Type::Reference(reference) => {
                        let writes = reference.mutability.is_some();
                        let by = if writes { By::RefMut } else { By::Ref };
                        Parameter {
                            ty: (*reference.elem).clone(),
                            by,
                            writes,
                        }
                    }
                    ty => Parameter {
                        ty: ty.clone(),
                        by: By::Value,
                        writes: mutable,
                    },
                });
            }
        }
    }
    out
}

/// The argument of a call, from the variable that holds what was made for a parameter.
pub fn argument(by: By, variable: &Ident) -> TokenStream {
    match by {
        By::Value => quote!(#variable),
        By::Ref => quote!(&#variable),
        By::RefMut => quote!(&mut #variable),
    }
}

/// Whether nothing can go to a sink, as far as the text says.
pub fn returns_nothing(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

/// Whether a type is written with this name: `Table<..>`, `stream_runtime::Table<..>`.
pub fn is_called(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// Tells if a first parameter takes the `Option` of a record: `Option<..>`, `Event<Option<..>>`, `Stream<Option<..>>`.
pub fn takes_option(ty: &Type) -> bool {
    if let Type::Reference(reference) = ty {
        return takes_option(&reference.elem);
    }
    if is_called(ty, "Option") {
        return true;
    }
    let (true, Type::Path(path)) = (is_called(ty, "Event") || is_called(ty, "Stream"), ty) else {
        return false;
    };
    let last = path.path.segments.last().map(|last| &last.arguments);
    let Some(syn::PathArguments::AngleBracketed(arguments)) = last else {
        return false;
    };
    matches!(arguments.args.first(), Some(syn::GenericArgument::Type(of)) if is_called(of, "Option"))
}

/// Notes parameters that never leave the stream thread: beside it, each would be an error about `Send` too.
pub fn refuse_handles(parameters: &[Parameter], takes: &str, errors: &Errors) {
    for parameter in parameters {
        let handle = ["Table", "Topic", "Stream"].into_iter().find(|name| {
            is_called(&parameter.ty, name)
                && matches!(&parameter.ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| !last.arguments.is_none()))
        });
        if let Some(handle) = handle {
            errors.on(
                &parameter.ty,
                format!("a `{handle}` stays with the agents of its partition: {takes}"),
            );
        }
    }
}

fn refuse_impl(ty: &Type, cure: &str, errors: &Errors) {
    struct Find<'a>(&'a str, &'a Errors);
    impl VisitMut for Find<'_> {
        fn visit_type_impl_trait_mut(&mut self, ty: &mut syn::TypeImplTrait) {
            self.1.push(syn::Error::new(
                ty.impl_token.span(),
                format!("`impl` is not a type that can be asked for: {}", self.0),
            ));
        }
    }
    Find(cure, errors).visit_type_mut(&mut ty.clone());
}
