//! What a type's change means for values that were written before: by their names on the wire, as serde goes by them.

use super::words::{Words, field_by, split, variant_by};
use super::{OPTIONAL, TypeLock};

/// Words of a whole type that say how it lies on the wire.
const OF_THE_FORM: [&str; 7] = [
    "tag",
    "content",
    "untagged",
    "transparent",
    "from",
    "try_from",
    "into",
];
/// The same of a field.
const OF_A_FIELD: [&str; 4] = ["with", "serialize_with", "deserialize_with", "flatten"];

/// How a type differs from what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What keeps old values from being read.
    pub breaking: Vec<String>,
    /// What would be read, and may lose what a field held: only a person knows whether it was renamed.
    pub doubtful: Vec<String>,
}

/// Compares what was written with what is read, and the types within it by their names.
pub fn changes(was: &TypeLock, is: &TypeLock) -> Changes {
    let mut found = alone(was, is);
    // One that has gone, or was not kept then, is told by the fields that have it.
    for (name, old) in &was.inner {
        let Some(new) = is.inner.get(name) else {
            continue;
        };
        let inner = alone(old, new);
        let within = |why: String| format!("in `{name}`: {why}");
        found
            .breaking
            .extend(inner.breaking.into_iter().map(within));
        found
            .doubtful
            .extend(inner.doubtful.into_iter().map(within));
    }
    found
}

fn alone(was: &TypeLock, is: &TypeLock) -> Changes {
    let mut found = Changes::default();
    // Nothing is known of one of them but its name.
    if was.fields.is_empty() || is.fields.is_empty() {
        if was.name != is.name && !was.name.is_empty() && !is.name.is_empty() {
            found
                .breaking
                .push(format!("it was `{}` and is `{}`", was.name, is.name));
        }
        if was.fields.is_empty() && is.fields.is_empty() || !found.breaking.is_empty() {
            return found;
        }
    }
    if was.variants != is.variants && !was.fields.is_empty() && !is.fields.is_empty() {
        let kind = |variants| if variants { "an enum" } else { "a struct" };
        let text = format!("it was {} and is {}", kind(was.variants), kind(is.variants));
        found.breaking.push(text);
        return found;
    }
    let now = is.serde.as_deref().unwrap_or_default();
    // A plan that was kept before this was in it.
    let then = was.serde.as_deref().unwrap_or(now);
    let (then, now) = (Words::of(then), Words::of(now));
    let (old_form, new_form) = (then.only(&OF_THE_FORM), now.only(&OF_THE_FORM));
    if old_form != new_form {
        found.breaking.push(format!(
            "its `#[serde(..)]` said {} and says {}",
            or_nothing(&old_form),
            or_nothing(&new_form)
        ));
    }
    let parts = |lock: &'_ TypeLock| -> Vec<(String, String)> {
        let fields = lock.fields.iter();
        fields.map(|(n, text)| (n.clone(), text.clone())).collect()
    };
    if was.variants {
        variants(&parts(was), &then, &parts(is), &now, &mut found);
    } else {
        fields(&parts(was), &then, &parts(is), &now, "", &mut found);
    }
    found
}

fn or_nothing(words: &str) -> String {
    match words {
        "" => "nothing".to_owned(),
        words => format!("`{words}`"),
    }
}

/// A field or a variant as its text says it.
struct Part<'a> {
    name: &'a str,
    ty: &'a str,
    words: Words<'a>,
    optional: bool,
}

impl<'a> Part<'a> {
    fn of((name, text): &'a (String, String)) -> Self {
        let (text, optional) = match text.strip_suffix(OPTIONAL) {
            Some(text) => (text, true),
            None => (text.as_str(), false),
        };
        // Types are written without spaces.
        let (ty, words) = match text.strip_suffix(')').and_then(|t| t.split_once(" (")) {
            Some((ty, words)) => (ty, Words::of(words)),
            None => (text, Words::default()),
        };
        Part {
            name,
            ty,
            words,
            optional,
        }
    }

    fn all(parts: &'a [(String, String)]) -> Vec<Part<'a>> {
        parts.iter().map(Part::of).collect()
    }

    fn wire(&self, whole: &Words<'_>, side: &str, by: fn(&str, &str) -> String) -> String {
        match (self.words.rename(side), whole.rename_all(side)) {
            (Some(name), _) => name.to_owned(),
            (None, Some(rule)) => by(rule, self.name),
            (None, None) => self.name.to_owned(),
        }
    }

    /// The name that it is written under; `None`: it is not, or its fields are in its place.
    fn written(&self, whole: &Words<'_>, by: fn(&str, &str) -> String) -> Option<String> {
        let written = !self.words.has("skip_serializing") && !self.words.has("flatten");
        written.then(|| self.wire(whole, "serialize", by))
    }

    /// The names that it is read by.
    fn read(&self, whole: &Words<'_>, by: fn(&str, &str) -> String) -> Vec<String> {
        if self.words.has("skip_deserializing") || self.words.has("flatten") {
            return Vec::new();
        }
        let mut names = vec![self.wire(whole, "deserialize", by)];
        names.extend(self.words.aliases().map(str::to_owned));
        names
    }
}

/// Whether old values of one type read as the other: by their names, wherever they are from.
fn fits(was: &str, is: &str) -> bool {
    let (was, is) = (without_paths(was), without_paths(is));
    was == is || is == format!("Option<{was}>") || widens(&was, &is)
}

/// `std::time::Duration` as `Duration`.
pub(super) fn without_paths(ty: &str) -> String {
    let mut out = String::new();
    for (at, part) in ty.split("::").enumerate() {
        if at > 0 {
            let kept = out.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
            out.truncate(kept.len());
        }
        out += part;
    }
    out
}

/// Numbers that a wider type holds as well.
fn widens(was: &str, is: &str) -> bool {
    let integer = |ty: &str| {
        let (sign, bits) = ty.split_at_checked(1)?;
        let bits = match bits {
            "size" => 64,
            bits => bits.parse::<u32>().ok().filter(|bits| *bits <= 64)?,
        };
        matches!(sign, "u" | "i").then(|| (sign == "i", bits))
    };
    match (integer(was), integer(is)) {
        (Some((false, from)), Some((true, to))) => from < to,
        (Some((a, from)), Some((b, to))) => a == b && from <= to,
        _ => (was, is) == ("f32", "f64"),
    }
}

fn fields(
    was: &[(String, String)],
    then: &Words<'_>,
    is: &[(String, String)],
    now: &Words<'_>,
    of: &str,
    found: &mut Changes,
) {
    let (was, is) = (Part::all(was), Part::all(is));
    let mut vanished: Vec<(String, &Part<'_>)> = was
        .iter()
        .filter_map(|old| Some((old.written(then, field_by)?, old)))
        .collect();
    let mut new = Vec::new();
    for part in &is {
        if part.words.has("flatten") {
            let old = was.iter().find(|old| old.name == part.name);
            match old.filter(|old| old.words.has("flatten")) {
                Some(old) if old.ty != part.ty => found.breaking.push(format!(
                    "field `{}`{of} was `{}` and is `{}`",
                    part.name, old.ty, part.ty
                )),
                Some(_) => {}
                None => new.push((part.name.to_owned(), part)),
            }
            continue;
        }
        let names = part.read(now, field_by);
        let Some(name) = names.first() else { continue };
        let Some(at) = vanished.iter().position(|(old, _)| names.contains(old)) else {
            new.push((name.clone(), part));
            continue;
        };
        let (wire, old) = vanished.swap_remove(at);
        let (before, after) = (old.words.only(&OF_A_FIELD), part.words.only(&OF_A_FIELD));
        if !fits(old.ty, part.ty) {
            found.breaking.push(format!(
                "field `{wire}`{of} was `{}` and is `{}`",
                old.ty, part.ty
            ));
        } else if before != after {
            found.breaking.push(format!(
                "the `#[serde(..)]` of field `{wire}`{of} said {} and says {}",
                or_nothing(&before),
                or_nothing(&after)
            ));
        }
        // Rows that nobody has changed since are as an older program wrote them.
        for lost in old.read(then, field_by) {
            if !names.contains(&lost) && lost != wire {
                found.doubtful.push(format!(
                    "field `{name}`{of} is no longer read by its alias `{lost}`, which values not written since then may have"
                ));
            }
        }
        if old.optional && !part.optional {
            found.doubtful.push(format!(
                "field `{name}`{of} has no `#[serde(default)]` any more: values that were written before it came would not be read"
            ));
        }
    }
    vanished.sort_by(|a, b| a.0.cmp(&b.0));
    let by_place = |(name, _): &&(String, &Part<'_>)| name.bytes().all(|b| b.is_ascii_digit());
    for (name, _) in vanished.iter().filter(by_place) {
        found.breaking.push(format!(
            "field {name}{of} has gone, and fields without names are read by their places"
        ));
    }
    if now.has("deny_unknown_fields") {
        for (name, _) in &vanished {
            found.breaking.push(format!(
                "field `{name}`{of} has gone, and `deny_unknown_fields` refuses what still has it"
            ));
        }
    }
    for (name, part) in new {
        let same: Vec<&str> = vanished
            .iter()
            .filter(|(_, old)| fits(old.ty, part.ty))
            .map(|(name, _)| name.as_str())
            .collect();
        let may_be = same
            .iter()
            .map(|old| {
                format!("if `{name}`{of} is what was `{old}`: `#[serde(alias = \"{old}\")]`")
            })
            .collect::<Vec<_>>()
            .join("; ");
        if !part.optional {
            let or = match may_be.as_str() {
                "" => String::new(),
                text => format!("; {text}"),
            };
            found.breaking.push(format!(
                "field `{name}`{of} is new and has no `#[serde(default)]`{or}"
            ));
        } else if !may_be.is_empty() {
            found.doubtful.push(may_be);
        } else if let Some((old, _)) = vanished.first() {
            found.doubtful.push(format!(
                "field `{old}`{of} has gone and `{name}` is new: if the one was the other, what it held is lost"
            ));
        }
    }
}

fn variants(
    was: &[(String, String)],
    then: &Words<'_>,
    is: &[(String, String)],
    now: &Words<'_>,
    found: &mut Changes,
) {
    let (was, is) = (Part::all(was), Part::all(is));
    let untagged = now.has("untagged");
    let other = is.iter().find(|part| part.words.has("other"));
    let mut known = vec![false; is.len()];
    let mut gone = Vec::new();
    for old in &was {
        let Some(wire) = old.written(then, variant_by) else {
            continue;
        };
        // Without a tag a variant is known by what is in it.
        let at = is.iter().position(|part| match untagged {
            true => old.ty == part.ty,
            false => part.read(now, variant_by).contains(&wire),
        });
        match at {
            Some(at) => {
                known[at] = true;
                inner(&wire, old, &is[at], found);
            }
            None => gone.push((wire, old)),
        }
    }
    for (wire, old) in gone {
        let new = is.iter().zip(&known).find(|(part, known)| {
            !**known && part.ty == old.ty && !part.words.has("other") && !untagged
        });
        match (new, other) {
            (Some((part, _)), _) => found.breaking.push(format!(
                "variant `{wire}` has gone; if it is `{}` now: `#[serde(alias = \"{wire}\")]`",
                part.name
            )),
            (None, Some(other)) => found.doubtful.push(format!(
                "variant `{wire}` has gone, and what was it would be read as `{}`",
                other.name
            )),
            (None, None) => found.breaking.push(format!("variant `{wire}` has gone")),
        }
    }
}

/// The fields of a variant.
fn inner(wire: &str, old: &Part<'_>, new: &Part<'_>, found: &mut Changes) {
    if old.ty == new.ty {
        return;
    }
    match (named(old.ty), named(new.ty)) {
        (Some(before), Some(after)) => {
            let of = format!(" of variant `{wire}`");
            fields(&before, &old.words, &after, &new.words, &of, found);
        }
        _ => found.breaking.push(format!(
            "variant `{wire}` was `{}` and is `{}`",
            old.ty, new.ty
        )),
    }
}

/// The fields of `{by:String,#[serde(default)]at:i64}`, as a type has them.
fn named(text: &str) -> Option<Vec<(String, String)>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let field = |part: &str| {
        let (mut rest, mut words) = (part, Vec::new());
        while let Some(attribute) = rest.strip_prefix("#[") {
            let end = attribute
                .find(")]")
                .map(|at| at + 1)
                .or_else(|| attribute.find(']'))?;
            if let Some(serde) = attribute[..end].strip_prefix("serde(") {
                words.extend(split(serde.strip_suffix(')')?));
            }
            rest = &attribute[end + 1..];
        }
        let (name, ty) = rest.split_once(':')?;
        let optional = ty.starts_with("Option<")
            || words
                .iter()
                .any(|word| *word == "default" || word.starts_with("default="))
            || words.contains(&"flatten");
        words.retain(|word| *word != "default" && !word.starts_with("default="));
        let mut text = ty.to_owned();
        if !words.is_empty() {
            text = format!("{text} ({})", words.join(","));
        }
        if optional {
            text += OPTIONAL;
        }
        Some((name.to_owned(), text))
    };
    split(inner).into_iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(fields: &[(&str, &str)], serde: &str, variants: bool) -> TypeLock {
        let fields = fields
            .iter()
            .map(|(n, t)| ((*n).to_owned(), (*t).to_owned()));
        TypeLock {
            name: "Row".to_owned(),
            fingerprint: String::new(),
            fields: fields.collect(),
            variants,
            serde: Some(serde.to_owned()),
            inner: BTreeMap::new(),
        }
    }

    fn structs(was: &[(&str, &str)], is: &[(&str, &str)]) -> Changes {
        changes(&of(was, "", false), &of(is, "", false))
    }

    #[track_caller]
    fn breaks(changes: &Changes, text: &str) {
        assert!(
            changes.breaking.len() == 1 && changes.breaking[0].contains(text),
            "no `{text}` alone in {changes:?}"
        );
    }

    #[track_caller]
    fn doubts(changes: &Changes, text: &str) {
        assert!(
            changes.breaking.is_empty()
                && changes.doubtful.len() == 1
                && changes.doubtful[0].contains(text),
            "no `{text}` alone in {changes:?}"
        );
    }

    #[test]
    fn a_field_renamed_with_an_alias_reads_old_rows() {
        let was = [("sum", "f64")];
        let fine = structs(&was, &[("total", "f64 (alias=\"sum\")")]);
        assert_eq!(fine, Changes::default());
        let fine = structs(&was, &[("total", "f64 (rename=\"sum\")")]);
        assert_eq!(fine, Changes::default());
        let fine = structs(
            &was,
            &[(
                "total",
                "f64 (rename(deserialize=\"sum\",serialize=\"total\"))",
            )],
        );
        assert_eq!(fine, Changes::default());
        // And the other way: what was written under a name of its own.
        let fine = structs(&[("sum", "f64 (rename=\"total\")")], &[("total", "f64")]);
        assert_eq!(fine, Changes::default());
    }

    #[test]
    fn a_vanished_field_and_a_new_defaulted_one_are_not_fine() {
        let was = [("n", "u64"), ("sum", "f64")];
        let is = [("n", "u64"), ("total", "f64, may be missing")];
        doubts(
            &structs(&was, &is),
            "if `total` is what was `sum`: `#[serde(alias = \"sum\")]`",
        );
        let other_type = [("n", "u64"), ("total", "Decimal, may be missing")];
        doubts(
            &structs(&was, &other_type),
            "`sum` has gone and `total` is new",
        );
        let optional = [("n", "u64"), ("total", "Option<f64>, may be missing")];
        doubts(&structs(&was, &optional), "alias = \"sum\"");
        assert_eq!(structs(&was, &[("n", "u64")]), Changes::default());
        let more = [("n", "u64"), ("sum", "f64"), ("max", "f64, may be missing")];
        assert_eq!(structs(&was, &more), Changes::default());
    }

    #[test]
    fn a_new_field_without_a_default_names_the_field_that_it_may_have_been() {
        let changed = structs(&[("sum", "f64")], &[("total", "f64")]);
        breaks(
            &changed,
            "field `total` is new and has no `#[serde(default)]`; if",
        );
        breaks(&changed, "`#[serde(alias = \"sum\")]`");
        breaks(
            &structs(&[("sum", "f64")], &[("sum", "i64")]),
            "was `f64` and is `i64`",
        );
        assert_eq!(
            structs(&[("sum", "f64")], &[("sum", "Option<f64>, may be missing")]),
            Changes::default()
        );
        breaks(
            &structs(&[("sum", "f64")], &[("sum", "f64 (with=\"cents\")")]),
            "said nothing and says `with=\"cents\"`",
        );
        breaks(
            &structs(&[("0", "u8"), ("1", "u8")], &[("0", "u8")]),
            "by their places",
        );
    }

    #[test]
    fn a_type_by_another_path_and_a_wider_number_read_old_values() {
        for (was, is) in [
            ("std::time::Duration", "Duration"),
            ("Vec<a::B>", "Vec<c::d::B>"),
            ("u32", "u64"),
            ("u32", "i64"),
            ("usize", "u64"),
            ("f32", "f64"),
        ] {
            let changed = structs(&[("n", was)], &[("n", is)]);
            assert_eq!(changed, Changes::default(), "{was} as {is}");
        }
        for (was, is) in [
            ("u64", "u32"),
            ("i64", "u64"),
            ("u64", "i64"),
            ("f64", "f32"),
            ("a::B", "a::C"),
        ] {
            breaks(&structs(&[("n", was)], &[("n", is)]), is);
        }
    }

    #[test]
    fn an_alias_or_a_default_that_goes_is_asked_about() {
        let was = [("total", "f64 (alias=\"sum\")")];
        doubts(&structs(&was, &[("total", "f64")]), "by its alias `sum`");
        let was = [("max", "f64, may be missing")];
        doubts(
            &structs(&was, &[("max", "f64")]),
            "has no `#[serde(default)]` any more",
        );
    }

    #[test]
    fn names_go_by_the_rule_for_all_fields() {
        let was = of(&[("two_words", "u8")], "", false);
        let is = of(&[("two_words", "u8")], "rename_all=\"camelCase\"", false);
        breaks(&changes(&was, &is), "field `twoWords` is new");
        let aliased = of(
            &[("two_words", "u8 (alias=\"two_words\")")],
            "rename_all=\"camelCase\"",
            false,
        );
        assert_eq!(changes(&was, &aliased), Changes::default());
        // A plan that was kept before the rule was in it.
        let unknown = TypeLock {
            serde: None,
            ..was.clone()
        };
        assert_eq!(changes(&unknown, &is), Changes::default());
        let strict = of(&[("n", "u8")], "deny_unknown_fields", false);
        let more = of(&[("n", "u8"), ("gone", "u8")], "deny_unknown_fields", false);
        breaks(&changes(&more, &strict), "deny_unknown_fields");
    }

    #[test]
    fn the_form_of_an_enum_and_its_variants_are_looked_into() {
        let was = of(&[("Open", ""), ("Paid", "{by:String}")], "", true);
        let tagged = of(
            &[("Open", ""), ("Paid", "{by:String}")],
            "tag=\"kind\"",
            true,
        );
        breaks(
            &changes(&was, &tagged),
            "said nothing and says `tag=\"kind\"`",
        );
        let renamed = of(
            &[("Open", ""), ("Settled", "{by:String} (alias=\"Paid\")")],
            "",
            true,
        );
        assert_eq!(changes(&was, &renamed), Changes::default());
        let unnamed = of(&[("Open", ""), ("Settled", "{by:String}")], "", true);
        breaks(&changes(&was, &unnamed), "if it is `Settled` now");
        let other = of(&[("Open", ""), ("Unknown", " (other)")], "", true);
        doubts(&changes(&was, &other), "would be read as `Unknown`");
        let grown = "{by:String,#[serde(default)]at:i64,#[serde(rename=\"X\")]x:Option<u8>}";
        let grown = of(&[("Open", ""), ("Paid", grown)], "", true);
        assert_eq!(changes(&was, &grown), Changes::default());
        let grown = of(&[("Open", ""), ("Paid", "{by:String,at:i64}")], "", true);
        breaks(
            &changes(&was, &grown),
            "field `at` of variant `Paid` is new",
        );
        let tuple = of(&[("Open", ""), ("Paid", "(String,)")], "", true);
        breaks(&changes(&was, &tuple), "variant `Paid` was `{by:String}`");
        let of_a_struct = of(&[("by", "String")], "", false);
        breaks(
            &changes(&was, &of_a_struct),
            "it was an enum and is a struct",
        );
    }

    #[test]
    fn a_type_within_a_row_is_looked_into_where_both_plans_know_it() {
        let item = |fields: &[(&str, &str)]| TypeLock {
            name: "Item".to_owned(),
            ..of(fields, "", false)
        };
        let order = |inner: Option<TypeLock>| TypeLock {
            inner: inner
                .into_iter()
                .map(|item| (item.name.clone(), item))
                .collect(),
            ..of(&[("items", "Vec<Item>")], "", false)
        };
        let was = order(Some(item(&[("count", "i64")])));
        let is = order(Some(item(&[("count", "f64")])));
        breaks(
            &changes(&was, &is),
            "in `Item`: field `count` was `i64` and is `f64`",
        );
        let renamed = order(Some(item(&[("n", "i64, may be missing")])));
        doubts(
            &changes(&was, &renamed),
            "in `Item`: if `n` is what was `count`",
        );
        let wider = order(Some(item(&[
            ("count", "i64"),
            ("more", "u8, may be missing"),
        ])));
        assert_eq!(changes(&was, &wider), Changes::default());
        // What was kept before types within were in it.
        assert_eq!(changes(&order(None), &is), Changes::default());
        assert_eq!(changes(&was, &order(None)), Changes::default());
        let kept = serde_json::to_string(&order(None)).unwrap();
        assert!(!kept.contains("inner"), "{kept}");
        assert_eq!(
            serde_json::from_str::<TypeLock>(&kept).unwrap(),
            order(None)
        );
    }

    #[test]
    fn what_is_known_by_its_name_alone_is_compared_by_it() {
        let (a, b) = (of(&[], "", false), of(&[("n", "u8")], "", false));
        let number = TypeLock {
            name: "u64".to_owned(),
            ..a.clone()
        };
        assert_eq!(changes(&a, &a), Changes::default());
        breaks(&changes(&a, &number), "it was `Row` and is `u64`");
        breaks(&changes(&b, &number), "it was `Row` and is `u64`");
        breaks(&changes(&number, &b), "it was `u64` and is `Row`");
    }
}
