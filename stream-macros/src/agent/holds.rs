//! Whether the stream form holds several events, as far as its text shows it: `readings.take(..)`, `readings.noack()`,
//! also behind `filter` and `map`. What this misses is found when the agent begins.

use crate::item::Function;
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{FnArg, Pat};

const METHODS: [&str; 2] = ["take", "noack"];

/// The method of the first parameter that holds several events.
pub fn holds(item: &Function) -> Option<&'static str> {
    let FnArg::Typed(first) = item.sig.inputs.first()? else {
        return None;
    };
    let Pat::Ident(stream) = &*first.pat else {
        return None;
    };
    search(item.body.clone(), &stream.ident)
}

fn search(tokens: TokenStream, stream: &Ident) -> Option<&'static str> {
    let mut tokens = tokens.into_iter().peekable();
    let mut after_dot = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                if let Some(found) = search(group.stream(), stream) {
                    return Some(found);
                }
                after_dot = false;
            }
            // A field of the same name is another thing.
            TokenTree::Ident(word) if word == *stream && !after_dot => {
                while matches!(tokens.peek(), Some(TokenTree::Punct(dot)) if dot.as_char() == '.') {
                    tokens.next();
                    let Some(TokenTree::Ident(method)) = tokens.next() else {
                        break;
                    };
                    if let Some(found) = METHODS.into_iter().find(|name| method == name) {
                        return Some(found);
                    }
                    if matches!(tokens.peek(), Some(TokenTree::Group(_))) {
                        tokens.next();
                    }
                }
                after_dot = false;
            }
            TokenTree::Punct(dot) => after_dot = dot.as_char() == '.',
            _ => after_dot = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Option<&'static str> {
        let stream = Ident::new("words", proc_macro2::Span::call_site());
        search(body.parse().unwrap(), &stream)
    }

    #[test]
    fn methods_of_the_stream_are_found_and_others_are_not() {
        assert_eq!(
            found("{ while let Some(b) = words.take(3, t).await {} }"),
            Some("take")
        );
        assert_eq!(
            found("{ let w = words.filter(|w| w.ok()).map(f).noack(); }"),
            Some("noack")
        );
        assert_eq!(
            found("{ while let Some(w) = words.next().await { w.iter().take(3); } }"),
            None
        );
        assert_eq!(found("{ other.words.take(1) }"), None);
        assert_eq!(found("{ list.iter().take(words) }"), None);
    }
}
