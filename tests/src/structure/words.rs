//! Words that the documentation and the messages do not use, because the field has others.

use super::files;
use std::collections::BTreeMap;

/// Words and turns, and what the field says instead.
pub const BANNED: [(&str, &str); 12] = [
    ("in hand", "current, or in flight"),
    ("anew", "again; restart"),
    ("whereabouts", "record location"),
    ("what becomes of", "the result of"),
    ("came about", "succeeded"),
    ("of its own accord", "by itself"),
    ("last breath", "end"),
    ("it is looked", "is checked"),
    ("roof", "top level"),
    ("house rule", "rule"),
    ("hand out", "dispatch"),
    ("put back", "requeue"),
];

/// Returns how often each banned word stands in a crate's source, comments and messages included.
pub fn banned(package: &str) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for file in files(package) {
        let text = file.text().to_lowercase();
        for (word, _) in BANNED {
            let found = text
                .match_indices(word)
                .filter(|(at, _)| is_word(&text, *at, word.len()));
            *counts.entry(word).or_default() += found.count();
        }
    }
    counts.retain(|_, count| *count > 0);
    counts
}

fn is_word(text: &str, at: usize, len: usize) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    !letter(text[..at].chars().next_back()) && !letter(text[at + len..].chars().next())
}
