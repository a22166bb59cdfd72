//! What documents say of the source: the page of each attribute names every option that it takes, and what contributors
//! read names files that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Expr, ExprArray, ExprStruct, Lit, Member};
use tests::structure::{files, source};

/// An option of an attribute.
struct Legal {
    name: String,
    /// It may stand without a value.
    flag: bool,
}

/// The options of each attribute, as the macros' source declares them: `Spec { attribute: "#[..]", legal: &[..], .. }`.
#[derive(Default)]
struct Specs(BTreeMap<String, Vec<Legal>>);

impl<'ast> Visit<'ast> for Specs {
    fn visit_expr_struct(&mut self, item: &'ast ExprStruct) {
        if item.path.is_ident("Spec") {
            let attribute = text(field(item, "attribute"));
            let legal = list(field(item, "legal"));
            let legal = legal.elems.iter().map(legal_option).collect();
            let twice = self.0.insert(attribute.clone(), legal);
            assert!(twice.is_none(), "{attribute} is declared twice");
        }
        visit::visit_expr_struct(self, item);
    }
}

fn field<'a>(item: &'a ExprStruct, name: &str) -> &'a Expr {
    let is_it = |member: &Member| matches!(member, Member::Named(ident) if ident == name);
    let found = item.fields.iter().find(|field| is_it(&field.member));
    &found
        .unwrap_or_else(|| panic!("a `Spec` without `{name}`"))
        .expr
}

fn text(expr: &Expr) -> String {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => text.value(),
            _ => panic!("not a text"),
        },
        _ => panic!("not a literal"),
    }
}

/// Returns the elements of `&[..]`.
fn list(expr: &Expr) -> &ExprArray {
    match expr {
        Expr::Reference(reference) => list(&reference.expr),
        Expr::Array(array) => array,
        _ => panic!("not a list"),
    }
}

/// Reads `("name", Kind::Of)`.
fn legal_option(expr: &Expr) -> Legal {
    let Expr::Tuple(pair) = expr else {
        panic!("an option is not a pair of name and kind");
    };
    let last = |path: &syn::Path| path.segments.last().map(|part| part.ident.to_string());
    let kind = match pair.elems.last() {
        Some(Expr::Path(kind)) => last(&kind.path),
        _ => None,
    };
    Legal {
        name: text(&pair.elems[0]),
        flag: kind.as_deref() == Some("Flag"),
    }
}

/// Returns the page of an attribute, such as `#[table]`.
fn page(attribute: &str) -> String {
    let pages = match attribute {
        "#[field]" => vec!["record"],
        // A join takes the options of an agent beside its own, and its page says so.
        "#[join]" => vec!["join", "agent"],
        other => vec![other.trim_start_matches("#[").trim_end_matches(']')],
    };
    let docs = source("stream-runtime").join("docs");
    let read = |name: &str| {
        let file = docs.join(name).with_extension("md");
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    pages.into_iter().map(read).collect()
}

#[test]
fn every_option_is_on_the_page_of_its_attribute() {
    let mut specs = Specs::default();
    for file in files("stream-macros") {
        specs.visit_file(&file.parse());
    }
    let lib = fs::read_to_string(source("stream-macros").join("lib.rs")).unwrap();
    // `#[field]` is read by `#[record]` and `#[table]`, and is not an attribute macro itself.
    // Those that stand where a feature is missing take no options.
    let stand_ins = lib.matches("pub fn without_").count();
    let attributes = lib.matches("#[proc_macro_attribute]").count() - stand_ins + 1;
    assert_eq!(specs.0.len(), attributes, "{:?}", specs.0.keys());
    let mut missing = Vec::new();
    for (attribute, legal) in &specs.0 {
        let page = page(attribute);
        for option in legal {
            let with_value = format!("`{} = ", option.name);
            let alone = format!("`{}`", option.name);
            if !(page.contains(&with_value) || option.flag && page.contains(&alone)) {
                missing.push(format!("{attribute}: {}", option.name));
            }
        }
    }
    assert!(missing.is_empty(), "not in the documentation: {missing:#?}");
}

/// What contributors read, from the root of the repository.
const DOCUMENTS: [&str; 3] = [
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the lines of a document that are not in a block of code.
fn prose(document: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Returns whether a word in backticks is the path of a file or a directory.
fn is_path(word: &str) -> bool {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let ends = ["/", ".rs", ".md", ".toml", ".json"];
    word.contains('/')
        && !word.starts_with('/')
        && word.chars().all(of_path)
        && ends.iter().any(|end| word.ends_with(end))
}

#[test]
fn files_that_documents_name_exist() {
    // Paths without a crate are those of the runtime.
    let roots = [root(), source("stream-runtime")];
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        for line in prose(document) {
            let words = line.split('`').skip(1).step_by(2);
            for word in words.filter(|word| is_path(word)) {
                if !roots.iter().any(|root| root.join(word).exists()) {
                    missing.push(format!("{document}: {word}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "no such files: {missing:#?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut missing = Vec::new();
    let more = ["README.md", "CHANGELOG.md", "docs/design.md"];
    for document in DOCUMENTS.into_iter().chain(more) {
        let file = root().join(document);
        for line in prose(document) {
            for link in line.split("](").skip(1) {
                let target = link.split([')', '#']).next().unwrap_or_default();
                let is_here = !target.is_empty() && !target.contains("://");
                if is_here && !file.with_file_name(target).exists() {
                    missing.push(format!("{document}: {target}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "links to nothing: {missing:#?}");
}

/// Returns the numbered sentences of docs/design.md: `G3` and the text.
fn guarantees() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/design.md")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("* **G"));
    let split = |line: &str| {
        let (number, sentence) = line.split_once(".** ").unwrap();
        (format!("G{number}"), sentence.to_owned())
    };
    lines.map(split).collect()
}

/// Adds the comments of a directory's tests that quote a guarantee: `// G3: ..`, in the lines above a test.
fn quoted(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            quoted(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut lines = text.lines().map(str::trim).peekable();
            while let Some(line) = lines.next() {
                let quote = line.strip_prefix("// ").filter(|it| it.starts_with('G'));
                let Some(quote) = quote else {
                    continue;
                };
                let mut quote = quote.to_owned();
                while let Some(more) = lines.next_if(|line| line.starts_with("// ")) {
                    quote.push_str(more.trim_start_matches('/'));
                }
                let next = lines.peek().copied().unwrap_or_default();
                if next.starts_with("#[test") || next.starts_with("///") {
                    found.push(quote);
                }
            }
        }
    }
}

#[test]
fn every_guarantee_is_quoted_at_its_test() {
    let mut found = Vec::new();
    for dir in ["stream-runtime/src", "tests/tests/end_to_end"] {
        quoted(&root().join(dir), &mut found);
    }
    let guarantees = guarantees();
    assert!(guarantees.len() > 10, "docs/design.md has no guarantees");
    for (at, (number, sentence)) in guarantees.iter().enumerate() {
        assert_eq!(*number, format!("G{}", at + 1));
        let quote = format!("{number}: {sentence}");
        assert!(found.contains(&quote), "no test says `// {quote}` above it");
    }
}
