//! From tokens to a join that was checked.

use crate::{
    agent::{Policy, policy},
    errors::Errors,
    function::{self, Parameter},
    item,
    options::{FieldPath, Kind, Options, POLICIES, Spec, TopicRef},
    paths::Runtime,
};
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;

pub const SPEC: Spec = Spec {
    attribute: "#[join]",
    legal: &[
        ("left", Kind::Topic),
        ("right", Kind::Topic),
        ("within", Kind::Duration),
        ("grace", Kind::Duration),
        ("idle", Kind::Duration),
        ("late", Kind::Topic),
        ("on", Kind::Fields),
        ("sink", Kind::Topic),
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
        (
            "topic",
            "a join reads two topics: `left = ..` and `right = ..`",
        ),
        (
            "topics",
            "a join reads two topics: `left = ..` and `right = ..`",
        ),
        (
            "window",
            "how far apart in time two records may be is `within` here",
        ),
        (
            "difference",
            "how far apart in time two records may be is `within` here",
        ),
        ("expires", "how long late records are taken is `grace` here"),
        (
            "kind",
            "the kind follows from the parameters here: the `Option` ones may be missing",
        ),
        (
            "how",
            "the kind follows from the parameters here: the `Option` ones may be missing",
        ),
        (
            "outer",
            "the kind follows from the parameters here: the `Option` ones may be missing",
        ),
        (
            "key",
            "the fields to join by are `on = (left_field, right_field)` here",
        ),
        (
            "by",
            "the fields to join by are `on = (left_field, right_field)` here",
        ),
        (
            "group_by",
            "the fields to join by are `on = (left_field, right_field)` here",
        ),
        (
            "concurrency",
            "a join takes one record after the other; take it out",
        ),
        (
            "on_close",
            "a join reads two topics: `left = ..` and `right = ..`",
        ),
    ],
    bare: None,
};

/// A join without a mistake.
pub struct Join {
    pub runtime: Runtime,
    pub item: item::Function,
    pub name: String,
    pub left: TopicRef,
    pub right: TopicRef,
    /// Missing where a side is named by its type: what is wrong then, the type says.
    pub within: Option<i64>,
    pub grace: i64,
    pub idle: Option<u64>,
    pub on: Option<(FieldPath, FieldPath)>,
    pub sink: Option<TopicRef>,
    pub late: Option<TopicRef>,
    /// At least two.
    pub parameters: Vec<Parameter>,
    pub policy: Policy,
}

/// As for an agent.
const MOST_PARAMETERS: usize = 16;

pub fn parse(args: TokenStream, tokens: &TokenStream, errors: &Errors) -> Option<Join> {
    let options = Options::parse(args, &SPEC, errors);
    let item = item::function(tokens, SPEC.attribute, errors)?;
    function::check(&item.sig, "a join", errors);
    let parameters = function::parameters(&item.sig, errors);
    if parameters.len() < 2 && item.sig.receiver().is_none() {
        errors.on(
            &item.sig.ident,
            "a join takes the left record as its first parameter and the right one as its second; the one that may be missing is an `Option`",
        );
    }
    for side in parameters.iter().take(2) {
        if side.by == function::By::RefMut {
            errors.on(
                &side.ty,
                "a record of a join is taken by value or by `&`: nobody sees what is changed in it",
            );
        }
    }
    if let Some(extra) = parameters.get(MOST_PARAMETERS) {
        errors.on(
            &extra.ty,
            format!("a join takes at most {MOST_PARAMETERS} parameters"),
        );
    }
    let topic = |name| options.topics(name).and_then(|mut topics| topics.pop());
    let (left, right) = (topic("left"), topic("right"));
    let sides = [&left, &right].into_iter().flatten();
    let by_type = sides.filter_map(TopicRef::spec).next().is_some();
    for (name, example) in [
        ("left", "`left = Orders`"),
        ("right", "`right = Payments`"),
        (
            "within",
            "`within = \"10m\"`: how far apart in time two records may be",
        ),
    ] {
        // Two tables have no `within`: whether the sides are tables is known later.
        if options.is_missing(name) && !(name == "within" && by_type) {
            errors.on(&item.sig.ident, format!("a join needs {example}"));
        }
    }
    if let (Some(left), Some(right)) = (&left, &right)
        && left.to_token_stream().to_string() == right.to_token_stream().to_string()
    {
        errors.on(
            right,
            "both sides are the same topic: a join is of two; read one of them through another topic",
        );
    }
    if let Some(word) = options.word("sink")
        && function::returns_nothing(&item.sig.output)
    {
        errors.on(
            word,
            "`sink` takes what the function returns, and it returns nothing",
        );
    }
    let policy = policy(&options, errors);
    let name = item::wire_name(
        &options,
        &item.sig.ident,
        item.sig.ident.unraw().to_string(),
        errors,
    );
    let on = match options.fields("on") {
        Some([left, right]) => Some((left.clone(), right.clone())),
        Some(fields) => {
            let message = "`on` takes two fields, of the left record and of the right one: `on = (id, order_id)`";
            match fields.get(2) {
                Some(third) => errors.on(&third.first, message),
                None => errors.on(&fields[0].first, message),
            }
            None
        }
        None => None,
    };
    let ms = |name| options.duration(name).map(|(ms, _)| ms);
    let within = ms("within");
    if parameters.len() < 2 {
        return None;
    }
    Some(Join {
        runtime: Runtime::new(options.runtime()),
        name,
        left: left?,
        right: right?,
        within,
        grace: ms("grace").unwrap_or(0),
        idle: ms("idle").map(i64::unsigned_abs),
        on,
        sink: topic("sink"),
        late: topic("late"),
        parameters,
        policy,
        item,
    })
}
