//! Offsets of a log from outside: ListOffsets and DeleteRecords.

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
};

use super::node::Node;
use crate::log::{LogError, RecordFault};
use crate::topics::Partition;
use crate::wire::Code;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const LARGEST_TIMESTAMP: i64 = -3;

/// The code of a log's refusal.
pub(super) fn code_of(error: &LogError) -> Code {
    match error {
        LogError::Corrupt => Code::CorruptMessage,
        LogError::UnsupportedFormat => Code::UnsupportedForMessageFormat,
        LogError::InvalidRecord => Code::InvalidRecord,
        LogError::Records(RecordFault::Keyless, _) => Code::InvalidRecord,
        LogError::Records(RecordFault::Timestamp, _) => Code::InvalidTimestamp,
        LogError::TooLarge => Code::MessageTooLarge,
        LogError::InvalidProducerEpoch => Code::InvalidProducerEpoch,
        LogError::OutOfOrderSequence => Code::OutOfOrderSequenceNumber,
        LogError::InvalidTxnState => Code::InvalidTxnState,
        LogError::OffsetOutOfRange => Code::OffsetOutOfRange,
        LogError::Storage(error) => {
            tracing::warn!(%error, "the data directory cannot be written or read");
            Code::KafkaStorageError
        }
    }
}

/// Answers ListOffsets.
pub(super) fn list(node: &Node, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let committed = request.isolation_level == 1;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let found = node.catalog.partition(&topic.name, wanted.partition_index);
            let result = found.ok_or(Code::UnknownTopicOrPartition);
            let result = result.and_then(|partition| find(&partition, wanted, committed));
            let response = ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index);
            match result {
                Ok((offset, timestamp)) => {
                    let epoch = if offset < 0 || version < 4 { -1 } else { 0 };
                    response
                        .with_offset(offset)
                        .with_timestamp(timestamp)
                        .with_leader_epoch(epoch)
                }
                Err(code) => response
                    .with_error_code(code.code())
                    .with_offset(-1)
                    .with_timestamp(-1),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    ListOffsetsResponse::default().with_topics(topics)
}

/// The offset and time asked for; -1 and -1 when there is no such record.
fn find(
    partition: &Partition,
    wanted: &ListOffsetsPartition,
    committed: bool,
) -> Result<(i64, i64), Code> {
    let log = partition.log();
    let end = if committed {
        log.last_stable_offset()
    } else {
        log.high_watermark()
    };
    let found = match wanted.timestamp {
        LATEST => return Ok((end, -1)),
        EARLIEST => return Ok((log.log_start(), -1)),
        LARGEST_TIMESTAMP => log.largest_time(),
        timestamp if timestamp >= 0 => log.offset_of_time(timestamp),
        _ => return Err(Code::UnsupportedVersion),
    };
    let found = found.map_err(|error| code_of(&LogError::Storage(error)))?;
    Ok(found
        .filter(|(offset, _)| *offset < end)
        .unwrap_or((-1, -1)))
}

/// Answers DeleteRecords.
pub(super) fn delete(node: &Node, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let known = node.catalog.get(&topic.name);
        let partitions = topic.partitions.iter().map(|wanted| {
            let partition = known
                .as_ref()
                .and_then(|topic| topic.partition(wanted.partition_index));
            let deletes = known.as_ref().is_some_and(|topic| topic.config.log.delete);
            let result = match partition {
                Some(_) if !deletes => Err(Code::PolicyViolation),
                Some(partition) => partition
                    .log()
                    .delete_records(wanted.offset)
                    .map_err(|error| code_of(&error)),
                None => Err(Code::UnknownTopicOrPartition),
            };
            let response = DeleteRecordsPartitionResult::default()
                .with_partition_index(wanted.partition_index);
            match result {
                Ok(low) => response.with_low_watermark(low),
                Err(code) => response.with_error_code(code.code()).with_low_watermark(-1),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    DeleteRecordsResponse::default().with_topics(topics)
}
