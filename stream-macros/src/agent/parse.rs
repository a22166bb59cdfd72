//! From tokens to an agent that was checked.

use super::holds;
use crate::{
    errors::Errors,
    function::{self, Parameter},
    item,
    options::{Grouping, Kind, Options, POLICIES, Spec, TopicRef},
    paths::Runtime,
};
use proc_macro2::TokenStream;
use syn::{LitStr, Type, ext::IdentExt};

pub const SPEC: Spec = Spec {
    attribute: "#[agent]",
    legal: &[
        ("topic", Kind::Topic),
        ("topics", Kind::Topics),
        ("pattern", Kind::Pattern),
        ("on_close", Kind::Type),
        ("group_by", Kind::Grouping),
        ("sink", Kind::Topic),
        ("concurrency", Kind::Int),
        ("retries", Kind::Int),
        ("backoff", Kind::Duration),
        ("timeout", Kind::Duration),
        ("on_error", Kind::Choice(POLICIES)),
        ("on_decode_error", Kind::Choice(POLICIES)),
        ("on_tombstone", Kind::Choice(POLICIES)),
        ("dead_letter_topic", Kind::Name),
        ("name", Kind::Name),
        ("crate", Kind::Path),
    ],
    later: &[],
    words: &[
        ("channel", "it is `topic` here"),
        (
            "isolated_partitions",
            "an agent always runs once per partition here; take it out",
        ),
        ("on_window_close", "it is `on_close = Table` here"),
        (
            "expires",
            "how long late records are taken is `grace` of `#[table]` here",
        ),
        (
            "relative_to_field",
            "event time is `#[record(timestamp = field)]` here",
        ),
        (
            "default",
            "a new row is `Default::default()` of the table's struct here",
        ),
        (
            "key_type",
            "the type of the key stands in the first parameter here: `Stream<Record, Key>`",
        ),
        (
            "value_type",
            "the type of the records stands in the first parameter here: `Stream<Record>`",
        ),
        (
            "supervisor_strategy",
            "it is `on_error`, `retries` and `backoff` here",
        ),
        ("use_reply_headers", "there is no `ask` here; take it out"),
        ("source", "it is `topic` here"),
        (
            "table",
            "tables are parameters here: `mut rows: Table<Rows>`",
        ),
    ],
    bare: Some("topic"),
};

/// An agent without a mistake.
pub struct Agent {
    pub runtime: Runtime,
    pub item: item::Function,
    pub name: String,
    pub source: Source,
    pub group_by: Option<Grouping>,
    pub sink: Option<TopicRef>,
    pub parameters: Vec<Parameter>,
    pub policy: Policy,
    /// Events handled at once.
    pub concurrency: Option<u32>,
    /// The method by which it holds several events, as far as its text shows.
    pub holds: Option<&'static str>,
}

/// What it reads.
pub enum Source {
    Topics(Vec<TopicRef>),
    /// A regular expression on their names.
    Pattern(LitStr),
    Closed(Type),
}

/// What was said about failures; the runtime has the defaults.
pub struct Policy {
    pub retries: Option<u32>,
    pub backoff: Option<u64>,
    pub timeout: Option<u64>,
    pub on_error: Option<String>,
    pub on_decode_error: Option<String>,
    pub on_tombstone: Option<String>,
    pub dead_letter_topic: Option<String>,
}

/// More parameters than this are a sign that two agents are one.
const MOST_PARAMETERS: usize = 16;

pub fn parse(args: TokenStream, tokens: &TokenStream, errors: &Errors) -> Option<Agent> {
    let options = Options::parse(args, &SPEC, errors);
    let item = item::function(tokens, SPEC.attribute, errors)?;
    function::check(&item.sig, "an agent", errors);
    let parameters = function::parameters(&item.sig, errors);
    if parameters.is_empty() && item.sig.receiver().is_none() {
        errors.on(
            &item.sig.ident,
            "an agent takes what it processes as its first parameter: `Stream<Record>`, a record, `Event<Record>` or `Closed<Table>`",
        );
    }
    if let Some(extra) = parameters.get(MOST_PARAMETERS) {
        errors.on(
            &extra.ty,
            format!("an agent takes at most {MOST_PARAMETERS} parameters"),
        );
    }
    let source = source(&options, &item, errors);
    if let Some(word) = options.word("sink")
        && function::returns_nothing(&item.sig.output)
    {
        errors.on(
            word,
            "`sink` takes what the function returns, and it returns nothing",
        );
    }
    let group_by = group_by(&options, errors);
    tombstones(&options, &parameters, errors);
    let policy = policy(&options, errors);
    let concurrency = concurrency(&options, &parameters, errors);
    let name = item::wire_name(
        &options,
        &item.sig.ident,
        item.sig.ident.unraw().to_string(),
        errors,
    );
    Some(Agent {
        runtime: Runtime::new(options.runtime()),
        name,
        source: source?,
        group_by,
        sink: options.topics("sink").and_then(|mut topics| topics.pop()),
        holds: holds::holds(&item),
        parameters,
        policy,
        concurrency,
        item,
    })
}

/// The options that say what it reads.
const SOURCES: [&str; 4] = ["topic", "topics", "pattern", "on_close"];

fn source(options: &Options, item: &item::Function, errors: &Errors) -> Option<Source> {
    let given: Vec<_> = SOURCES
        .iter()
        .filter_map(|name| options.word(name))
        .collect();
    if let [first, second, ..] = given.as_slice() {
        errors.on(second, format!("an agent has one source, and `{first}` is given; for several topics: `topics = [\"a\", \"b\"]`"));
        return None;
    }
    if let Some(table) = options.ty("on_close") {
        return Some(Source::Closed(table.clone()));
    }
    if let Some(pattern) = options.text("pattern") {
        return Some(Source::Pattern(pattern.clone()));
    }
    if let Some(topics) = options.topics("topic").or_else(|| options.topics("topics")) {
        return Some(Source::Topics(topics));
    }
    if SOURCES.iter().all(|name| options.is_missing(name)) {
        errors.on(
            &item.sig.ident,
            "an agent needs a source: `topic = \"name\"`, `topics = [\"a\", \"b\"]`, `pattern = \"orders-.+\"` or `on_close = Table`",
        );
    }
    None
}

fn group_by(options: &Options, errors: &Errors) -> Option<Grouping> {
    let grouping = options.grouping("group_by")?;
    if let Grouping::Closure(closure) = grouping
        && options.is_missing("name")
    {
        errors.on(
            closure,
            "a closure has no name for its repartition topic: add `name = \"..\"`",
        );
        return None;
    }
    Some(grouping.clone())
}

/// `on_tombstone` is for agents that take none.
fn tombstones(options: &Options, parameters: &[Parameter], errors: &Errors) {
    let Some(word) = options.word("on_tombstone") else {
        return;
    };
    if options.word("on_close").is_some() {
        errors.on(
            word,
            "closed windows have no tombstones; take out `on_tombstone`",
        );
    } else if options.word("group_by").is_none()
        && let Some(first) = parameters.first()
        && function::takes_option(&first.ty)
    {
        errors.on(
            word,
            "the first parameter is an `Option`, which takes tombstones as `None`; take out `on_tombstone`, or the `Option`",
        );
    }
}

fn concurrency(options: &Options, parameters: &[Parameter], errors: &Errors) -> Option<u32> {
    let (number, literal) = options.int("concurrency")?;
    let Ok(number) = u32::try_from(number) else {
        errors.on(literal, "`concurrency` is a number from 1 to 65536");
        return None;
    };
    if !(1..=65_536).contains(&number) {
        errors.on(literal, "`concurrency` is a number from 1 to 65536");
        return None;
    }
    if number == 1 {
        return Some(1);
    }
    if let Some(word) = options.word("on_close") {
        errors.on(
            word,
            "windows close one after the other; take out `concurrency`",
        );
        return None;
    }
    let mut parameters = parameters.iter();
    if let Some(first) = parameters.next()
        && function::is_called(&first.ty, "Stream")
    {
        errors.on(
            &first.ty,
            "`concurrency` is for the event form, which is called once per event: take the record, or `Event<Record>`; a `Stream` holds several events by `take` or `noack`",
        );
    }
    for parameter in parameters.filter(|p| function::is_called(&p.ty, "Table")) {
        errors.on(
            &parameter.ty,
            "a table is changed by one event after the other: with `concurrency` an agent takes none; let it send to a topic, and another agent keep the table",
        );
    }
    Some(number)
}

/// The longest wait before an attempt, in ms, as the runtime has it.
const MAX_BACKOFF: i64 = 60_000;

pub fn policy(options: &Options, errors: &Errors) -> Policy {
    let retries =
        options
            .int("retries")
            .and_then(|(number, literal)| match u32::try_from(number) {
                Ok(number) => Some(number),
                Err(_) => {
                    errors.on(
                        literal,
                        format!("`retries` is a number from 0 to {}", u32::MAX),
                    );
                    None
                }
            });
    if let Some((0, literal)) = options.duration("timeout") {
        errors.on(
            literal,
            "with a `timeout` of nothing every event fails; take it out for none",
        );
    }
    if let Some((ms, literal)) = options.duration("backoff")
        && ms > MAX_BACKOFF
    {
        errors.on(
            literal,
            "the wait doubles with each attempt, up to a minute: `backoff`, which is the first, is at most \"1m\"",
        );
    }
    let ms = |name| options.duration(name).map(|(ms, _)| ms.unsigned_abs());
    let text = |name| options.text(name).map(LitStr::value);
    Policy {
        retries,
        backoff: ms("backoff"),
        timeout: ms("timeout"),
        on_error: text("on_error"),
        on_decode_error: text("on_decode_error"),
        on_tombstone: text("on_tombstone"),
        dead_letter_topic: text("dead_letter_topic"),
    }
}
