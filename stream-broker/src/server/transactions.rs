//! Requests about transactions.

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId,
};

use super::convert::number;
use super::node::{Node, now};
use crate::groups::Place;
use crate::transactions::{Effects, Producer};
use crate::wire::Code;

/// Old versions know one code for every kind of fenced producer.
fn for_version(code: Code, knows_fenced: bool) -> Code {
    if code == Code::ProducerFenced && !knows_fenced {
        Code::InvalidProducerEpoch
    } else {
        code
    }
}

/// Answers InitProducerId.
pub(super) fn init(
    node: &Node,
    request: InitProducerIdRequest,
    version: i16,
) -> InitProducerIdResponse {
    let mut transactions = node.transactions();
    let given = (request.producer_id.0 >= 0, request.producer_epoch >= 0);
    let result = match &request.transactional_id {
        _ if given.0 != given.1 => Err(Code::InvalidRequest),
        None => transactions.new_producer(),
        Some(id) => {
            let (id_given, epoch) = (request.producer_id.0, request.producer_epoch);
            let current = (id_given >= 0).then_some(Producer {
                id: id_given,
                epoch,
            });
            transactions.init(id, request.transaction_timeout_ms, current, &node.effects())
        }
    };
    match result {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch),
        Err(code) => InitProducerIdResponse::default()
            .with_error_code(for_version(code, version >= 4).code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

/// Answers AddPartitionsToTxn.
pub(super) fn add_partitions(
    node: &Node,
    request: AddPartitionsToTxnRequest,
    version: i16,
) -> AddPartitionsToTxnResponse {
    let effects = node.effects();
    let topics = &request.v3_and_below_topics;
    let places: Vec<Place> = topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|it| (topic.name.to_string(), *it))
        })
        .collect();
    let known = places.iter().all(|place| effects.exists(place));
    let producer = Producer {
        id: request.v3_and_below_producer_id.0,
        epoch: request.v3_and_below_producer_epoch,
    };
    let result = if known {
        let id = &request.v3_and_below_transactional_id;
        node.transactions()
            .add_partitions(id, producer, places, &effects, now())
    } else {
        Ok(())
    };
    let code = |topic: &str, partition: i32| match result {
        Err(code) => for_version(code, version >= 2).code(),
        Ok(()) if known => 0,
        Ok(()) if effects.exists(&(topic.to_owned(), partition)) => {
            Code::OperationNotAttempted.code()
        }
        Ok(()) => Code::UnknownTopicOrPartition.code(),
    };
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(&topic.name, *partition))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

/// Answers AddOffsetsToTxn.
pub(super) fn add_offsets(
    node: &Node,
    request: AddOffsetsToTxnRequest,
    version: i16,
) -> AddOffsetsToTxnResponse {
    let producer = Producer {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let result = node.transactions().add_group(
        &request.transactional_id,
        producer,
        &request.group_id,
        now(),
    );
    let result = result.map_err(|code| for_version(code, version >= 2));
    AddOffsetsToTxnResponse::default().with_error_code(number(result))
}

/// Answers EndTxn.
pub(super) fn end(node: &Node, request: EndTxnRequest, version: i16) -> EndTxnResponse {
    let producer = Producer {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let id = &request.transactional_id;
    let result = node
        .transactions()
        .end(id, producer, request.committed, &node.effects());
    let result = result.map_err(|code| for_version(code, version >= 2));
    EndTxnResponse::default().with_error_code(number(result))
}
