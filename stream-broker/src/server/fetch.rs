//! Fetch: answers at once if there is enough, else waits for appends.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId};
use tokio::time::Instant;

use super::node::Node;
use super::records::code_of;
use crate::log::{Fetched, LogError, ReadOutcome};
use crate::topics::{Partition, Waiter};
use crate::wire::Code;

/// The most one answer holds, whatever the client asks for, so that many slow clients cannot take all memory.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// Answers Fetch.
pub(super) async fn fetch(node: &Node, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 || request.session_epoch > 0 {
        // No sessions are kept: every answer says session 0, so only a client of another broker asks for one.
        return FetchResponse::default().with_error_code(Code::FetchSessionIdNotFound.code());
    }
    let wait =
        Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(LONGEST_WAIT);
    let deadline = Instant::now() + wait;
    let enough = usize::try_from(request.min_bytes)
        .unwrap_or(0)
        .min(MOST_BYTES);
    let waiter: Waiter = Arc::default();
    let mut waiting = false;
    loop {
        if waiting {
            // Asked to be woken before looking, so that no append between the two is missed.
            partitions(node, &request).for_each(|partition| partition.wait(&waiter));
        }
        let (response, bytes, failed) = collect(node, &request);
        if bytes >= enough || failed || Instant::now() >= deadline {
            return response;
        }
        if waiting {
            // At the deadline the loop looks once more and answers with what there is.
            let _ = tokio::time::timeout_at(deadline, waiter.notified()).await;
        }
        waiting = true;
    }
}

fn partitions<'a>(
    node: &'a Node,
    request: &'a FetchRequest,
) -> impl Iterator<Item = Arc<Partition>> + 'a {
    request.topics.iter().flat_map(|topic| {
        let found = if topic.topic_id.is_nil() {
            node.catalog.get(&topic.topic)
        } else {
            node.catalog.by_id(topic.topic_id)
        };
        topic
            .partitions
            .iter()
            .filter_map(move |wanted| found.as_ref()?.partition(wanted.partition))
    })
}

/// What there is now: the answer, its bytes of records, and whether a partition was refused.
fn collect(node: &Node, request: &FetchRequest) -> (FetchResponse, usize, bool) {
    let committed = request.isolation_level == 1;
    let most = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(MOST_BYTES);
    let (mut total, mut failed) = (0, false);
    let topics = request.topics.iter().map(|topic| {
        let by_id = !topic.topic_id.is_nil();
        let found = if by_id {
            node.catalog.by_id(topic.topic_id)
        } else {
            node.catalog.get(&topic.topic)
        };
        let missing = if by_id {
            Code::UnknownTopicId
        } else {
            Code::UnknownTopicOrPartition
        };
        let partitions = topic.partitions.iter().map(|wanted| {
            let partition = found
                .as_ref()
                .and_then(|topic| topic.partition(wanted.partition));
            let result = match partition {
                Some(partition) => read(
                    &partition,
                    wanted,
                    most.saturating_sub(total),
                    total == 0,
                    committed,
                ),
                None => Err(missing),
            };
            match result {
                Ok(data) => {
                    total += data.records.as_ref().map_or(0, |records| records.len());
                    data
                }
                Err(code) => {
                    failed = true;
                    refused(wanted.partition, code)
                }
            }
        });
        let partitions = partitions.collect();
        FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    (
        FetchResponse::default().with_responses(topics),
        total,
        failed,
    )
}

fn read(
    partition: &Partition,
    wanted: &FetchPartition,
    room: usize,
    first: bool,
    committed: bool,
) -> Result<PartitionData, Code> {
    let most = usize::try_from(wanted.partition_max_bytes)
        .unwrap_or(0)
        .min(room);
    let mut from = wanted.fetch_offset;
    loop {
        let plan = partition
            .log()
            .plan(from, most, committed)
            .map_err(|error| code_of(&error))?;
        let bounds = (plan.high_watermark, plan.last_stable_offset, plan.log_start);
        match plan.read(most, first) {
            Ok(ReadOutcome::Done(fetched)) => {
                return Ok(data(wanted.partition, bounds, fetched, committed));
            }
            Ok(ReadOutcome::GoOn(next)) => from = next,
            Err(error) => {
                tracing::error!(topic = partition.topic, partition = partition.index, offset = from, %error, "cannot read");
                return Err(code_of(&LogError::Storage(error)));
            }
        }
    }
}

fn data(index: i32, bounds: (i64, i64, i64), fetched: Fetched, committed: bool) -> PartitionData {
    let aborted = fetched.aborted.into_iter().map(|it| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(it.producer_id))
            .with_first_offset(it.first_offset)
    });
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(bounds.0)
        .with_last_stable_offset(bounds.1)
        .with_log_start_offset(bounds.2)
        .with_aborted_transactions(committed.then(|| aborted.collect()))
        .with_records(Some(fetched.records))
}

fn refused(index: i32, code: Code) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_error_code(code.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_aborted_transactions(Some(Vec::new()))
        .with_records(Some(Default::default()))
}
