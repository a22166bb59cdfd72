//! What `#[serde(..)]` says, read back from the text that a plan keeps.

/// The words of an attribute in their order, as `rename="total"`.
#[derive(Clone, Debug, Default)]
pub(super) struct Words<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Words<'a> {
    /// From words with commas between them, without spaces.
    pub(super) fn of(text: &'a str) -> Self {
        let words = split(text).into_iter().map(|word| {
            let end = word.find(['=', '(']).unwrap_or(word.len());
            let (name, argument) = word.split_at(end);
            (name, argument)
        });
        Words(words.collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(word, _)| *word == name)
    }

    /// The text in `name="text"`, or in `name(side="text")`.
    fn text(&self, name: &str, side: &str) -> Option<&'a str> {
        let (_, argument) = self.0.iter().find(|(word, _)| *word == name)?;
        sided(argument, side)
    }

    /// The name on the wire of a field or variant, where one is given.
    pub(super) fn rename(&self, side: &str) -> Option<&'a str> {
        self.text("rename", side)
    }

    /// The rule for all fields, or all variants, where one is given.
    pub(super) fn rename_all(&self, side: &str) -> Option<&'a str> {
        self.text("rename_all", side)
    }

    /// Other names by which it is read.
    pub(super) fn aliases(&self) -> impl Iterator<Item = &'a str> + '_ {
        let aliases = self.0.iter().filter(|(word, _)| *word == "alias");
        aliases.filter_map(|(_, argument)| quoted(argument))
    }

    /// Those of the names given, as text that can be compared.
    pub(super) fn only(&self, names: &[&str]) -> String {
        let mut kept: Vec<String> = self
            .0
            .iter()
            .filter(|(word, _)| names.contains(word))
            .map(|(word, argument)| format!("{word}{argument}"))
            .collect();
        kept.sort();
        kept.join(", ")
    }
}

/// The text of `="text"`, or of a side in `(serialize="text",..)`.
fn sided<'a>(argument: &'a str, side: &str) -> Option<&'a str> {
    if let Some(text) = quoted(argument) {
        return Some(text);
    }
    let inner = argument.strip_prefix('(')?.strip_suffix(')')?;
    let parts = split(inner);
    parts.iter().find_map(|part| {
        let rest = part.strip_prefix(side)?;
        quoted(rest)
    })
}

fn quoted(argument: &str) -> Option<&str> {
    argument.strip_prefix("=\"")?.strip_suffix('"')
}

/// Splits at commas that stand in no brackets and no text.
pub(super) fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut in_text) = (Vec::new(), 0, 0_i32, false);
    let mut escaped = false;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if before != '-' && before != '=' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        before = letter;
    }
    parts.push(&text[from..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// A field's name by serde's rule for all fields.
pub(super) fn field_by(rule: &str, name: &str) -> String {
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => name.to_ascii_uppercase(),
        "PascalCase" => pascal(name),
        "camelCase" => lower_first(&pascal(name)),
        "kebab-case" => name.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => name.to_ascii_uppercase().replace('_', "-"),
        _ => name.to_owned(),
    }
}

/// A variant's name by serde's rule for all variants.
pub(super) fn variant_by(rule: &str, name: &str) -> String {
    match rule {
        "lowercase" => name.to_ascii_lowercase(),
        "UPPERCASE" => name.to_ascii_uppercase(),
        "camelCase" => lower_first(name),
        "snake_case" => snake(name),
        "SCREAMING_SNAKE_CASE" => snake(name).to_ascii_uppercase(),
        "kebab-case" => snake(name).replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => snake(name).to_ascii_uppercase().replace('_', "-"),
        _ => name.to_owned(),
    }
}

fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_by_commas_outside_of_texts_and_brackets() {
        let text = r#"alias="a,b",rename(deserialize="in",serialize="out"),with="x::y",flatten"#;
        let words = Words::of(text);
        assert_eq!(words.aliases().collect::<Vec<_>>(), ["a,b"]);
        assert_eq!(words.rename("serialize"), Some("out"));
        assert_eq!(words.rename("deserialize"), Some("in"));
        assert!(words.has("flatten") && !words.has("default"));
        assert_eq!(words.only(&["with"]), r#"with="x::y""#);
        assert_eq!(Words::of(r#"rename="n""#).rename("deserialize"), Some("n"));
        assert_eq!(
            split("a:HashMap<u8,u8>,f:fn(u8)->u8,c"),
            ["a:HashMap<u8,u8>", "f:fn(u8)->u8", "c"]
        );
    }

    #[test]
    fn names_by_a_rule_are_serde_s() {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Camel {
            two_words: u8,
        }
        #[derive(serde::Serialize)]
        #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
        struct Kebab {
            two_words: u8,
        }
        #[derive(serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Snake {
            TwoWords,
        }
        let camel = serde_json::to_string(&Camel { two_words: 1 }).unwrap();
        assert!(camel.contains(&field_by("camelCase", "two_words")));
        let kebab = serde_json::to_string(&Kebab { two_words: 1 }).unwrap();
        assert!(kebab.contains(&field_by("SCREAMING-KEBAB-CASE", "two_words")));
        let snake = serde_json::to_string(&Snake::TwoWords).unwrap();
        assert!(snake.contains(&variant_by("snake_case", "TwoWords")));
    }
}
