//! What `#[page]` registers.

use std::any::TypeId;
use std::collections::BTreeMap;
#[cfg(feature = "web")]
use std::future::Future;
#[cfg(feature = "web")]
use std::pin::Pin;

#[cfg(feature = "web")]
use axum::extract::Request;
#[cfg(feature = "web")]
use axum::response::Response;

#[cfg(feature = "web")]
use crate::background::BackgroundContext;
use crate::background::wire;
use crate::topology::{Edge, Problem, SourceLocation, TopicDescriptor, registry};

/// An answer on its way.
#[cfg(feature = "web")]
pub type PageFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A page of the worker.
pub struct PageDescriptor {
    /// The function's name.
    pub name: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// As axum has it: `/count/{word}`.
    pub path: &'static str,
    /// In capitals: `GET`.
    pub method: &'static str,
    /// What its parameters tie it to, in order.
    pub edges: &'static [fn() -> Option<Edge>],
    /// Answers a request.
    #[cfg(feature = "web")]
    pub call: fn(BackgroundContext, Request) -> PageFuture,
    /// Identity of the function item, for `App::only`.
    pub item: fn() -> TypeId,
}

registry::collected!(PageDescriptor);

impl PageDescriptor {
    /// The topics that it sends to.
    pub(crate) fn sends(&self) -> impl Iterator<Item = &'static TopicDescriptor> {
        let edges = self.edges.iter().filter_map(|edge| edge());
        edges.filter_map(|edge| match edge {
            Edge::Sends(topic) => Some(topic),
            _ => None,
        })
    }
}

/// Pages that are in each other's way: the same path and method twice, or `/{a}` beside `/{b}`.
pub(crate) fn problems(pages: &[&'static PageDescriptor]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<(&str, &str), &PageDescriptor> = BTreeMap::new();
    let mut paths: BTreeMap<String, &PageDescriptor> = BTreeMap::new();
    for page in pages {
        let shape = shape(page.path);
        if page.path.starts_with(wire::PREFIX) {
            problems.push(Problem {
                message: format!(
                    "page `{}` is at {}, where workers answer each other: give it another path",
                    page.name, page.path
                ),
                places: vec![page.place],
            });
        }
        if let Some(other) = seen.insert((page.path, page.method), page) {
            problems.push(Problem {
                message: format!(
                    "pages `{}` and `{}` are both {} {}",
                    other.name, page.name, page.method, page.path
                ),
                places: vec![other.place, page.place],
            });
        } else if let Some(other) = paths.get(&shape).filter(|other| other.path != page.path) {
            problems.push(Problem {
                message: format!(
                    "pages `{}` ({}) and `{}` ({}) have paths that cannot be told apart: name what is in braces alike",
                    other.name, other.path, page.name, page.path
                ),
                places: vec![other.place, page.place],
            });
        }
        paths.entry(shape).or_insert(page);
    }
    problems
}

/// A path without the names in its braces.
fn shape(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ if inside && c != '*' => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(
        name: &'static str,
        method: &'static str,
        path: &'static str,
    ) -> &'static PageDescriptor {
        Box::leak(Box::new(PageDescriptor {
            name,
            place: SourceLocation {
                module: "m",
                file: "f.rs",
                line: 1,
            },
            path,
            method,
            edges: &[],
            call: |_, _| Box::pin(async { Response::default() }),
            item: TypeId::of::<()>,
        }))
    }

    #[test]
    fn pages_in_each_other_s_way_are_named() {
        let fine = [
            page("a", "GET", "/count/{word}"),
            page("b", "POST", "/count/{word}"),
            page("c", "GET", "/count/{word}/last"),
            page("d", "GET", "/files/{*rest}"),
        ];
        assert!(problems(&fine).is_empty());
        let twice = problems(&[fine[0], page("e", "GET", "/count/{word}")]);
        assert!(
            twice[0]
                .message
                .contains("`a` and `e` are both GET /count/{word}")
        );
        let alike = problems(&[fine[0], page("f", "GET", "/count/{key}")]);
        assert!(
            alike[0].message.contains("cannot be told apart"),
            "{alike:?}"
        );
    }
}
