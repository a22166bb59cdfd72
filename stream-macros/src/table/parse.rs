//! From tokens to a table that was checked.

use crate::{
    errors::Errors,
    item,
    options::{Kind, Options, Spec, TopicRef},
    paths::Runtime,
    record::{self, Coercion, RecordField, Rules},
};
use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Fields, Type, ext::IdentExt};

/// What may become of a row that cannot be read.
const UNREADABLE: &[&str] = &["stop", "set_aside"];

pub const SPEC: Spec = Spec {
    attribute: "#[table]",
    legal: &[
        ("key", Kind::Type),
        ("value", Kind::Type),
        ("name", Kind::Name),
        ("tumbling", Kind::Duration),
        ("hopping", Kind::Duration),
        ("step", Kind::Duration),
        ("session", Kind::Duration),
        ("sliding", Kind::Duration),
        ("grace", Kind::Duration),
        ("idle", Kind::Duration),
        ("retention", Kind::Duration),
        ("late", Kind::Topic),
        ("ttl", Kind::Duration),
        ("on_unreadable_row", Kind::Choice(UNREADABLE)),
        ("partitions", Kind::Int),
        ("changelog", Kind::Bool),
        ("local", Kind::Flag),
        ("global", Kind::Flag),
        ("source", Kind::Type),
        ("crate", Kind::Path),
    ],
    later: &["of", "on_change"],
    words: &[
        ("expires", "how long late records are taken is `grace` here"),
        (
            "on_window_close",
            "windows that close go to an agent here: `#[agent(on_close = ThisTable)]`",
        ),
        (
            "relative_to_field",
            "windows go by event time here: `#[record(timestamp = field)]`",
        ),
        (
            "relative_to",
            "windows go by event time here: `#[record(timestamp = field)]`",
        ),
        (
            "default",
            "a new row is `Default::default()` of the struct here; implement or derive `Default`",
        ),
        (
            "value_type",
            "it is `value` here; without it the struct itself is the value",
        ),
        ("key_type", "it is `key` here"),
        (
            "isolated_partitions",
            "tables are always kept by partition here; take it out",
        ),
        (
            "size",
            "the length of a window is the value of `tumbling`, `hopping` or `sliding` here",
        ),
        (
            "window",
            "windows are `tumbling = \"1h\"`, `hopping = \"1h\", step = \"10m\"`, `session = \"30m\"` or `sliding = \"10m\"` here",
        ),
        ("advance", "it is `step` here"),
        ("ring", "it is `step` here"),
        (
            "gap",
            "the gap between two sessions is the value of `session` here",
        ),
        (
            "inactivity_gap",
            "the gap between two sessions is the value of `session` here",
        ),
        ("time_difference", "it is the value of `sliding` here"),
    ],
    bare: Some("name"),
};

/// A table whose attribute was read. What is wrong in it was noted and left out.
pub struct Table {
    pub runtime: Runtime,
    /// The item without its `#[field]`s.
    pub item: DeriveInput,
    /// The rules of its fields.
    pub rules: Vec<RecordField>,
    pub key: Option<Type>,
    pub value: Option<Type>,
    pub name: String,
    pub window: Option<Window>,
    pub times: Times,
    pub late: Option<TopicRef>,
    pub set_aside: bool,
    pub partitions: Option<i32>,
    pub changelog: bool,
    pub local: bool,
    pub global: bool,
    pub source: Option<Type>,
}

/// How long rows live, in milliseconds.
pub struct Times {
    pub grace: i64,
    pub idle: Option<i64>,
    pub retention: i64,
    pub ttl: Option<i64>,
}

/// Windows, in milliseconds.
#[derive(Clone, Copy)]
pub enum Window {
    Tumbling { size: i64 },
    Hopping { size: i64, step: i64 },
    Session { gap: i64 },
    Sliding { size: i64 },
}

/// The options that give a table its windows.
const WINDOWS: [&str; 4] = ["tumbling", "hopping", "session", "sliding"];

pub fn parse(args: TokenStream, tokens: &TokenStream, errors: &Errors) -> Option<Table> {
    let options = Options::parse(args, &SPEC, errors);
    let item = item::data(tokens, SPEC.attribute, "a struct", errors)?;
    match &item.data {
        Data::Struct(_) => {}
        Data::Enum(data) => {
            errors.on(data.enum_token, "`#[table]` stands on a struct; for rows that are an enum: `#[table(value = Enum)] struct Name;`");
            return None;
        }
        Data::Union(data) => {
            errors.on(data.union_token, "`#[table]` stands on a struct");
            return None;
        }
    }
    if let Some(param) = item.generics.params.first() {
        errors.on(
            param,
            "a table has no generics: it is one changelog and one store",
        );
        return None;
    }
    let mut item = item;
    let mut fields = Vec::new();
    if let Data::Struct(data) = &mut item.data {
        record::read_fields(&mut data.fields, None, false, &mut fields, errors);
    }
    rules(&options, &mut fields, errors);
    let (rules, item) = (fields, item);
    let Data::Struct(data) = &item.data else {
        return None;
    };
    let fields = &data.fields;
    let value = options.ty("value").cloned();
    let source = options.ty("source").cloned();
    if source.is_some() {
        of_topic(&options, &item.ident, fields, errors);
    }
    if options.flag("global") {
        global(&options, errors);
    }
    if value.is_some() && !matches!(fields, Fields::Unit) {
        errors.on(
            fields,
            format!(
                "with `value` the struct only names the table: `struct {};`",
                item.ident
            ),
        );
    }
    if value.is_none() && source.is_none() {
        item::refuse_serde(&item.attrs, SPEC.attribute, errors);
        for lost in record::of_row(&item) {
            let what = match lost.what.as_str() {
                "" => String::new(),
                what => format!("{what} of a row: "),
            };
            errors.on(&lost.at, format!("{what}{}", lost.why));
        }
    }
    // One that cannot stand there was noted, and is left out, so that it is not a further error.
    let plain = options.flag("global") || source.is_some();
    let window = window(&options, errors).filter(|_| !plain);
    let kind = WINDOWS.iter().find_map(|name| options.word(name));
    let default = snake_case(&item.ident.unraw().to_string());
    let name = item::wire_name(&options, &item.ident, default, errors);
    let windowed = kind.is_some() || options.word("step").is_some();
    for name in ["grace", "idle", "retention", "late"] {
        if !windowed && let Some(word) = options.word(name) {
            errors.on(
                word,
                format!("`{name}` needs a window: `tumbling = \"1h\"`, `hopping` and `step`, `session` or `sliding`"),
            );
        }
    }
    if let (Some(word), Some(kind)) = (options.word("ttl"), kind) {
        errors.on(
            word,
            format!("`ttl` is for tables without windows, and `{kind}` is given: rows of windows go when they close, or `retention` later"),
        );
    }
    if let Some((0, literal)) = options.duration("ttl") {
        errors.on(literal, "with a `ttl` of nothing no row would ever be read");
    }
    // What `source` was to name is not known, and the struct is not a row.
    if source.is_none() && options.word("source").is_some() {
        return None;
    }
    let duration = |name: &str| options.duration(name).map(|(ms, _)| ms);
    let table = Table {
        runtime: Runtime::new(options.runtime()),
        key: options.ty("key").cloned(),
        value,
        name,
        window,
        times: Times {
            grace: duration("grace").unwrap_or(0),
            idle: duration("idle"),
            retention: duration("retention").unwrap_or(0),
            ttl: duration("ttl").map(|ms| ms.max(1)),
        },
        late: options.topics("late").and_then(|mut topics| topics.pop()),
        set_aside: options
            .text("on_unreadable_row")
            .is_some_and(|what| what.value() == "set_aside"),
        partitions: item::partitions(&options, errors),
        changelog: options.bool("changelog").unwrap_or(true),
        local: options.flag("local"),
        global: options.flag("global"),
        item: strip(item, value_is_own(&options)),
        rules,
        source,
    };
    Some(table)
}

/// What `#[field]` has for records alone.
fn rules(options: &Options, fields: &mut [RecordField], errors: &Errors) {
    for field in fields {
        let rules = &mut field.rules;
        let reads = field.coerce != Coercion::None || rules.date_format.is_some();
        if reads || rules.sensitive {
            errors.on(
                &field.ty,
                if reads {
                    "a row is read as it was written: `coerce` and `date_format` are for the fields of a `#[record]`"
                } else {
                    "`sensitive` is for the fields of a `#[record]`; keep one as `value = ThatRecord`"
                },
            );
        }
        if reads || rules.sensitive || !value_is_own(options) {
            field.coerce = Coercion::None;
            *rules = Rules::default();
        }
    }
}

/// Whether the struct itself is the row.
fn value_is_own(options: &Options) -> bool {
    options.ty("value").is_none() && options.ty("source").is_none()
}

/// Options that have no place beside `source`: the topic says it, or it makes no sense.
fn of_topic(options: &Options, ident: &syn::Ident, fields: &Fields, errors: &Errors) {
    if !matches!(fields, Fields::Unit) {
        errors.on(
            fields,
            format!("with `source` the struct only names the table, and its rows are the topic's records: `struct {ident};`"),
        );
    }
    for name in ["key", "value"] {
        if let Some(word) = options.word(name) {
            errors.on(
                word,
                format!("`{name}` comes from the topic that `source` names; take it out"),
            );
        }
    }
    for name in WINDOWS {
        if let Some(word) = options.word(name) {
            errors.on(
                word,
                "the records of a topic are rows without windows; fold them in an agent",
            );
        }
    }
    if let (Some(word), Some(false)) = (options.word("changelog"), options.bool("changelog")) {
        errors.on(word, "without a changelog the rows would be gone after a restart, and their records are read already");
    }
}

/// Options that have no place beside `global`.
fn global(options: &Options, errors: &Errors) {
    for name in WINDOWS {
        if let Some(word) = options
            .word(name)
            .filter(|_| options.word("source").is_none())
        {
            errors.on(word, "a global table has no windows");
        }
    }
    if let (Some(word), Some(false), None) = (
        options.word("changelog"),
        options.bool("changelog"),
        options.word("source"),
    ) {
        errors.on(
            word,
            "a global table is read from its changelog; take this out",
        );
    }
    if let (true, Some(word)) = (options.flag("local"), options.word("local")) {
        errors.on(
            word,
            "a global table has one row for each key, whatever its partition; take this out",
        );
    }
    if options.word("source").is_some() {
        for (name, why) in [
            (
                "partitions",
                "a global table of a topic has the topic's partitions; take this out",
            ),
            (
                "ttl",
                "the rows of a global table of a topic live as long as its records; take this out",
            ),
        ] {
            if let Some(word) = options.word(name) {
                errors.on(word, why);
            }
        }
    }
}

fn strip(mut item: DeriveInput, derives_serde: bool) -> DeriveInput {
    if derives_serde {
        item::strip_serde(&mut item);
    }
    item
}

fn window(options: &Options, errors: &Errors) -> Option<Window> {
    for name in WINDOWS.iter().chain(&["step"]) {
        if let Some((0, literal)) = options.duration(name) {
            errors.on(literal, format!("`{name}` must be longer than nothing"));
        }
    }
    let mut kinds = WINDOWS.iter().filter_map(|name| options.word(name));
    let first = kinds.next();
    if let (Some(first), Some(second)) = (first, kinds.next()) {
        errors.on(
            second,
            format!("a table has one kind of window, and `{first}` is given"),
        );
    }
    let (hopping, step) = (options.duration("hopping"), options.duration("step"));
    match (options.word("hopping"), options.word("step")) {
        (Some(word), None) => {
            errors.on(word, "`hopping` needs `step`, the time from one window's start to the next: `hopping = \"1h\", step = \"10m\"`");
        }
        (None, Some(word)) => match first {
            Some(kind) if kind == "tumbling" => errors.on(word, "`step` is for `hopping`; tumbling windows follow each other"),
            Some(kind) => errors.on(word, format!("`step` is for `hopping`; the windows of `{kind}` follow the records")),
            None => errors.on(word, "`step` needs `hopping`, the length of a window: `hopping = \"1h\", step = \"10m\"`"),
        },
        _ => {}
    }
    if let (Some((size, _)), Some((step, literal))) = (hopping, step)
        && step > size
    {
        errors.on(
            literal,
            "`step` is longer than the window: times in between would belong to none",
        );
    }
    // What was mistaken gets a window nevertheless, so that the uses of the table are not further errors.
    let size = |given: Option<(i64, &syn::LitStr)>| given.map_or(1, |(ms, _)| ms.max(1));
    if options.word("hopping").is_some() {
        let size = size(hopping);
        let step = step.map_or(size, |(ms, _)| ms.clamp(1, size));
        return Some(Window::Hopping { size, step });
    }
    let length = |name: &str| {
        let word = options.word(name);
        word.map(|_| size(options.duration(name)))
    };
    None.or_else(|| length("tumbling").map(|size| Window::Tumbling { size }))
        .or_else(|| length("session").map(|gap| Window::Session { gap }))
        .or_else(|| length("sliding").map(|size| Window::Sliding { size }))
}

/// `HourlyVoltage` → `hourly_voltage`, `HTTPHits` → `http_hits`.
pub fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (n, letter) in letters.iter().enumerate() {
        let after_small =
            n > 0 && (letters[n - 1].is_lowercase() || letters[n - 1].is_ascii_digit());
        let ends_acronym = n > 0
            && letters[n - 1].is_uppercase()
            && letters.get(n + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || ends_acronym) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn a_table_is_its_type_in_snake_case() {
        for (ty, name) in [
            ("HourlyVoltage", "hourly_voltage"),
            ("HTTPHits", "http_hits"),
            ("A", "a"),
            ("Top10Pages", "top10_pages"),
            ("already_snake", "already_snake"),
            ("ÄnderungenProTag", "änderungen_pro_tag"),
        ] {
            assert_eq!(snake_case(ty), name);
        }
    }
}
