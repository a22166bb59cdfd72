//! From tokens to a function beside the streams that was checked.

use crate::{
    agent::policy,
    duration,
    errors::Errors,
    function::{self, Parameter},
    item,
    options::{Kind as Takes, Options, Spec},
    paths::Runtime,
};
use proc_macro2::TokenStream;
use syn::{LitStr, ext::IdentExt};

/// One of the three attributes.
pub struct Kind {
    pub spec: Spec,
    /// What the function is called in messages.
    what: &'static str,
    when: fn(Option<&LitStr>, &Options, &item::Function, &Errors) -> Option<When>,
}

pub const TIMER: Kind = Kind {
    spec: Spec {
        attribute: "#[timer]",
        legal: &[
            ("on_leader", Takes::Flag),
            ("per", Takes::Choice(&["worker", "partition"])),
            ("crate", Takes::Path),
        ],
        later: &[],
        words: &[
            ("interval", "the interval comes first: `#[timer(\"10s\")]`"),
            ("every", "the interval comes first: `#[timer(\"10s\")]`"),
            (
                "max_drift_correction",
                "ticks keep to their beat here; take it out",
            ),
        ],
        bare: None,
    },
    what: "a timer",
    when: timer,
};

pub const CRONTAB: Kind = Kind {
    spec: Spec {
        attribute: "#[crontab]",
        legal: &[
            ("timezone", Takes::Text),
            ("on_leader", Takes::Flag),
            ("per", Takes::Choice(&["worker", "partition"])),
            ("retries", Takes::Int),
            ("backoff", Takes::Duration),
            ("crate", Takes::Path),
        ],
        later: &[],
        words: &[
            (
                "cron_format",
                "the expression comes first: `#[crontab(\"0 * * * *\")]`",
            ),
            ("tz", "it is `timezone = \"Europe/Berlin\"` here"),
        ],
        bare: None,
    },
    what: "a crontab",
    when: crontab,
};

pub const TASK: Kind = Kind {
    spec: Spec {
        attribute: "#[task]",
        legal: &[
            ("on", Takes::Choice(&["start", "stop"])),
            ("on_leader", Takes::Flag),
            ("crate", Takes::Path),
        ],
        later: &[],
        words: &[(
            "per",
            "a task runs once per worker; `on_leader` makes it once per app",
        )],
        bare: Some("on"),
    },
    what: "a task",
    when: task,
};

/// A function beside the streams, without a mistake.
pub struct Beside {
    pub runtime: Runtime,
    pub item: item::Function,
    pub name: String,
    pub parameters: Vec<Parameter>,
    pub when: When,
    pub on_leader: bool,
    /// Policy by which a crontab's failed calls are tried again, where it is said.
    pub retries: Option<u32>,
    pub backoff: Option<u64>,
}

/// When it runs.
pub enum When {
    /// Milliseconds; on a worker, or as an event of each partition.
    Every {
        ms: u64,
        per_partition: bool,
    },
    Crontab {
        expression: String,
        timezone: String,
        per_partition: bool,
    },
    Start,
    Stop,
}

pub fn parse(
    args: TokenStream,
    tokens: &TokenStream,
    kind: &Kind,
    errors: &Errors,
) -> Option<Beside> {
    let (first, options) = Options::parse_named(args, &kind.spec, errors);
    let item = item::function(tokens, kind.spec.attribute, errors)?;
    function::check(&item.sig, kind.what, errors);
    let parameters = function::parameters(&item.sig, errors);
    let when = (kind.when)(first.as_ref(), &options, &item, errors)?;
    let in_partitions = matches!(
        when,
        When::Every {
            per_partition: true,
            ..
        } | When::Crontab {
            per_partition: true,
            ..
        }
    );
    if !in_partitions {
        let takes = format!(
            "{} takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S> and Due; a timer or a crontab with `per = \"partition\"` takes what agents take",
            kind.what
        );
        function::refuse_handles(&parameters, &takes, errors);
    }
    let policy = policy(&options, errors);
    Some(Beside {
        runtime: Runtime::new(options.runtime()),
        name: item.sig.ident.unraw().to_string(),
        parameters,
        when,
        on_leader: options.flag("on_leader"),
        retries: policy.retries,
        backoff: policy.backoff,
        item,
    })
}

fn timer(
    first: Option<&LitStr>,
    options: &Options,
    item: &item::Function,
    errors: &Errors,
) -> Option<When> {
    let Some(literal) = first else {
        if options.is_missing("interval") {
            errors.on(
                &item.sig.ident,
                "a timer needs its interval: `#[timer(\"10s\")]` (ms, s, m, h, d)",
            );
        }
        return None;
    };
    let per_partition = per_partition(options, "timers", errors);
    match duration::parse(&literal.value()) {
        Ok(0) => errors.on(literal, "a timer of nothing would never rest"),
        Ok(ms) => {
            return Some(When::Every {
                ms: ms.unsigned_abs(),
                per_partition,
            });
        }
        Err(problem) => errors.on(literal, problem),
    }
    None
}

/// Returns whether it runs in each partition.
fn per_partition(options: &Options, what: &str, errors: &Errors) -> bool {
    let per_partition = options
        .text("per")
        .is_some_and(|per| per.value() == "partition");
    if per_partition && let Some(word) = options.word("on_leader") {
        errors.on(
            word,
            format!(
                "`on_leader` is for {what} of the worker; with `per = \"partition\"` each partition has one owner anyway"
            ),
        );
    }
    per_partition
}

fn crontab(
    first: Option<&LitStr>,
    options: &Options,
    item: &item::Function,
    errors: &Errors,
) -> Option<When> {
    let timezone = options.text("timezone");
    if let Some(literal) = timezone
        && literal.value().parse::<chrono_tz::Tz>().is_err()
    {
        errors.on(
            literal,
            format!(
                "there is no time zone {:?}; {}",
                literal.value(),
                near(&literal.value())
            ),
        );
    }
    let Some(literal) = first else {
        if options.is_missing("expression") {
            errors.on(
                &item.sig.ident,
                "a crontab needs its expression: `#[crontab(\"0 20 * * *\")]` (minute, hour, day of month, month, day of week)",
            );
        }
        return None;
    };
    if let Err(problem) = check_crontab(&literal.value()) {
        errors.on(literal, problem);
        return None;
    }
    let per_partition = per_partition(options, "crontabs", errors);
    Some(When::Crontab {
        per_partition,
        expression: literal.value(),
        timezone: timezone.map_or_else(|| "UTC".to_owned(), LitStr::value),
    })
}

/// Zones whose name ends alike, for a slip of the continent or the case.
fn near(name: &str) -> String {
    let last = |name: &str| {
        name.rsplit('/')
            .next()
            .unwrap_or_default()
            .to_lowercase()
            .replace(' ', "_")
    };
    let alike = chrono_tz::TZ_VARIANTS
        .iter()
        .find(|zone| last(zone.name()) == last(name));
    match alike {
        Some(zone) => format!("did you mean {:?}?", zone.name()),
        None => "zones are named as in \"Europe/Berlin\", \"US/Pacific\", \"UTC\"".to_owned(),
    }
}

/// The same parser as the runtime's.
fn check_crontab(text: &str) -> Result<(), String> {
    use croner::parser::{CronParser, Seconds, Year};
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let fields = text.split_whitespace().count();
    if fields != 5 && !text.trim_start().starts_with('@') {
        return Err(format!(
            "{text:?} has {fields} fields; a crontab has five: minute, hour, day of month, month, day of week"
        ));
    }
    let cron = parser
        .parse(text)
        .map_err(|problem| format!("{text:?}: {}", plain(&problem.to_string())))?;
    // A leap year's February is within eight years of any date.
    let from = chrono_tz::Tz::UTC;
    let from = chrono::TimeZone::timestamp_opt(&from, 946_684_800, 0).single();
    match from.map(|from| cron.find_next_occurrence(&from, false)) {
        Some(Err(_)) => Err(format!("{text:?} names a day that never comes")),
        _ => Ok(()),
    }
}

/// The parser's own words without its names for them.
fn plain(problem: &str) -> &str {
    let rest = problem.split_once(": ").map_or(problem, |(_, rest)| rest);
    rest.trim_end_matches('.')
}

fn task(
    first: Option<&LitStr>,
    options: &Options,
    _: &item::Function,
    errors: &Errors,
) -> Option<When> {
    if let Some(literal) = first {
        errors.on(
            literal,
            format!(
                "options are written `name = value`: did you mean `on = {:?}`?",
                literal.value()
            ),
        );
        return None;
    }
    if options.text("on").is_some_and(|on| on.value() == "stop") {
        if let Some(word) = options.word("on_leader") {
            errors.on(
                word,
                "`on_leader` is for tasks `on = \"start\"`: a worker that stops leads no longer",
            );
        }
        return Some(When::Stop);
    }
    Some(When::Start)
}

#[cfg(test)]
mod tests {
    use super::{check_crontab, near};

    #[test]
    fn a_crontab_has_five_fields_that_a_day_can_meet() {
        for good in [
            "* * * * *",
            "*/5 0-6 1,15 * MON-FRI",
            "0 0 29 2 *",
            "@hourly",
            "0 20 * * 7",
        ] {
            assert_eq!(check_crontab(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "has 0 fields"),
            ("* * * *", "has 4 fields"),
            ("0 * * * * *", "has 6 fields"),
            ("61 * * * *", "61"),
            ("x * * * *", "\"x * * * *\": "),
            ("0 0 30 2 *", "never comes"),
        ] {
            let said = check_crontab(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn a_zone_that_is_nearly_right_is_named() {
        assert_eq!(near("Europe/berlin"), "did you mean \"Europe/Berlin\"?");
        assert_eq!(near("Berlin"), "did you mean \"Europe/Berlin\"?");
        assert!(near("Mars/Base").contains("named as in"));
    }
}
