//! What the compiler says, in the words that are the same on every machine and whatever else changes in the libraries.

use std::path::{Path, PathBuf};

/// So many types that implement a trait are listed; the others are counted by nobody.
const LISTED: usize = 8;

/// Where sources are on this machine.
pub struct Places {
    workspace: PathBuf,
    package: String,
    root: String,
}

impl Places {
    pub fn of(workspace: &Path, package: &Path) -> Self {
        Self {
            workspace: workspace.to_path_buf(),
            package: format!("{}/", package.display()),
            root: format!("{}/", workspace.display()),
        }
    }

    /// Returns the root of the workspace, from which cargo compiles its libraries.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Names a place `file:line:column`: in the program whole, elsewhere the file alone.
    fn named(&self, place: &str, program: &Path) -> (String, Where) {
        if let Some(inside) = place.strip_prefix(&*program.to_string_lossy()) {
            let file = program.to_string_lossy();
            let file = file.strip_prefix(&self.package).unwrap_or(&file);
            return (format!("{file}{inside}"), Where::Program);
        }
        let mut parts = place.rsplitn(3, ':');
        let file = parts.nth(2).unwrap_or(place);
        let inside = |before: &str| file.split_once(before).map(|(_, inside)| inside);
        let name = if let Some(inside) = file.strip_prefix(&self.root) {
            format!("$WORKSPACE/{inside}")
        } else if let Some((_, inside)) = inside("/registry/src/").and_then(|at| at.split_once('/'))
        {
            format!("$CARGO/{}", without_version(inside))
        } else if let Some(inside) = inside("/rustlib/src/rust/library/") {
            format!("$RUST/{inside}")
        } else if let Some((_, inside)) = file
            .strip_prefix("/rustc/")
            .and_then(|at| at.split_once("/library/"))
        {
            format!("$RUST/{inside}")
        } else if file.starts_with('/') {
            file.to_owned()
        } else {
            format!("$WORKSPACE/{file}")
        };
        (name, Where::Elsewhere)
    }

    /// Replaces places within a sentence.
    fn within(&self, line: &str) -> String {
        line.replace(&self.package, "$DIR/")
            .replace(&self.root, "$WORKSPACE/")
    }
}

#[derive(PartialEq)]
enum Where {
    Program,
    Elsewhere,
}

/// `name-1.2.3/src/lib.rs` with `$VERSION` for the numbers.
fn without_version(file: &str) -> String {
    let (package, inside) = file.split_once('/').unwrap_or((file, ""));
    let numbers = package.find('.').and_then(|dot| package[..dot].rfind('-'));
    let name = numbers.map_or(package, |dash| &package[..dash]);
    format!("{name}-$VERSION/{inside}")
}

/// Returns what is compared. Lines of libraries lose their numbers, and with them what these took of the margin.
pub fn portable(said: &str, places: &Places, program: &Path) -> String {
    let said = said.replace("\r\n", "\n");
    let diagnostics = said.split("\n\n").map(|diagnostic| {
        let lines = diagnostic.lines().filter(|line| !is_summary(line));
        let lines: Vec<&str> = lines.map(str::trim_end).collect();
        let lines = shorten(&without_numbers(&lines, places, program));
        let lines = narrow(&lines);
        lines
            .iter()
            .map(|line| places.within(line) + "\n")
            .collect::<String>()
    });
    let diagnostics: Vec<String> = diagnostics.filter(|text| !text.is_empty()).collect();
    diagnostics.join("\n")
}

fn is_summary(line: &str) -> bool {
    let text = line.trim_start();
    let text = text.strip_prefix("= note: ").unwrap_or(text);
    [
        "error: aborting due to ",
        "For more information about ",
        "Some errors have detailed explanations:",
        "the full type name has been written to",
        "the full name for the type has been written to",
    ]
    .iter()
    .any(|summary| text.starts_with(summary))
}

/// Names the places, and takes the line numbers away from sources that are not the program's.
fn without_numbers(lines: &[&str], places: &Places, program: &Path) -> Vec<String> {
    let mut elsewhere = false;
    let mut named = Vec::with_capacity(lines.len());
    for line in lines {
        let text = line.trim_start();
        let arrow = ["--> ", "::: "]
            .into_iter()
            .find(|arrow| text.starts_with(arrow));
        if let Some(arrow) = arrow {
            let (name, at) = places.named(&text[arrow.len()..], program);
            elsewhere = at == Where::Elsewhere;
            named.push(format!("{}{arrow}{name}", &line[..line.len() - text.len()]));
            continue;
        }
        elsewhere &= text.starts_with(|first: char| first.is_ascii_digit() || "|.".contains(first));
        let numbers = line.len() - line.trim_start_matches(is_margin).len();
        named.push(match elsewhere {
            true => format!("{}{}", " ".repeat(numbers), &line[numbers..]),
            false => (*line).to_owned(),
        });
    }
    named
}

fn is_margin(of: char) -> bool {
    of == ' ' || of.is_ascii_digit()
}

/// Leaves out what changes when some crate implements a trait for one more of its types.
fn shorten(lines: &[String]) -> Vec<String> {
    let mut short = Vec::with_capacity(lines.len());
    let mut listed = None;
    for (at, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.starts_with("= help: the following") && text.contains("types implement trait ") {
            listed = Some(0);
        } else if let Some(count) = listed.filter(|_| indent >= 12) {
            listed = Some(count + 1);
            let more = lines
                .get(at + 1)
                .is_some_and(|next| next.len() - next.trim_start().len() == indent);
            if count == LISTED && more {
                short.push(format!("{}and $N others", &line[..indent - 2]));
                continue;
            }
            if count > LISTED {
                continue;
            }
        } else {
            listed = None;
        }
        short.push(line.clone());
    }
    short
}

/// Takes what the numbers that are gone had taken from the margin, which is as wide as the longest of them.
fn narrow(lines: &[String]) -> Vec<String> {
    let width = lines.get(1).and_then(|line| {
        let text = line.trim_start();
        text.starts_with("--> ").then(|| line.len() - text.len())
    });
    let Some(width) = width else {
        return lines.to_vec();
    };
    let longest = lines.iter().filter(|line| in_margin(line)).map(|line| {
        let number = line.trim_start();
        number.len()
            - number
                .trim_start_matches(|digit: char| digit.is_ascii_digit())
                .len()
    });
    let less = width.saturating_sub(longest.max().unwrap_or(0).max(1));
    let mut text = false;
    let mut narrow = Vec::with_capacity(lines.len());
    for line in lines {
        // A note's second line stands under its first, not beside the margin.
        text = line.starts_with("note:")
            || line.starts_with("help:")
            || line == "..."
            || text && line.starts_with("      ");
        let spaces = line.len() - line.trim_start().len();
        let beside = !text && (in_margin(line) || line.starts_with("... ") || spaces > 10);
        let at = line.find(' ').filter(|_| beside);
        narrow.push(match at {
            Some(at) => format!("{}{}", &line[..at], &line[at + less..]),
            None => line.clone(),
        });
    }
    narrow
}

/// Tells source lines and what is said of them from other lines.
fn in_margin(line: &str) -> bool {
    let text = line.trim_start_matches(is_margin);
    let numbered = line
        .trim_start()
        .starts_with(|first: char| first.is_ascii_digit());
    let edge = text == "|"
        || ["| ", "= ", "--> ", "::: "]
            .iter()
            .any(|edge| text.starts_with(edge));
    let change = ["~", "+", "-"].iter().any(|change| {
        text == *change
            || text
                .strip_prefix(change)
                .is_some_and(|rest| rest.starts_with(' '))
    });
    text.len() < line.len() && (edge || numbered && change)
}
