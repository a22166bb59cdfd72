//! `topics`: what there is in the broker, and how far the app has read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::{Output, TopicsArgs};
use super::context::Context;
use super::error::CliResult;
use super::plan_view::AppView;
use super::print::{Columns, json};
use crate::kafka::{Admin, TopicPartition};

#[derive(Serialize)]
struct Row {
    topic: String,
    roles: Vec<&'static str>,
    /// `None`: it does not exist yet.
    partitions: Option<i32>,
    replication: Option<i32>,
    /// Between the first and the end offsets; markers of transactions and compacted records count.
    offsets: Option<i64>,
    /// What the app has not read of an input.
    lag: Option<i64>,
}

pub(super) fn run(cx: &Context<'_>, args: &TopicsArgs) -> CliResult {
    let properties = cx.client()?;
    let admin = cx.admin(&properties)?;
    let existing = admin.topics()?;
    let names: Vec<String> = existing.keys().cloned().collect();
    let view = AppView::of(cx.app(), &cx.plan_among(&names)?);
    let mut roles: BTreeMap<&str, Vec<&'static str>> = view
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.roles.clone()))
        .collect();
    if args.all {
        for name in existing.keys() {
            roles.entry(name).or_default();
        }
    }
    let mut rows = Vec::new();
    for (name, roles) in roles {
        let found = existing.get(name);
        let mut row = Row {
            topic: name.to_owned(),
            partitions: found.map(|topic| topic.partitions),
            replication: found.map(|topic| topic.replication),
            offsets: None,
            lag: None,
            roles,
        };
        if let Some(found) = found {
            let asked: Vec<TopicPartition> =
                (0..found.partitions).map(|p| (name.into(), p)).collect();
            let (starts, ends) = (admin.starts(&asked)?, admin.ends(&asked)?);
            row.offsets = Some(
                ends.iter()
                    .zip(&starts)
                    .map(|(end, start)| end - start)
                    .sum(),
            );
            let read = ["input", "repartition", "windows sent again"];
            if row.roles.iter().any(|role| read.contains(role)) {
                row.lag = Some(lag(&admin, cx.id(), &asked, &starts, &ends)?);
            }
        }
        rows.push(row);
    }
    if cx.output() == Output::Json {
        return json(&rows);
    }
    let mut columns = Columns::new(
        cx.style(),
        &["topic", "role", "partitions", "replicas", "offsets", "lag"],
    );
    for row in rows {
        let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        columns.row([
            row.topic,
            row.roles.join(", "),
            row.partitions
                .map_or_else(|| "not made yet".to_owned(), |n| n.to_string()),
            row.replication.map(|n| n.to_string()).unwrap_or_default(),
            number(row.offsets),
            number(row.lag),
        ]);
    }
    columns.print()
}

fn lag(
    admin: &Admin,
    group: &str,
    asked: &[TopicPartition],
    starts: &[i64],
    ends: &[i64],
) -> CliResult<i64> {
    let committed = admin.committed(group, asked)?;
    let mut lag = 0;
    for ((topic_partition, start), end) in asked.iter().zip(starts).zip(ends) {
        let read = committed
            .iter()
            .find(|c| (&c.topic, c.partition) == (&topic_partition.0, topic_partition.1));
        lag += end
            - read
                .and_then(|c| c.offset)
                .unwrap_or(*start)
                .clamp(*start, *end);
    }
    Ok(lag)
}
