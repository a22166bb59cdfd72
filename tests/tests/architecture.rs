//! The rules of the crates' structure: modules form layers, and an import only ever points down.

use std::collections::{BTreeMap, BTreeSet};
use tests::structure::{BANNED, CRATES, banned, circles, circles_of, files, imports, structs};

/// The top-level modules of stream-runtime from the lowest up, one a layer. `lib.rs` sees everything.
const LAYERS: [&str; 23] = [
    "mutants",
    "clock",
    "duration",
    "sync",
    "error",
    "key",
    "codec",
    "window",
    "record",
    "schedule",
    "topology",
    "kafka",
    "store",
    "table",
    "task",
    "handler",
    "worker",
    "producer",
    "background",
    "web",
    "app",
    "cli",
    "testing",
];

/// Modules that may name `kafka`.
const NAME_KAFKA: [&str; 5] = ["worker", "producer", "web", "app", "cli"];

/// Groups of files that name each other and may: a parent and a child, or an `impl` block beside its type.
const ALLOWED: [&[&str]; 9] = [
    &[
        "cli::dead_letters",
        "cli::dead_letters::list",
        "cli::dead_letters::resend",
        "cli::dead_letters::show",
    ],
    &["app", "app::only"],
    &["groups", "groups::store"],
    &["key", "key::text"],
    &["record", "record::shape"],
    &["store::sled", "store::sled::opening"],
    // A kind of table names its partition, which is one of a table.
    &["table::spec", "table::typed"],
    &["topology::lock", "topology::lock::types"],
    &["transactions", "transactions::store"],
];

/// Descriptors: the macros write all of their fields, and nobody else.
const FILLED_BY_MACROS: [&str; 1] = ["TableDescriptor"];

#[test]
fn no_module_imports_a_higher_one() {
    let layer = |name: &str| LAYERS.iter().position(|layer| *layer == top(name));
    let mut wrong = BTreeSet::new();
    for (file, targets) in imports("stream-runtime") {
        let Some(own) = layer(&file) else {
            wrong.insert(format!("`{file}` is in no layer"));
            continue;
        };
        for target in targets {
            let why = match layer(&target) {
                Some(other) if other <= own => continue,
                Some(_) => "of a higher layer",
                None => "which is in no layer",
            };
            wrong.insert(format!("`{file}` imports `{target}`, {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", lines(wrong));
}

#[test]
fn files_import_each_other_in_no_circle() {
    let allowed = |circle: &[String]| ALLOWED.iter().any(|group| *group == circle);
    let mut found = BTreeSet::new();
    for package in CRATES {
        let circles = circles(package)
            .into_iter()
            .filter(|circle| !allowed(circle));
        found.extend(circles.map(|circle| format!("{package}: {}", circle.join(" "))));
    }
    assert!(found.is_empty(), "{}", lines(found));
}

#[test]
fn no_struct_has_more_than_sixteen_fields() {
    let large = CRATES
        .iter()
        .flat_map(|package| structs(package))
        .filter(|one| one.fields > 16);
    let large = large.filter(|one| !FILLED_BY_MACROS.contains(&one.name.as_str()));
    let large: BTreeSet<String> = large
        .map(|one| format!("{}::{}: {}", one.file, one.name, one.fields))
        .collect();
    assert!(large.is_empty(), "{}", lines(large));
}

#[test]
fn top_level_modules_import_each_other_in_no_circle() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, targets) in imports("stream-runtime") {
        let own = arrows.entry(top(&file).to_owned()).or_default();
        own.extend(targets.iter().map(|target| top(target).to_owned()));
    }
    for (name, targets) in &mut arrows {
        targets.remove(name);
    }
    assert_eq!(circles_of(&arrows), Vec::<Vec<String>>::new());
}

#[test]
fn only_these_modules_name_kafka() {
    let mut wrong = BTreeSet::new();
    for (file, targets) in imports("stream-runtime") {
        let own = top(&file);
        if own != "kafka"
            && !NAME_KAFKA.contains(&own)
            && targets.iter().any(|it| top(it) == "kafka")
        {
            wrong.insert(file);
        }
    }
    assert!(wrong.is_empty(), "{}", lines(wrong));
}

#[test]
fn only_the_module_kafka_names_rdkafka() {
    for file in files("stream-runtime") {
        let names = file.text().contains("rdkafka::") || file.text().contains("rdkafka_sys");
        assert!(
            !names || file.top() == "kafka",
            "{} names the client library",
            file.path.display()
        );
    }
}

#[test]
fn unsafe_code_is_in_one_file_of_the_module_kafka() {
    let files = files("stream-runtime");
    let allowed = files
        .iter()
        .filter(|file| file.text().contains("#![allow(unsafe_code)]"));
    let allowed: Vec<String> = allowed.map(|file| file.name()).collect();
    assert!(allowed.len() <= 1, "unsafe code is allowed in {allowed:?}");
    assert!(
        allowed.iter().all(|name| top(name) == "kafka"),
        "unsafe code is allowed in {allowed:?}"
    );
}

#[test]
fn the_field_s_words_are_used() {
    let instead = |word: &str| BANNED.iter().find(|(it, _)| *it == word).map(|(_, it)| *it);
    let mut found = BTreeSet::new();
    for package in CRATES {
        for (word, count) in banned(package) {
            let instead = instead(word).unwrap_or_default();
            found.insert(format!("{package}: `{word}` {count} times; say: {instead}"));
        }
    }
    assert!(found.is_empty(), "{}", lines(found));
}

#[test]
fn every_file_is_a_module_of_its_parent() {
    let mut dead = BTreeSet::new();
    for package in CRATES {
        let files = files(package);
        for file in files.iter().filter(|file| !file.module.is_empty()) {
            let (name, above) = file.module.split_last().unwrap();
            let parent = files.iter().find(|it| it.module == above);
            let is_named = |text: String| text.contains(&format!("mod {name};"));
            if !parent.is_some_and(|parent| is_named(parent.text())) {
                dead.insert(file.path.display().to_string());
            }
        }
    }
    assert!(dead.is_empty(), "{}", lines(dead));
}

fn top(name: &str) -> &str {
    name.split("::").next().unwrap_or(name)
}

fn lines(wrong: BTreeSet<String>) -> String {
    wrong.into_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn comments_fit_in_120_characters() {
    let mut long = Vec::new();
    for file in CRATES.iter().flat_map(|package| files(package)) {
        for (at, line) in file.text().lines().enumerate() {
            let comment = line.trim_start();
            let Some(text) = comment.strip_prefix("//") else {
                continue;
            };
            let text = text.trim_start_matches(['/', '!', ' ']);
            // A row of a table cannot be broken, and what an example hides nobody reads.
            let exempt = text.starts_with('|') || text.starts_with('#');
            if line.chars().count() > 120 && !exempt {
                long.push(format!("{}:{}", file.path.display(), at + 1));
            }
        }
    }
    assert!(long.is_empty(), "break these comments: {long:#?}");
}
