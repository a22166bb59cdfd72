//! The token that worker, programs and other workers show each other.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "web")]
use axum::http::HeaderMap;
#[cfg(feature = "web")]
use axum::http::header::{AUTHORIZATION, HeaderValue};

use crate::error::{Error, Kind};

/// A secret from a file: printable, without blanks. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(Arc<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// Reads a file that holds nothing else; blanks and line ends around the token do not count.
    ///
    /// # Errors
    /// The file does not read, is empty, or holds what no header can carry.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let wrong = |why: &dyn fmt::Display| {
            let text = format!("--web-token-file {}: {why}", path.display());
            Error::new(Kind::Configuration, text)
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(wrong(
                &"it is empty; write a token into it, as `openssl rand -hex 32` makes one",
            ));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(
                &"a token is one word of printable ASCII characters, and the file holds nothing else",
            ));
        }
        Ok(Token(token.into()))
    }

    /// The header's value.
    #[cfg(feature = "web")]
    pub(crate) fn bearer(&self) -> HeaderValue {
        let value = HeaderValue::from_str(&format!("Bearer {}", self.0));
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// Whether a request shows it.
    #[cfg(feature = "web")]
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let offered = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let offered = offered.and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        });
        offered.is_some_and(|offered| is_same(self.0.as_bytes(), offered.trim_ascii()))
    }
}

/// Compares in a time that does not tell how much is right.
#[cfg(feature = "web")]
fn is_same(own: &[u8], offered: &[u8]) -> bool {
    let mut differs = u8::from(own.len() != offered.len());
    for (at, byte) in own.iter().enumerate() {
        let other = offered.get(at).copied().unwrap_or(!*byte);
        differs = std::hint::black_box(differs | (byte ^ other));
    }
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token("s3cret".into());
        let shown = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            token.is_in(&headers)
        };
        assert!(shown("Bearer s3cret") && shown("bearer s3cret "));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cret1",
            "Bearer ",
            "s3cret",
            "Basic s3cret",
            "",
        ] {
            assert!(!shown(wrong), "{wrong}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
        assert!(!format!("{token:?}{:?}", token.bearer()).contains("s3cret"));
    }

    #[test]
    fn a_file_holds_one_word() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, good) in [
            ("abc\n", true),
            (" abc ", true),
            ("", false),
            ("a b", false),
            ("\n", false),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let loaded = Token::load(file.path());
            assert_eq!(loaded.is_ok(), good, "{text:?}");
            if let Err(error) = loaded {
                assert!(error.to_string().contains("--web-token-file"), "{error}");
            }
        }
        let error = Token::load(Path::new("/no/such/file")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
