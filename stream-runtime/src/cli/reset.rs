//! `reset`: the app begins anew. Offsets and tables together, because one without the other would count twice or lose.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::args::{Output, ResetArgs};
use super::ask::confirmed;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::lock;
use super::print::{json, line};
use crate::app::Start;
use crate::kafka::{Admin, Place, TopicPartition};
use crate::topology::Plan;

/// How long members may take to be gone: a killed worker counts until its session ends.
const MEMBERS_GONE: Duration = Duration::from_secs(10);
/// How long a broker may take to delete topics.
const DELETED: Duration = Duration::from_secs(20);

pub(super) fn run(cx: &Context<'_>, args: &ResetArgs) -> CliResult {
    cx.plan()?;
    let properties = cx.client()?;
    let admin = cx.admin(&properties)?;
    wait_for_no_members(cx, &admin)?;
    let existing = admin.topics()?;
    let plan = cx.plan_among(&existing.keys().cloned().collect::<Vec<_>>())?;
    let repartition: Vec<String> = plan
        .repartition_topics()
        .map(|input| input.topic.clone())
        .filter(|topic| existing.contains_key(topic))
        .collect();
    let inputs: Vec<&str> = plan
        .input_topics()
        .into_iter()
        .filter(|topic| existing.contains_key(*topic) && !repartition.iter().any(|r| r == topic))
        .collect();
    let changelogs: Vec<String> = changelogs(&plan)
        .into_iter()
        .filter(|topic| existing.contains_key(topic.as_str()))
        .collect();
    let stores = stores(cx)?;
    if cx.output() == Output::Text {
        let place = match cx.app().start {
            Start::Earliest => "beginning",
            Start::Latest => "end",
        };
        line(format_args!("App {} begins anew:", cx.id()))?;
        line(format_args!(
            "  offsets back to the {place}: {}",
            or_none(&inputs.join(", "))
        ))?;
        line(format_args!(
            "  changelogs deleted: {}",
            or_none(&changelogs.join(", "))
        ))?;
        if !repartition.is_empty() {
            line(format_args!(
                "  repartition topics deleted: {}",
                repartition.join(", ")
            ))?;
        }
        line(format_args!("  stores deleted: {}", stores.len()))?;
        line("Records in input and output topics stay.")?;
    }
    if !args.yes && !confirmed("reset without asking")? {
        return Err(CliError::failure("not confirmed: nothing was changed"));
    }
    for store in &stores {
        remove_store(store)?;
    }
    lock::forget(cx.data_dir(), cx.id())?;
    // With a repartition topic go the group's offsets in it; the workers tell anew where they are.
    let workers: Vec<String> = Some(plan.workers_topic())
        .filter(|topic| existing.contains_key(topic))
        .into_iter()
        .collect();
    delete(
        &admin,
        &[&changelogs[..], &repartition[..], &workers[..]].concat(),
    )?;
    let partitions: Vec<TopicPartition> = inputs
        .iter()
        .flat_map(|topic| (0..existing[*topic].partitions).map(|p| ((*topic).into(), p)))
        .collect();
    let offsets = match cx.app().start {
        Start::Earliest => admin.starts(&partitions)?,
        Start::Latest => admin.ends(&partitions)?,
    };
    let places: Vec<Place> = partitions
        .into_iter()
        .zip(offsets)
        .map(|((topic, partition), offset)| Place::new(topic, partition, offset))
        .collect();
    admin.set_committed(cx.id(), &places)?;
    match cx.output() {
        Output::Text => line("Done."),
        Output::Json => json(&serde_json::json!({
            "app": cx.id(), "inputs": inputs, "changelogs": changelogs,
            "repartition_topics": repartition, "stores": stores.len(),
        })),
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
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
            let threads = if members == 1 {
                "1 stream thread is"
            } else {
                &format!("{members} stream threads are")
            };
            return Err(
                CliError::failure(format_args!("{threads} at work for {}", cx.id()))
                    .next("stop all workers of the app, then reset it"),
            );
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
