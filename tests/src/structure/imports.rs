//! Which file imports which, and the circles among them.

use super::{File, files};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// Returns the files that each file of a crate names, by module path: in `use`, or in a path from the crate's root or
/// from a parent, through what parents re-export. Tests are left out, and what `lib.rs` names.
pub fn imports(package: &str) -> BTreeMap<String, BTreeSet<String>> {
    let files = files(package);
    let names: BTreeSet<Vec<String>> = files.iter().map(|file| file.module.clone()).collect();
    let mut exports = BTreeMap::new();
    for file in files.iter().filter(|file| is_parent(file)) {
        exports_of(file, &mut exports);
    }
    let mut all = BTreeMap::new();
    for file in files.iter().filter(|file| !file.module.is_empty()) {
        let mut reader = Reader {
            module: file.module.clone(),
            depth: file.module.len(),
            is_mod: is_parent(file),
            found: BTreeSet::new(),
        };
        reader.visit_file(&file.parse());
        let found = reader.found.iter();
        let mut targets: BTreeSet<String> = found
            .filter_map(|path| resolved(path, &names, &exports))
            .filter(|target| !target.is_empty())
            .map(|target| target.join("::"))
            .collect();
        targets.remove(&file.name());
        all.insert(file.name(), targets);
    }
    all
}

/// What a module offers of its children: the module and the name, and the path that it stands for.
type Exports = BTreeMap<(Vec<String>, String), Vec<String>>;

fn exports_of(file: &File, exports: &mut Exports) {
    fn collect(module: &[String], before: &[String], tree: &syn::UseTree, exports: &mut Exports) {
        let mut add = |name: &syn::Ident, of: &syn::Ident| {
            let path = [module, before, &[of.to_string()]].concat();
            exports.insert((module.to_vec(), name.to_string()), path);
        };
        match tree {
            syn::UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                collect(module, &before, &path.tree, exports);
            }
            syn::UseTree::Name(name) => add(&name.ident, &name.ident),
            syn::UseTree::Rename(name) => add(&name.rename, &name.ident),
            syn::UseTree::Glob(_) => {}
            syn::UseTree::Group(group) => {
                let each = |tree| collect(module, before, tree, exports);
                group.items.iter().for_each(each);
            }
        }
    }
    for item in file.parse().items {
        if let syn::Item::Use(item) = item
            && is_own(&item.tree)
            && !is_test(&item.attrs)
        {
            collect(&file.module, &[], &item.tree, exports);
        }
    }
}

/// Returns whether a `use` in a parent names one of its children.
fn is_own(tree: &syn::UseTree) -> bool {
    let syn::UseTree::Path(path) = tree else {
        return false;
    };
    let first = path.ident.to_string();
    !["crate", "super", "self", "stream_runtime", "std"].contains(&first.as_str())
}

/// Returns the module of the file that a path leads to.
fn resolved(
    path: &[String],
    names: &BTreeSet<Vec<String>>,
    exports: &Exports,
) -> Option<Vec<String>> {
    let mut path = path.to_vec();
    // A name that is handed on from parent to parent, at most so often.
    for _ in 0..8 {
        let len = (0..=path.len())
            .rev()
            .find(|len| names.contains(&path[..*len]))?;
        let Some(next) = path.get(len) else {
            return Some(path);
        };
        match exports.get(&(path[..len].to_vec(), next.clone())) {
            Some(target) if target[..] != path[..=len] => {
                path = [&target[..], &path[len + 1..]].concat();
            }
            _ => return Some(path[..len].to_vec()),
        }
    }
    None
}

fn is_parent(file: &File) -> bool {
    file.path.file_name().is_some_and(|name| name == "mod.rs")
        || file.path.with_extension("").is_dir()
}

/// Reads the paths of a file.
struct Reader {
    module: Vec<String>,
    /// How deep the file's own module is; inline modules lie deeper.
    depth: usize,
    is_mod: bool,
    found: BTreeSet<Vec<String>>,
}

impl Reader {
    /// Takes a path that begins at the crate's root, at a parent, or in a parent file at a child.
    fn path(&mut self, segments: &[String]) {
        let mut from = match segments.first().map(String::as_str) {
            Some("crate" | "stream_runtime") => Vec::new(),
            Some("super" | "self") => self.module.clone(),
            // `child::Item` in the file of its parent.
            Some(_) if self.is_mod && self.module.len() == self.depth => {
                let mut path = self.module.clone();
                path.extend(segments.iter().cloned());
                self.found.insert(path);
                return;
            }
            _ => return,
        };
        let mut rest = segments;
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "super" => drop(from.pop()),
                "crate" | "self" | "stream_runtime" => {}
                _ => break,
            }
            rest = tail;
        }
        from.extend(rest.iter().cloned());
        if !from.is_empty() {
            self.found.insert(from);
        }
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.path(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.path(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.tree(before, tree));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(it) => &it.attrs,
            syn::Item::Use(it) => &it.attrs,
            syn::Item::Fn(it) => &it.attrs,
            syn::Item::Impl(it) => &it.attrs,
            _ => &Vec::new(),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        // What a parent re-exports of its children makes no arrow.
        let handed_on =
            self.is_mod && is_own(&item.tree) && !matches!(item.vis, syn::Visibility::Inherited);
        if !handed_on {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if segments.len() > 1 {
            self.path(&segments);
        }
        visit::visit_path(self, path);
    }
}

/// Returns whether one of the attributes is `#[cfg(test)]` or names tests within `any`.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        list.path.is_ident("cfg")
            && list
                .tokens
                .to_string()
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == "test")
    })
}

/// Returns the circles among the files of a crate: the groups of more than one whose arrows lead back to each.
pub fn circles(package: &str) -> Vec<Vec<String>> {
    circles_of(&imports(package))
}

/// Returns the groups of more than one name whose arrows lead back to each, in order.
pub fn circles_of(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = arrows
        .keys()
        .map(|from| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                for to in arrows.get(at).into_iter().flatten() {
                    if seen.insert(to) {
                        next.push(to);
                    }
                }
            }
            (from, seen)
        })
        .collect();
    let mut groups = BTreeSet::new();
    for (from, seen) in &reach {
        let group: Vec<String> = seen
            .iter()
            .filter(|to| reach.get(*to).is_some_and(|back| back.contains(from)))
            .map(|to| (*to).clone())
            .collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(all: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let name = |it: &&str| (*it).to_owned();
        all.iter()
            .map(|(from, to)| (name(from), to.iter().map(name).collect()))
            .collect()
    }

    #[test]
    fn a_circle_is_what_leads_back() {
        let some = arrows(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a", "d"]),
            ("d", &["e"]),
            ("e", &[]),
        ]);
        assert_eq!(circles_of(&some), [["a", "b", "c"]]);
        assert!(circles_of(&arrows(&[("a", &["b"]), ("b", &[])])).is_empty());
    }

    #[test]
    fn paths_of_every_form_are_read() {
        let text = r#"
            use crate::worker::Thread;
            use super::{sibling::Row, other};
            fn f() { crate::kafka::consumer(); super::super::topology::plan(); }
            mod inner { fn g() { super::super::near::h(); } }
            #[cfg(test)] mod tests { use crate::prelude::*; }
        "#;
        let mut reader = Reader {
            module: vec!["task".into(), "journal".into()],
            depth: 2,
            is_mod: false,
            found: BTreeSet::new(),
        };
        reader.visit_file(&syn::parse_file(text).unwrap());
        let found: Vec<String> = reader.found.iter().map(|path| path.join("::")).collect();
        let expected = [
            "kafka::consumer",
            "task::near::h",
            "task::other",
            "task::sibling::Row",
            "topology::plan",
            "worker::Thread",
        ];
        assert_eq!(found, expected);
    }
}
