//! `dead-letters resend`: the records go again to where they came from, closed windows to their agent, each once,
//! whatever happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Desk, ResendArgs, Tray, count, group};
use crate::app::ProcessingGuarantee;
use crate::cli::args::Output;
use crate::cli::confirm::confirmed;
use crate::cli::context::Context;
use crate::cli::error::{CliError, CliResult};
use crate::cli::print::{json, line};
use crate::cli::progress::Progress;
use crate::error::counted;
use crate::kafka::{
    OutHeaders, Outgoing, Sender, TopicPartitionOffset, TopicSettings, TopicView,
    TransactionalProducer, Visitor, again,
};
use crate::task::letter::{Letter, Origin};
use crate::task::letter_place::LetterPlace;
use crate::topology::again_topic;

/// Records and bytes of one transaction at most.
const CHUNK: (usize, usize) = (1_000, 8 << 20);
/// How long records may take to be delivered.
const DELIVERY: Duration = Duration::from_secs(60);

/// What was found in a dead-letter topic.
#[derive(Default)]
struct Chosen {
    letters: Vec<Letter>,
    /// Place and why not.
    refused: Vec<(String, String)>,
    /// Sent again before, and so not now.
    before: usize,
    /// First letter of each partition that waits and is not chosen.
    waits: BTreeMap<i32, i64>,
    /// Behind the last letter of each partition.
    ends: BTreeMap<i32, i64>,
}

pub(super) fn run(cx: &Context<'_>, args: &ResendArgs) -> CliResult {
    let desk = Desk::open(cx)?;
    let Some(mut tray) = desk.trays(Some(&args.agent))?.pop() else {
        cx.note(format_args!("Agent {} has no dead letters.", args.agent));
        return said(cx, 0, &[]);
    };
    let chosen = choose(&desk, &tray, args)?;
    let (named, letters) = (!args.places.is_empty(), &chosen.letters);
    for (place, why) in &chosen.refused {
        cx.note(format_args!("{place} stays: {why}."));
    }
    if named && !chosen.refused.is_empty() {
        return Err(CliError::failure(format_args!(
            "{} cannot be sent again: nothing was sent",
            count(chosen.refused.len())
        )));
    }
    if letters.is_empty() {
        let more = match chosen.before {
            0 => String::new(),
            before => format!(
                "; {} sent again before (--again includes them)",
                count(before)
            ),
        };
        cx.note(format_args!("Nothing to send again{more}."));
        return said(cx, 0, &chosen.refused);
    }
    announce(&desk, args, letters)?;
    let missing = missing_topic(&desk, args, &tray, letters)?;
    if !args.yes && !confirmed("send without asking")? {
        return Err(CliError::failure("not confirmed: nothing was sent"));
    }
    desk.admin.create(missing.as_slice())?;
    let guarantee = cx.app().guarantee;
    let progress = Progress::records(cx.progress(), letters.len() as u64);
    let mut post = Post::open(&desk, guarantee)?;
    let mut left: BTreeSet<LetterPlace> = letters.iter().map(|letter| letter.place).collect();
    for chunk in chunks(letters) {
        for letter in chunk {
            left.remove(&letter.place);
            tray.resent.add(letter.place);
        }
        settle(&mut tray, &chosen, &left);
        post.send(&tray, chunk, cx.id())?;
        progress.advance(chunk.len() as u64);
    }
    progress.finish();
    cx.note(format_args!("Sent {} again.", count(letters.len())));
    said(cx, letters.len(), &chosen.refused)
}

fn said(cx: &Context<'_>, resent: usize, refused: &[(String, String)]) -> CliResult {
    if cx.output() == Output::Text {
        return Ok(());
    }
    let refused: Vec<_> = refused
        .iter()
        .map(|(place, why)| serde_json::json!({ "place": place, "why": why }))
        .collect();
    json(&serde_json::json!({ "resent": resent, "refused": refused }))
}

/// Reads the letters and takes those that are meant.
fn choose(desk: &Desk<'_>, tray: &Tray, args: &ResendArgs) -> CliResult<Chosen> {
    let mut chosen = Chosen::default();
    let mut missing = args.places.clone();
    let existing = desk.admin.topics()?;
    desk.read(tray, &mut |letter| {
        let place = letter.place;
        chosen.ends.insert(place.partition, place.offset + 1);
        let again = tray.resent.contains(place);
        if !tray.agents.contains(&letter.agent) {
            if !again {
                chosen.waits.entry(place.partition).or_insert(place.offset);
            }
            return Ok(ControlFlow::Continue(()));
        }
        missing.retain(|named| *named != place);
        let meant = args.places.is_empty() || args.places.contains(&place);
        if again && (!args.again || !meant) {
            chosen.before += usize::from(meant);
            return Ok(ControlFlow::Continue(()));
        }
        match (desk.refusal(&letter), gone(desk, &letter, &existing)) {
            // It never can: it does not wait.
            (Some(why), _) if meant => chosen.refused.push((place.to_string(), why)),
            (Some(_), _) => {}
            (None, None) if meant => chosen.letters.push(letter),
            (None, why) => {
                chosen.waits.entry(place.partition).or_insert(place.offset);
                if let (true, Some(why)) = (meant, why) {
                    chosen.refused.push((place.to_string(), why));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if let Some(place) = missing.first() {
        return Err(CliError::failure(format_args!(
            "agent {} has no dead letter at {place}: nothing was sent",
            args.agent
        ))
        .next(format_args!(
            "`dead-letters list {}` lists them",
            args.agent
        )));
    }
    // As they failed.
    chosen.letters.sort_by_key(|letter| letter.place);
    Ok(chosen)
}

/// Why its source does not take it back.
fn gone(
    desk: &Desk<'_>,
    letter: &Letter,
    existing: &BTreeMap<String, TopicView>,
) -> Option<String> {
    let (topic, partition) = letter.way_back(desk.cx.id())?;
    let count = match (existing.get(&topic), &letter.origin) {
        (Some(view), _) => view.partitions,
        // It is made with the partitions of what its agent's table is kept by.
        (None, Origin::Window { .. }) => {
            let mut inputs = desk.view.beside(&letter.agent);
            match inputs.find_map(|input| existing.get(input)) {
                Some(view) => view.partitions,
                None => return Some("the inputs of its task do not exist any more".to_owned()),
            }
        }
        (None, _) => return Some(format!("topic {topic} does not exist any more")),
    };
    (count <= partition).then(|| format!("topic {topic} has no partition {partition} any more"))
}

/// The topic that brings the agent its windows again, if some are to be sent and nobody has made it. It takes what the
/// topic of the dead letters takes.
fn missing_topic(
    desk: &Desk<'_>,
    args: &ResendArgs,
    tray: &Tray,
    letters: &[Letter],
) -> CliResult<Option<TopicSettings>> {
    let is_window = |letter: &&Letter| matches!(letter.origin, Origin::Window { .. });
    if !letters.iter().any(|letter| is_window(&letter)) {
        return Ok(None);
    }
    let name = again_topic(desk.cx.id(), &args.agent);
    let existing = desk.admin.topics()?;
    if existing.contains_key(&name) {
        return Ok(None);
    }
    let mut inputs = desk.view.beside(&args.agent);
    let input = inputs.find_map(|input| existing.get(input));
    let mut config = vec![
        ("retention.ms".to_owned(), "-1".to_owned()),
        ("retention.bytes".to_owned(), "-1".to_owned()),
        ("cleanup.policy".to_owned(), "delete".to_owned()),
    ];
    let of_letters = desk.admin.config(&tray.topic)?;
    let limit = of_letters.get("max.message.bytes");
    config.extend(limit.map(|bytes| ("max.message.bytes".to_owned(), bytes.clone())));
    Ok(Some(TopicSettings {
        name,
        partitions: input.map(|view| view.partitions),
        replication: existing.get(&tray.topic).map(|view| view.replication),
        config,
    }))
}

/// Says what will happen, and who will see the records again.
fn announce(desk: &Desk<'_>, args: &ResendArgs, letters: &[Letter]) -> CliResult {
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    let mut windows: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in letters {
        match &letter.origin {
            Origin::Record { topic, .. } => *topics.entry(topic).or_default() += 1,
            Origin::Window { table, .. } => *windows.entry(table).or_default() += 1,
            Origin::Unknown => {}
        }
    }
    let mut text = match letters.len() {
        1 => "1 dead letter goes again as it came:".to_owned(),
        several => format!("{several} dead letters go again as they came:"),
    };
    for (topic, number) in topics {
        let mut readers = Vec::new();
        for agent in desk.view.agents() {
            if !agent.reads.iter().any(|read| read == topic) {
                continue;
            }
            let how = match (agent.name == args.agent, number) {
                (true, 1) => "failed on it",
                (true, _) => "failed on them",
                (false, 1) => "has seen it, and will see it again",
                (false, _) => "has seen them, and will see them again",
            };
            readers.push(format!("`{}` ({how})", agent.name));
        }
        let readers = match readers.is_empty() {
            true => "no agent of this app reads it any more".to_owned(),
            false => format!("read by {}", readers.join(", ")),
        };
        text += &format!("\n  {number} to {topic}, {readers}");
    }
    for (table, number) in windows {
        let what = counted(number, "closed window");
        let agent = &args.agent;
        text += &format!("\n  {what} of table `{table}` to `{agent}`, which no other agent sees");
    }
    text += match letters.len() {
        1 => "\nIts time stays: windows that have closed do not open again.",
        _ => "\nTheir times stay: windows that have closed do not open again.",
    };
    match desk.cx.output() {
        Output::Text => line(text),
        Output::Json => {
            desk.cx.note(format_args!("{text}"));
            Ok(())
        }
    }
}

/// Moves the offsets past everything that does not wait any more; `left` is still to be sent.
fn settle(tray: &mut Tray, chosen: &Chosen, left: &BTreeSet<LetterPlace>) {
    for (partition, end) in &chosen.ends {
        let at = |offset| LetterPlace {
            partition: *partition,
            offset,
        };
        let left = left.range(at(0)..at(i64::MAX)).next();
        let waits = chosen.waits.get(partition).copied();
        let first = left
            .map(|place| place.offset)
            .into_iter()
            .chain(waits)
            .min();
        tray.resent.nothing_below(*partition, first.unwrap_or(*end));
    }
}

/// Parts that each fit a transaction.
fn chunks(letters: &[Letter]) -> Vec<&[Letter]> {
    let (mut chunks, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, letter) in letters.iter().enumerate() {
        let row = match &letter.origin {
            Origin::Window { row: Some(row), .. } => row.len(),
            _ => 0,
        };
        let size = letter.value.as_ref().map_or(0, Vec::len) + row + 100;
        if at > from && (at - from >= CHUNK.0 || bytes + size > CHUNK.1) {
            chunks.push(&letters[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < letters.len() {
        chunks.push(&letters[from..]);
    }
    chunks
}

/// Whether a call to the broker is made again.
fn patient(spent: Duration) -> bool {
    spent < DELIVERY
}

/// How they go: records and what says that they were sent, at once where the broker can.
enum Post<'a> {
    Exact(Box<TransactionalProducer>, Visitor),
    Least(Sender, &'a Desk<'a>),
}

impl<'a> Post<'a> {
    fn open(desk: &'a Desk<'a>, guarantee: ProcessingGuarantee) -> CliResult<Self> {
        if guarantee != ProcessingGuarantee::ExactlyOnce {
            return Ok(Post::Least(Sender::single(&desk.properties)?, desk));
        }
        let group = group(desk.cx);
        // Of two that send at once, the later one stops the other.
        let producer = TransactionalProducer::new(&desk.properties, &group)?;
        again(patient, || producer.init())?;
        Ok(Post::Exact(Box::new(producer), desk.admin.visitor(&group)?))
    }

    fn send(&mut self, tray: &Tray, letters: &[Letter], id: &str) -> CliResult {
        let mut offsets = Vec::new();
        let mut partitions: Vec<i32> = letters.iter().map(|l| l.place.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        for partition in partitions {
            let Some((offset, text)) = tray.resent.commit(partition) else {
                return Err(CliError::failure(format_args!(
                    "too many single dead letters of partition {partition} were sent again to keep count of"
                ))
                .next("send all that wait: name no places"));
            };
            let place = TopicPartitionOffset::new(tray.topic.as_str(), partition, offset);
            offsets.push((place, text));
        }
        match self {
            Post::Exact(producer, group) => {
                producer.begin()?;
                let sent = letters.iter().try_for_each(|letter| {
                    let (topic, partition) = way_back(letter, id)?;
                    let record = outgoing(letter, &topic, partition);
                    producer.send(record).map_err(CliError::from)
                });
                let sent = sent.and_then(|()| {
                    let began = Instant::now();
                    let goes_on = || patient(began.elapsed());
                    if let Some(failure) = producer.settle(goes_on)?.failures.first() {
                        return Err(CliError::failure(failure));
                    }
                    producer.send_offsets_of(&offsets, group, goes_on)?;
                    Ok(again(patient, || producer.commit())?)
                });
                if sent.is_err() {
                    let _ = again(patient, || producer.abort());
                }
                sent
            }
            Post::Least(sender, desk) => {
                for letter in letters {
                    let (topic, partition) = way_back(letter, id)?;
                    sender.send(outgoing(letter, &topic, partition))?;
                }
                if let Some(failure) = sender.flush(DELIVERY)?.failures.first() {
                    return Err(CliError::failure(failure));
                }
                Ok(desk.admin.set_committed(&group(desk.cx), &offsets)?)
            }
        }
    }
}

fn way_back(letter: &Letter, id: &str) -> CliResult<(String, i32)> {
    let way = letter.way_back(id);
    way.ok_or_else(|| CliError::failure("it has no source record"))
}

fn outgoing<'a>(letter: &'a Letter, topic: &'a str, partition: i32) -> Outgoing<'a> {
    let headers = letter.headers_again();
    let all = headers.iter();
    let all = all.map(|(name, value)| (name.as_str(), value.as_deref()));
    Outgoing {
        topic,
        partition: Some(partition),
        key: letter.key.as_deref(),
        value: letter.value.as_deref(),
        timestamp: letter.stamp_again(),
        headers: (!headers.is_empty()).then(|| OutHeaders::new(all)),
        slot: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: i64, size: usize) -> Letter {
        Letter {
            place: LetterPlace {
                partition: 0,
                offset,
            },
            timestamp: 0,
            error: String::new(),
            agent: "total".into(),
            attempts: 1,
            origin: Origin::Unknown,
            headers: vec![],
            cut_from: None,
            key: None,
            value: Some(vec![0; size]),
        }
    }

    #[test]
    fn chunks_hold_so_many_records_and_bytes_and_all_of_them() {
        let sizes =
            |letters: &[Letter]| chunks(letters).iter().map(|c| c.len()).collect::<Vec<_>>();
        let many: Vec<_> = (0..2_500).map(|offset| letter(offset, 10)).collect();
        assert_eq!(sizes(&many), [1_000, 1_000, 500]);
        let large: Vec<_> = (0..3).map(|offset| letter(offset, 5 << 20)).collect();
        assert_eq!(sizes(&large), [1, 1, 1]);
        assert!(chunks(&[]).is_empty());
    }

    #[test]
    fn offsets_move_past_what_does_not_wait_and_stop_before_what_does() {
        let mut tray = Tray {
            topic: "dead".into(),
            agents: vec![],
            resent: Default::default(),
        };
        let mut chosen = Chosen::default();
        chosen.ends.insert(0, 31);
        // Another agent's waits in between.
        chosen.waits.insert(0, 25);
        let mut left: BTreeSet<LetterPlace> = [3, 9, 20].map(|at| letter(at, 1).place).into();
        let mut send = |tray: &mut Tray, offset: i64| {
            let place = letter(offset, 1).place;
            left.remove(&place);
            tray.resent.add(place);
            settle(tray, &chosen, &left);
            tray.resent.commit(0).unwrap()
        };
        assert_eq!(send(&mut tray, 9), (3, "9".to_owned()));
        assert_eq!(send(&mut tray, 3), (20, String::new()));
        assert_eq!(send(&mut tray, 20), (25, String::new()));
    }
}
