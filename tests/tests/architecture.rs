//! The house rules of stream-runtime: rooms lie on floors, and an arrow only ever points down.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. `lib.rs`, `prelude` and `__private` are the roof: they see everything.
const FLOORS: [&[&str]; 7] = [
    &[
        "record", "codec", "window", "key", "duration", "schedule", "error", "mutants",
    ],
    &["topology"],
    &["table", "store"],
    &["task"],
    &["kafka"],
    &["worker"],
    &["app", "beside", "cli", "web", "testing"],
];
const ROOF: usize = FLOORS.len();

fn floor(room: &str) -> Option<usize> {
    if ["prelude", "__private"].contains(&room) {
        return Some(ROOF);
    }
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn no_room_imports_a_higher_one() {
    let exports = exports();
    let mut wrong = BTreeSet::new();
    for (file, module) in files() {
        let room = &module[0];
        let Some(own) = floor(room) else {
            wrong.insert(format!(
                "{}: the room `{room}` lies on no floor",
                file.display()
            ));
            continue;
        };
        let mut imports = BTreeSet::new();
        imports_of(parse(&file), &module, &mut imports);
        for name in imports {
            // An attribute may be named as a room is: the room is meant.
            let target = if floor(&name).is_some() {
                &name
            } else {
                exports.get(&name).unwrap_or(&name)
            };
            match floor(target) {
                Some(other) if other <= own => {}
                Some(other) => {
                    let place = if other == ROOF {
                        "the roof".into()
                    } else {
                        format!("floor {other}")
                    };
                    let told = format!("floor {own} imports `crate::{name}` of {place}");
                    wrong.insert(format!("{}: {told}", file.display()));
                }
                None => {
                    wrong.insert(format!("{}: `crate::{name}` names no room", file.display()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows must point down:\n{}",
        wrong.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn only_the_room_kafka_names_rdkafka() {
    for (file, module) in files() {
        if module[0] != "kafka" {
            let named = idents(parse(&file))
                .into_iter()
                .find(|name| name.starts_with("rdkafka"));
            assert_eq!(named, None, "{} names the client library", file.display());
        }
    }
}

#[test]
fn unsafe_code_is_in_one_module_of_the_room_kafka() {
    let allowed: Vec<PathBuf> = files()
        .into_iter()
        .filter(|(file, _)| idents(parse(file)).contains("unsafe_code"))
        .map(|(file, _)| file)
        .collect();
    assert!(allowed.len() <= 1, "unsafe code is allowed in {allowed:?}");
    assert!(
        allowed
            .iter()
            .all(|file| file.starts_with(source().join("kafka"))),
        "unsafe code is allowed in {allowed:?}"
    );
}

#[test]
fn finds_every_way_to_name_a_room() {
    let text = r#"
        use crate::worker::Thread;
        use crate::{cli, table::{Row, Key}, Error};
        fn f() { let x = crate::kafka::consumer(); println!("{}", super::super::topology::plan()); }
        mod inner { use super::super::super::store; use super::sibling; fn g() { stream_runtime::window::size() } }
        // crate::commented
        const S: &str = "crate::quoted";
        #[cfg(test)] mod tests { use crate::prelude::*; }
        #[cfg(test)] use crate::testing;
        macro_rules! m { () => { $crate::app::App::new() } }
    "#;
    let mut found = BTreeSet::new();
    imports_of(
        text.parse().unwrap(),
        &["task".into(), "journal".into()],
        &mut found,
    );
    let expected = [
        "Error", "cli", "kafka", "store", "table", "topology", "window", "worker",
    ];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stream-runtime/src")
}

/// Every source file but `lib.rs`, with its module path.
fn files() -> Vec<(PathBuf, Vec<String>)> {
    fn walk(dir: &Path, module: &[String], found: &mut Vec<(PathBuf, Vec<String>)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let mut module = module.to_vec();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                module.push(stem);
                walk(&path, &module, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                if stem != "mod" && !(stem == "lib" && module.is_empty()) {
                    module.push(stem);
                }
                // A room's tests may stand on the roof.
                if !module.is_empty() && !module.iter().any(|part| part == "tests") {
                    found.push((path, module));
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&source(), &[], &mut found);
    assert!(
        found.len() > 3,
        "the runtime's sources are not where they are looked for"
    );
    found.sort();
    found
}

fn parse(file: &Path) -> TokenStream {
    let text = fs::read_to_string(file).unwrap();
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What `lib.rs` re-exports at the crate's root, and of which room it is.
fn exports() -> BTreeMap<String, String> {
    let tokens: Vec<TokenTree> = parse(&source().join("lib.rs")).into_iter().collect();
    let mut exports = BTreeMap::new();
    for (ix, token) in tokens.iter().enumerate() {
        if is(token, "use") {
            let Some(TokenTree::Ident(room)) = tokens.get(ix + 1) else {
                continue;
            };
            let rest = tokens[ix + 2..]
                .iter()
                .take_while(|token| !is(token, ";"))
                .cloned();
            for name in idents(rest.collect()) {
                exports.insert(name, room.to_string());
            }
        }
    }
    exports
}

fn is(token: &TokenTree, text: &str) -> bool {
    token.to_string() == text
}

fn idents(tokens: TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for token in tokens {
        match token {
            TokenTree::Ident(name) => drop(found.insert(name.to_string())),
            TokenTree::Group(group) => found.extend(idents(group.stream())),
            _ => {}
        }
    }
    found
}

/// The first name of every path that starts at the crate's root, in the module `module`, tests left out.
fn imports_of(tokens: TokenStream, module: &[String], found: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut ix = 0;
    while ix < tokens.len() {
        if is_cfg_test(&tokens[ix..]) {
            ix = end_of_item(&tokens, ix + 2);
            continue;
        }
        if ix > 0 && is(&tokens[ix - 1], "$") {
            // `$crate`: what a macro writes into another crate's code.
            ix += 1;
            continue;
        }
        let after = path_to_root(&tokens[ix..], module.len());
        if after > 0 {
            first_names(&tokens[ix + after..], found);
            ix += after;
            continue;
        }
        if let TokenTree::Group(group) = &tokens[ix] {
            let inline =
                ix >= 2 && is(&tokens[ix - 2], "mod") && group.delimiter() == Delimiter::Brace;
            let mut inner = module.to_vec();
            if inline {
                inner.push(tokens[ix - 1].to_string());
            }
            imports_of(group.stream(), &inner, found);
        }
        ix += 1;
    }
}

/// Length of `crate::`, `stream_runtime::` or as many `super::` as lead to the root, else 0.
fn path_to_root(tokens: &[TokenTree], depth: usize) -> usize {
    let colons =
        |at: usize| tokens.len() > at + 1 && is(&tokens[at], ":") && is(&tokens[at + 1], ":");
    if (is(&tokens[0], "crate") || is(&tokens[0], "stream_runtime")) && colons(1) {
        return 3;
    }
    let mut supers = 0;
    while tokens
        .get(supers * 3)
        .is_some_and(|token| is(token, "super"))
        && colons(supers * 3 + 1)
    {
        supers += 1;
    }
    if supers == depth { supers * 3 } else { 0 }
}

/// `a` of `a::b`, or each of `{a::b, c}`.
fn first_names(tokens: &[TokenTree], found: &mut BTreeSet<String>) {
    match tokens.first() {
        Some(TokenTree::Ident(name)) => drop(found.insert(name.to_string())),
        Some(TokenTree::Group(group)) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            inner
                .split(|token| is(token, ","))
                .for_each(|part| first_names(part, found));
        }
        _ => {}
    }
}

fn is_cfg_test(tokens: &[TokenTree]) -> bool {
    let attribute = |token: &TokenTree| token.to_string().replace(' ', "") == "[cfg(test)]";
    is(&tokens[0], "#") && tokens.get(1).is_some_and(attribute)
}

/// The index after the item that starts at `from`: past its `;` or its braces.
fn end_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is(other, ";"),
    };
    let last = tokens[from..]
        .iter()
        .position(ends)
        .unwrap_or(tokens.len() - from - 1);
    // `use a::{b};` has braces before its end.
    let next = from + last + 1;
    if tokens.get(next).is_some_and(|token| is(token, ";")) {
        next + 1
    } else {
        next
    }
}
