//! Where each input of the app begins after a reset. What the app's own agents write comes again when what they read
//! does, so its old records are left out; everything else is there once, and is read again.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{App, Start};
use crate::cli::args::ResetArgs;
use crate::cli::command;
use crate::cli::error::{CliError, CliResult};
use crate::topology::{AgentPlan, Edge, OutputKind, Plan, SubTopology};

/// An input topic, and who is known to send to it.
#[derive(Debug, PartialEq)]
pub(super) struct Input {
    pub(super) topic: String,
    /// Agents, joins and tables of this app.
    pub(super) streams: Vec<String>,
    /// What sends only once: pages, commands, timers, other programs.
    pub(super) others: Vec<String>,
    /// Where it is read from without committed offsets.
    pub(super) start: Start,
}

/// Where an input starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Beginning,
    End,
}

/// The inputs of the app but its repartition topics, sorted by name.
pub(super) fn inputs(app: &App, plan: &Plan) -> Vec<Input> {
    let mut streams = by_streams(plan);
    let mut others = by_others(app, plan);
    let inputs = plan.topologies.iter().flat_map(|topology| &topology.inputs);
    let own = inputs.filter(|input| !input.is_repartition() && !input.again);
    let inputs: BTreeMap<&str, Start> = own
        .map(|input| {
            let declared = input.declared.and_then(|topic| topic.start);
            (input.topic.as_str(), declared.unwrap_or(app.start))
        })
        .collect();
    let taken = |topic: &str, of: &mut BTreeMap<String, BTreeSet<String>>| {
        of.remove(topic).unwrap_or_default().into_iter().collect()
    };
    inputs
        .into_iter()
        .map(|(topic, start)| Input {
            topic: topic.to_owned(),
            streams: taken(topic, &mut streams),
            others: taken(topic, &mut others),
            start,
        })
        .collect()
}

/// Where each input begins, in their order.
pub(super) fn places(inputs: &[Input], args: &ResetArgs) -> CliResult<Vec<At>> {
    let known = |name: &&String| inputs.iter().any(|input| input.topic == **name);
    let mut named = args.from_beginning.iter().chain(&args.to_end);
    if let Some(name) = named.find(|name| !known(name)) {
        let topics: Vec<&str> = inputs.iter().map(|input| input.topic.as_str()).collect();
        return Err(
            CliError::usage(format_args!("{name} is not an input of the app"))
                .next(format_args!("its inputs are {}", topics.join(", "))),
        );
    }
    let mut twice = args.from_beginning.iter();
    if let Some(name) = twice.find(|name| args.to_end.contains(name)) {
        return Err(CliError::usage(format_args!(
            "{name} cannot begin both at its beginning and at its end"
        )));
    }
    let mut unclear = Vec::new();
    let places = inputs
        .iter()
        .map(|input| {
            if args.from_beginning.contains(&input.topic) {
                return At::Beginning;
            }
            if args.to_end.contains(&input.topic) {
                return At::End;
            }
            match (input.streams.is_empty(), input.others.is_empty()) {
                (false, false) => unclear.push(input),
                (false, true) => return At::End,
                (true, _) => {}
            }
            match input.start {
                Start::Earliest => At::Beginning,
                Start::Latest => At::End,
            }
        })
        .collect();
    match unclear.first() {
        None => Ok(places),
        Some(first) => {
            let both = unclear.iter().map(|input| {
                format!(
                    "topic {} has records of both kinds: of {}, which come again, and of {}, which are there once",
                    input.topic,
                    input.streams.join(", "),
                    input.others.join(", ")
                )
            });
            let both: Vec<String> = both.collect();
            Err(CliError::usage(both.join("\n  ")).next(format_args!(
                "choose for each: `--from-beginning {0}` reads all of it again, so that what the streams sent is handled twice; \
                 `--to-end {0}` leaves out what the others sent",
                first.topic
            )))
        }
    }
}

/// What the streams of the app write: topics, and the names of those that do.
fn by_streams(plan: &Plan) -> BTreeMap<String, BTreeSet<String>> {
    let mut writers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |topic: &str, who: String| {
        writers.entry(topic.to_owned()).or_default().insert(who);
    };
    for topology in &plan.topologies {
        for agent in topology.agents.iter().filter(|agent| !is_timer(agent)) {
            let name = agent.feeds.unwrap_or(agent.descriptor.name);
            for topic in sends(topology, agent) {
                add(topic, format!("agent `{name}`"));
            }
            if let Some(output) = agent.dead_letters.and_then(|at| topology.outputs.get(at)) {
                add(&output.topic, format!("the dead letters of `{name}`"));
            }
        }
        for table in &topology.tables {
            if let Some(output) = table.late.and_then(|at| topology.outputs.get(at)) {
                let name = table.descriptor.name;
                add(&output.topic, format!("what is late for table `{name}`"));
            }
        }
    }
    writers
}

/// What is sent once and for all: by what runs beside the streams, by the clock, or by others.
fn by_others(app: &App, plan: &Plan) -> BTreeMap<String, BTreeSet<String>> {
    let mut writers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |topic: &str, who: String| {
        writers.entry(topic.to_owned()).or_default().insert(who);
    };
    for topology in &plan.topologies {
        for timer in topology.agents.iter().filter(|agent| is_timer(agent)) {
            for topic in sends(topology, timer) {
                let what = timer.descriptor.source.by_clock().unwrap_or("timer");
                add(topic, format!("{what} `{}`", timer.descriptor.name));
            }
        }
    }
    for one in app.beside() {
        for topic in one.sends() {
            add(topic.name, format!("{} `{}`", one.when.what(), one.name));
        }
    }
    for page in app.pages() {
        for topic in page.sends() {
            add(topic.name, format!("page `{}`", page.name));
        }
    }
    for command in command::registered() {
        for topic in command.sends() {
            add(topic.name, format!("command `{}`", command.name));
        }
    }
    for topic in plan.topics.values().filter(|topic| topic.external) {
        add(
            topic.name,
            "other programs (it is declared `external`)".to_owned(),
        );
    }
    writers
}

/// A tick is of the clock: it does not come again.
fn is_timer(agent: &AgentPlan) -> bool {
    agent.descriptor.source.by_clock().is_some()
}

/// The topics that an agent sends to: its sink, and those that it sends to by hand.
fn sends<'a>(
    topology: &'a SubTopology,
    agent: &'a AgentPlan,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let sink = agent.sink.and_then(|at| topology.outputs.get(at));
    let sink = sink.filter(|output| output.kind == OutputKind::Sink);
    let by_hand = agent.shape.edges.iter().filter_map(|edge| match edge {
        Edge::Sends(topic) => Some(topic.name),
        _ => None,
    });
    sink.map(|output| output.topic.as_str())
        .into_iter()
        .chain(by_hand)
}

/// The topics with dead letters, late records or rows set aside, which a reset leaves as they are, sorted.
pub(super) fn kept(plan: &Plan) -> Vec<String> {
    let mut kept = BTreeSet::new();
    for topology in &plan.topologies {
        // Nothing that an app does makes them again.
        let aside = topology.outputs.iter().filter(|output| {
            matches!(
                output.kind,
                OutputKind::DeadLetters | OutputKind::Unreadable
            )
        });
        kept.extend(aside.map(|output| output.topic.clone()));
        let late = topology.tables.iter().filter_map(|table| table.late);
        let late = late.filter_map(|at| topology.outputs.get(at));
        kept.extend(late.map(|output| output.topic.clone()));
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[topic("re-words", value = String)]
    struct Words;

    #[topic("re-notes", value = String)]
    struct Notes;

    #[topic("re-feed", value = String, external)]
    struct Feed;

    #[table(tumbling = "1h", late = "re-late", on_unreadable_row = "set_aside")]
    #[derive(Clone, Default)]
    struct ReHours {
        count: u64,
    }

    #[agent(topic = "re-lines", sink = "re-words")]
    async fn re_split(line: String, _: Topic<Feed>) -> String {
        line
    }

    #[agent(topics = ["re-words", "re-notes", "re-feed", "re-late"])]
    async fn re_count(word: Event<String>, mut hours: Table<ReHours>) {
        hours.update(word.key(), |hour| hour.count += 1);
    }

    #[agent(topic = "re-words", sink = "re-notes")]
    async fn re_note(word: String) -> String {
        word
    }

    #[timer("1h")]
    async fn re_tick(_: Producer<Notes>) {}

    #[timer("1h")]
    async fn re_ask(_: Producer<ReQuestions>) {}

    #[topic("re-questions", value = String)]
    struct ReQuestions;

    #[agent(topic = "re-questions")]
    async fn re_answer(_: String) {}

    fn app() -> App {
        App::new("re").scope(module_path!())
    }

    fn args(from_beginning: &[&str], to_end: &[&str]) -> ResetArgs {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ResetArgs {
            yes: true,
            dry_run: false,
            from_beginning: owned(from_beginning),
            to_end: owned(to_end),
        }
    }

    fn at(args: &ResetArgs) -> CliResult<BTreeMap<String, At>> {
        let app = app();
        let plan = app.plan().unwrap();
        let inputs = inputs(&app, &plan);
        let places = places(&inputs, args)?;
        let topics = inputs.into_iter().map(|input| input.topic);
        Ok(topics.zip(places).collect())
    }

    #[test]
    fn a_topic_between_two_agents_begins_at_its_end_and_what_timers_send_is_read_again() {
        let found = at(&args(&["re-notes"], &["re-feed"])).unwrap();
        let expected = [
            ("re-feed", At::End),
            ("re-late", At::End),
            ("re-lines", At::Beginning),
            ("re-notes", At::Beginning),
            ("re-questions", At::Beginning),
            ("re-words", At::End),
        ];
        let expected = expected.map(|(topic, at)| (topic.to_owned(), at));
        assert_eq!(found, expected.into());
        assert_eq!(
            kept(&app().plan().unwrap()),
            [
                "re-late",
                "re-re_answer-dead-letters",
                "re-re_count-dead-letters",
                "re-re_hours-unreadable",
                "re-re_note-dead-letters",
                "re-re_split-dead-letters",
            ]
        );
    }

    #[test]
    fn a_topic_with_records_of_both_kinds_is_refused_until_the_user_has_chosen() {
        let error = at(&args(&[], &[])).unwrap_err();
        let text = error.to_string();
        for part in [
            "re-feed",
            "agent `re_split`",
            "declared `external`",
            "re-notes",
            "agent `re_note`",
            "timer `re_tick`",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert!(!text.contains("re-words"), "{text}");
        let next = error.next_step().unwrap().to_string();
        assert!(
            next.contains("--from-beginning re-feed") && next.contains("--to-end re-feed"),
            "{next}"
        );
    }

    #[test]
    fn a_topic_that_is_no_input_or_named_for_both_ends_is_a_mistake() {
        let unknown = at(&args(&["re-word"], &[])).unwrap_err();
        assert!(unknown.to_string().contains("re-word is not an input"));
        assert!(unknown.next_step().unwrap().contains("re-words"));
        let both = at(&args(&["re-notes"], &["re-notes"])).unwrap_err();
        assert!(both.to_string().contains("re-notes cannot begin both"));
    }

    #[test]
    fn an_app_that_starts_with_the_latest_records_begins_at_the_end_unless_told_otherwise() {
        let app = app().start(Start::Latest);
        let plan = app.plan().unwrap();
        let inputs = inputs(&app, &plan);
        let of = |args: &ResetArgs| {
            let places = places(&inputs, args).unwrap();
            let lines = inputs.iter().position(|input| input.topic == "re-lines");
            places[lines.unwrap()]
        };
        let chosen = args(&[], &["re-feed", "re-notes"]);
        assert_eq!(of(&chosen), At::End);
        let chosen = args(&["re-lines"], &["re-feed", "re-notes"]);
        assert_eq!(of(&chosen), At::Beginning);
    }
}
