//! Structs, functions and public items of a crate.

use super::imports::is_test;
use super::{File, files, source};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A struct with named fields.
#[derive(Debug, Clone)]
pub struct Struct {
    pub file: String,
    pub name: String,
    pub fields: usize,
}

/// A function or method.
#[derive(Debug, Clone)]
pub struct Function {
    pub file: String,
    pub name: String,
    /// From its signature to its last brace.
    pub lines: usize,
    /// Without `self`.
    pub arguments: usize,
}

/// Returns the structs of a crate, tests left out.
pub fn structs(package: &str) -> Vec<Struct> {
    items(package).0
}

/// Returns the functions and methods of a crate, tests left out.
pub fn functions(package: &str) -> Vec<Function> {
    items(package).1
}

fn items(package: &str) -> (Vec<Struct>, Vec<Function>) {
    let mut all = Items::default();
    for file in files(package) {
        all.file = file.name();
        all.visit_file(&file.parse());
    }
    (all.structs, all.functions)
}

#[derive(Default)]
struct Items {
    file: String,
    structs: Vec<Struct>,
    functions: Vec<Function>,
}

impl Items {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let inputs = signature.inputs.iter();
        self.functions.push(Function {
            file: self.file.clone(),
            name: signature.ident.to_string(),
            lines: block.span().end().line + 1 - first,
            arguments: inputs
                .filter(|it| matches!(it, syn::FnArg::Typed(_)))
                .count(),
        });
    }
}

impl<'ast> Visit<'ast> for Items {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.structs.push(Struct {
            file: self.file.clone(),
            name: item.ident.to_string(),
            fields: item.fields.len(),
        });
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

/// Returns the public items of a crate whose documentation has no example: what `lib.rs` and the modules that are
/// public there offer, with the methods of those types. What is hidden from the documentation is left out.
pub fn undocumented(package: &str) -> Vec<String> {
    let root =
        syn::parse_file(&std::fs::read_to_string(source(package).join("lib.rs")).unwrap()).unwrap();
    let mut offered = BTreeSet::new();
    offers(&root.items, &mut offered);
    let mut missing = BTreeSet::new();
    for file in files(package) {
        look(&file, &offered, &mut missing);
    }
    missing.into_iter().collect()
}

/// Collects the names that public `use` items name.
fn offers(items: &[syn::Item], found: &mut BTreeSet<String>) {
    for item in items {
        match item {
            syn::Item::Use(it) if is_offered(&it.vis, &it.attrs) => names(&it.tree, found),
            syn::Item::Mod(it) if is_offered(&it.vis, &it.attrs) => {
                if let Some((_, items)) = &it.content {
                    offers(items, found);
                }
            }
            _ => {}
        }
    }
}

fn names(tree: &syn::UseTree, found: &mut BTreeSet<String>) {
    match tree {
        syn::UseTree::Path(path) => names(&path.tree, found),
        syn::UseTree::Name(name) => drop(found.insert(name.ident.to_string())),
        syn::UseTree::Rename(name) => drop(found.insert(name.ident.to_string())),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, found)),
        syn::UseTree::Glob(_) => {}
    }
}

fn is_offered(visibility: &syn::Visibility, attributes: &[syn::Attribute]) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
        && !is_test(attributes)
        && !is_hidden(attributes)
}

fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|it| match &it.meta {
        syn::Meta::List(list) => it.path().is_ident("doc") && list.tokens.to_string() == "hidden",
        _ => false,
    })
}

fn has_example(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|it| {
        let syn::Meta::NameValue(pair) = &it.meta else {
            return false;
        };
        let included = matches!(&pair.value, syn::Expr::Macro(_));
        let text = match &pair.value {
            syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(text),
                ..
            }) => text.value(),
            _ => String::new(),
        };
        it.path().is_ident("doc") && (included || text.contains("```"))
    })
}

fn look(file: &File, offered: &BTreeSet<String>, missing: &mut BTreeSet<String>) {
    let mut say = |name: String, attributes: &[syn::Attribute]| {
        if !has_example(attributes) {
            missing.insert(name);
        }
    };
    for item in file.parse().items {
        match &item {
            syn::Item::Struct(it)
                if offered.contains(&it.ident.to_string()) && is_offered(&it.vis, &it.attrs) =>
            {
                say(it.ident.to_string(), &it.attrs);
            }
            syn::Item::Enum(it)
                if offered.contains(&it.ident.to_string()) && is_offered(&it.vis, &it.attrs) =>
            {
                say(it.ident.to_string(), &it.attrs);
            }
            syn::Item::Trait(it)
                if offered.contains(&it.ident.to_string()) && is_offered(&it.vis, &it.attrs) =>
            {
                say(it.ident.to_string(), &it.attrs);
            }
            syn::Item::Fn(it)
                if offered.contains(&it.sig.ident.to_string())
                    && is_offered(&it.vis, &it.attrs) =>
            {
                say(it.sig.ident.to_string(), &it.attrs);
            }
            syn::Item::Impl(it) if it.trait_.is_none() && !is_test(&it.attrs) => {
                let syn::Type::Path(path) = &*it.self_ty else {
                    continue;
                };
                let Some(last) = path.path.segments.last() else {
                    continue;
                };
                let name = last.ident.to_string();
                if !offered.contains(&name) {
                    continue;
                }
                for inner in &it.items {
                    if let syn::ImplItem::Fn(method) = inner
                        && is_offered(&method.vis, &method.attrs)
                    {
                        say(format!("{name}::{}", method.sig.ident), &method.attrs);
                    }
                }
            }
            _ => {}
        }
    }
}
