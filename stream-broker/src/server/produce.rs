//! Produce: batches are stamped in the frame they came in and written from there.

use bytes::BytesMut;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::convert::{Answer, text};
use super::node::{Node, now};
use super::records::code_of;
use crate::log::{LogError, RecordFault};
use crate::wire::Code;
use crate::wire::frame;
use crate::wire::produce::{ProduceTopic, decode};

/// The first version whose answer names the records that are refused.
const WITH_RECORDS: i16 = 8;

/// Answers Produce.
pub(super) fn produce(
    node: &Node,
    mut body: BytesMut,
    flexible: bool,
    version: i16,
    correlation: i32,
) -> anyhow::Result<Answer> {
    let request = decode(&body, flexible).map_err(|why| anyhow::anyhow!("Produce {}", why.0))?;
    let acks = matches!(request.acks, -1..=1);
    let mut failed = false;
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let results = if acks {
            append(node, &mut body, &topic, version)
        } else {
            topic
                .partitions
                .iter()
                .map(|(index, _)| refused(*index, Code::InvalidRequiredAcks))
                .collect()
        };
        failed |= results.iter().any(|result| result.error_code != 0);
        let name = TopicName(text(&topic.name));
        responses.push(
            TopicProduceResponse::default()
                .with_name(name)
                .with_partition_responses(results),
        );
    }
    if request.acks == 0 {
        return Ok(if failed {
            Answer::Close
        } else {
            Answer::Nothing
        });
    }
    let response = ProduceResponse::default().with_responses(responses);
    Ok(Answer::Send(frame::encode(
        &response,
        version,
        correlation,
    )?))
}

fn append(
    node: &Node,
    body: &mut BytesMut,
    topic: &ProduceTopic,
    version: i16,
) -> Vec<PartitionProduceResponse> {
    let known = node.catalog.get(&topic.name);
    let each = topic.partitions.iter().map(|(index, range)| {
        let Some(partition) = known.as_ref().and_then(|topic| topic.partition(*index)) else {
            return refused(*index, Code::UnknownTopicOrPartition);
        };
        match partition.append(&mut body[range.clone()], now()) {
            Ok((appended, log_start)) => PartitionProduceResponse::default()
                .with_index(*index)
                .with_base_offset(appended.base_offset)
                .with_log_append_time_ms(appended.append_time)
                .with_log_start_offset(log_start),
            Err(error) => {
                let code = code_of(&error);
                tracing::debug!(
                    topic = topic.name,
                    partition = index,
                    ?error,
                    "a batch is refused"
                );
                let refused = refused(*index, code);
                match error {
                    LogError::Records(fault, records) if version >= WITH_RECORDS => {
                        with_records(refused, fault, &records)
                    }
                    _ => refused,
                }
            }
        }
    });
    each.collect()
}

/// Says which records of the batch the topic does not take.
fn with_records(
    response: PartitionProduceResponse,
    fault: RecordFault,
    records: &[i32],
) -> PartitionProduceResponse {
    let text = match fault {
        RecordFault::Keyless => "a compacted topic takes no record without a key",
        RecordFault::Timestamp => "a record's time is out of the topic's bounds",
    };
    let text = StrBytes::from_static_str(text);
    let errors = records.iter().map(|at| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(*at)
            .with_batch_index_error_message(Some(text.clone()))
    });
    response
        .with_record_errors(errors.collect())
        .with_error_message(Some(text.clone()))
}

fn refused(index: i32, code: Code) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(code.code())
        .with_base_offset(-1)
}
