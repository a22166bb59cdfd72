//! `reset`: the app starts again. Offsets and tables together, because one without the other would count twice or lose;
//! and what its own agents wrote for each other is not read once more beside what they write now.

mod inputs;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::args::{Output, ResetArgs};
use super::confirm::confirmed;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::print::{json, line};
use crate::kafka::{Admin, TopicPartition, TopicPartitionOffset};
use crate::task::signature;
use crate::topology::Plan;
use inputs::{At, inputs, kept, places};

/// How long members may take to be gone: a killed worker counts until its session ends.
const MEMBERS_GONE: Duration = Duration::from_secs(10);
/// How long a broker may take to delete topics.
const DELETED: Duration = Duration::from_secs(20);

pub(super) fn run(cx: &Context<'_>, args: &ResetArgs) -> CliResult {
    let plan = cx.plan()?;
    // Before anything is asked of a broker: what it says about the arguments does not change.
    if plan.patterns.is_empty() {
        places(&inputs(cx.app(), &plan), args)?;
    }
    let properties = cx.client()?;
    let admin = cx.admin(&properties)?;
    if !args.dry_run {
        wait_for_no_members(cx, &admin)?;
    }
    let work = Work::find(cx, &admin, args)?;
    if cx.output() == Output::Text {
        work.say(cx, args)?;
    }
    if args.dry_run {
        let members = admin.members(cx.id())?;
        if members > 0 {
            cx.note(format_args!(
                "{} at work for {}: reset begins when all workers are stopped.",
                threads(members),
                cx.id()
            ));
        }
        return match cx.output() {
            Output::Text => line("Nothing was changed."),
            Output::Json => work.json(cx, true),
        };
    }
    if !args.yes && !confirmed("reset without asking")? {
        return Err(CliError::failure("not confirmed: nothing was changed"));
    }
    work.run(cx, &admin)?;
    match cx.output() {
        Output::Text => line("Done."),
        Output::Json => work.json(cx, false),
    }
}

/// What there is to do.
struct Work {
    /// Inputs that are read again.
    again: Vec<String>,
    /// Inputs whose records are left out, and why.
    onward: Vec<(String, String)>,
    changelogs: Vec<String>,
    repartition: Vec<String>,
    /// Where closed windows wait that were sent again.
    windows: Vec<String>,
    /// Where the workers tell each other where they are.
    workers: Vec<String>,
    stores: Vec<PathBuf>,
    /// Topics of dead letters, late records and rows set aside that exist.
    kept: Vec<String>,
    /// How many partitions each existing topic has.
    partitions: BTreeMap<String, i32>,
}

impl Work {
    fn find(cx: &Context<'_>, admin: &Admin, args: &ResetArgs) -> CliResult<Self> {
        let partitions: BTreeMap<String, i32> = admin
            .topics()?
            .into_iter()
            .map(|(name, topic)| (name, topic.partitions))
            .collect();
        let plan = cx.plan_among(&partitions.keys().cloned().collect::<Vec<_>>())?;
        let exists = |topic: &String| partitions.contains_key(topic);
        let inputs = inputs(cx.app(), &plan);
        let places = places(&inputs, args)?;
        let (mut again, mut onward) = (Vec::new(), Vec::new());
        for (input, at) in inputs.into_iter().zip(places) {
            if !exists(&input.topic) {
                continue;
            }
            match at {
                At::Beginning => again.push(input.topic),
                At::End => {
                    let why = match () {
                        () if args.to_end.contains(&input.topic) => "--to-end".to_owned(),
                        () if input.streams.is_empty() => "start = \"latest\"".to_owned(),
                        () => format!("written again by {}", input.streams.join(", ")),
                    };
                    onward.push((input.topic, why));
                }
            }
        }
        let repartition = plan.repartition_topics();
        Ok(Work {
            again,
            onward,
            changelogs: changelogs(&plan).into_iter().filter(exists).collect(),
            repartition: repartition
                .map(|input| input.topic.clone())
                .filter(exists)
                .collect(),
            windows: plan.again_topics().filter(exists).collect(),
            workers: Some(plan.workers_topic())
                .into_iter()
                .filter(exists)
                .collect(),
            stores: stores(cx)?,
            kept: kept(&plan).into_iter().filter(exists).collect(),
            partitions,
        })
    }

    fn say(&self, cx: &Context<'_>, args: &ResetArgs) -> CliResult {
        let starts = if args.dry_run {
            "would start"
        } else {
            "starts"
        };
        line(format_args!("App {} {starts} again:", cx.id()))?;
        line(format_args!(
            "  offsets back to the beginning: {}",
            or_none(&self.again.join(", "))
        ))?;
        for (topic, why) in &self.onward {
            line(format_args!("  offsets to the end: {topic} ({why})"))?;
        }
        line(format_args!(
            "  changelogs deleted: {}",
            or_none(&self.changelogs.join(", "))
        ))?;
        if !self.repartition.is_empty() {
            line(format_args!(
                "  repartition topics deleted: {}",
                self.repartition.join(", ")
            ))?;
        }
        if !self.windows.is_empty() {
            line(format_args!(
                "  topics of windows that were sent again deleted: {}",
                self.windows.join(", ")
            ))?;
        }
        if !self.workers.is_empty() {
            line(format_args!(
                "  deleted, and made again by the next worker: {}",
                self.workers.join(", ")
            ))?;
        }
        line(format_args!("  stores deleted: {}", self.stores.len()))?;
        if !self.kept.is_empty() {
            line(format_args!(
                "  dead letters, late records and rows set aside are kept: {}",
                self.kept.join(", ")
            ))?;
        }
        line("Records in input and output topics stay: what is written again stands behind them.")
    }

    fn json(&self, cx: &Context<'_>, dry_run: bool) -> CliResult {
        let to_end: Vec<&str> = self.onward.iter().map(|(topic, _)| &**topic).collect();
        json(&serde_json::json!({
            "app": cx.id(), "dry_run": dry_run, "inputs": self.again, "to_end": to_end,
            "changelogs": self.changelogs, "repartition_topics": self.repartition,
            "windows_sent_again": self.windows, "workers_topic": self.workers.first(),
            "stores": self.stores.len(), "kept": self.kept,
        }))
    }

    /// Does it, in an order in which a reset that is killed never leaves an app that counts twice or skips: without its
    /// changelogs no task with tables starts, and with its new offsets each starts again. To run it again finishes it.
    fn run(&self, cx: &Context<'_>, admin: &Admin) -> CliResult {
        for store in &self.stores {
            remove_store(store)?;
        }
        delete(admin, &self.changelogs)?;
        let onward = self.onward.iter().map(|(topic, _)| topic);
        // Repartition topics and windows that were sent again too: what is still in them is not to be read once more
        // before they are gone.
        let inner = self.repartition.iter().chain(&self.windows);
        let ends = self.partitions_of(onward.chain(inner));
        let starts = self.partitions_of(self.again.iter());
        let offsets = [admin.starts(&starts)?, admin.ends(&ends)?].concat();
        let places = starts.into_iter().chain(ends).zip(offsets);
        let places: Vec<TopicPartitionOffset> = places
            .map(|((topic, partition), offset)| TopicPartitionOffset::new(topic, partition, offset))
            .collect();
        // All of them at once: no partition starts again beside one that does not.
        let signed = places.into_iter().map(|place| (place, signature::fresh()));
        let signed: Vec<(TopicPartitionOffset, String)> = signed.collect();
        admin.set_committed(cx.id(), &signed)?;
        // With a repartition topic go the group's offsets in it; the workers tell again where they are.
        let gone = [&self.repartition[..], &self.windows, &self.workers].concat();
        delete(admin, &gone)?;
        crate::app::plan_lock::forget(cx.data_dir(), cx.id())
    }

    fn partitions_of<'a>(&self, topics: impl Iterator<Item = &'a String>) -> Vec<TopicPartition> {
        let count = |topic: &String| self.partitions.get(topic).copied().unwrap_or_default();
        topics
            .flat_map(|topic| (0..count(topic)).map(|p| (topic.as_str().into(), p)))
            .collect()
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn threads(members: usize) -> String {
    match members {
        1 => "1 stream thread is".to_owned(),
        members => format!("{members} stream threads are"),
    }
}

fn wait_for_no_members(cx: &Context<'_>, admin: &Admin) -> CliResult {
    let start = Instant::now();
    let mut said = false;
    loop {
        let members = admin.members(cx.id())?;
        if members == 0 {
            return Ok(());
        }
        if start.elapsed() > MEMBERS_GONE {
            return Err(CliError::failure(format_args!(
                "{} at work for {}",
                threads(members),
                cx.id()
            ))
            .next("stop all workers of the app, then reset it"));
        }
        if !said {
            cx.note(format_args!(
                "Waiting for the workers of {} to be gone.",
                cx.id()
            ));
            said = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn changelogs(plan: &Plan) -> Vec<String> {
    plan.topologies
        .iter()
        .flat_map(|task| &task.tables)
        .filter_map(|table| table.changelog.clone())
        .collect()
}

/// The workers' directories of this data directory, none of which may be in use.
fn stores(cx: &Context<'_>) -> CliResult<Vec<PathBuf>> {
    let dir = cx.data_dir().join(cx.id());
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(&dir) else {
        return Ok(found);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with("worker-")
            || !path.join("store").exists()
        {
            continue;
        }
        if let Ok(lock) = File::options().write(true).open(path.join("lock"))
            && lock.try_lock_shared().is_err()
        {
            return Err(CliError::failure(format_args!(
                "{} is in use by a worker",
                path.display()
            ))
            .next("stop all workers of the app, then reset it"));
        }
        found.push(path);
    }
    found.sort();
    Ok(found)
}

fn remove_store(slot: &std::path::Path) -> CliResult {
    let path = slot.join("store");
    fs::remove_dir_all(&path).map_err(|error| {
        CliError::failure(format_args!("cannot delete {}: {error}", path.display()))
    })
}

fn delete(admin: &Admin, topics: &[String]) -> CliResult {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    admin.delete(&names)?;
    let start = Instant::now();
    loop {
        let existing = admin.topics()?;
        let left: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| existing.contains_key(*name))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > DELETED {
            return Err(CliError::failure(format_args!(
                "the broker has not deleted {}",
                left.join(", ")
            ))
            .next("run reset again; the broker must allow topics to be deleted"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
