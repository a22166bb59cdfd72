//! The files of a crate.

use super::source;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file with its module path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    pub path: PathBuf,
    /// Empty for `lib.rs`.
    pub module: Vec<String>,
}

impl File {
    /// Returns the module's path, as `task::inbox`; `lib` for `lib.rs`.
    pub fn name(&self) -> String {
        match self.module.is_empty() {
            true => "lib".to_owned(),
            false => self.module.join("::"),
        }
    }

    /// Returns the module that lies in the crate's root.
    pub fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// Returns the file's items.
    pub fn parse(&self) -> syn::File {
        syn::parse_file(&self.text())
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// Returns the file's text.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }
}

/// Returns the source files of a crate in the order of their paths, tests left out.
pub fn files(package: &str) -> Vec<File> {
    let mut found = Vec::new();
    walk(&source(package), &[], &mut found);
    assert!(found.len() > 3, "{package} is not where it is looked for");
    found.sort();
    found
}

fn walk(dir: &Path, module: &[String], found: &mut Vec<File>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mut module = module.to_vec();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_test = stem == "tests" || stem.ends_with("_tests");
        if is_test || stem == "docs" || stem == "bin" {
            continue;
        }
        if path.is_dir() {
            module.push(stem);
            walk(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if stem != "mod" && !(stem == "lib" && module.is_empty()) {
                module.push(stem);
            }
            found.push(File { path, module });
        }
    }
}

/// Returns how many lines a file has before its tests.
pub fn lines_without_tests(text: &str) -> usize {
    let tests = text.lines().position(|line| line == "#[cfg(test)]");
    tests.unwrap_or_else(|| text.lines().count())
}
