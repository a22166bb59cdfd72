//! Requests about a group's offsets.

use std::time::Instant;

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::convert::{number, text};
use super::groups::given;
use super::node::Node;
use crate::groups::{Commit, CommitItem, FetchedOffset, Who};
use crate::transactions::Producer;
use crate::wire::Code;

/// The longest metadata of a commit.
const LONGEST_METADATA: usize = 4096;

/// What is asked for, apart from what is refused at once: with (topic, partition) of each item in the request's order.
#[derive(Default)]
struct Items {
    accepted: Vec<CommitItem>,
    /// By position in the request.
    refused: Vec<Option<Code>>,
}

impl Items {
    fn add(&mut self, node: &Node, item: CommitItem) {
        let code = if node
            .catalog
            .partition(&item.topic, item.partition)
            .is_none()
        {
            Some(Code::UnknownTopicOrPartition)
        } else if item.metadata.len() > LONGEST_METADATA {
            Some(Code::OffsetMetadataTooLarge)
        } else {
            self.accepted.push(item);
            None
        };
        self.refused.push(code);
    }

    /// The codes in the request's order, once it is known what came of the accepted ones.
    fn codes(self, result: Result<(), Code>) -> impl Iterator<Item = i16> {
        let rest = number(result);
        self.refused
            .into_iter()
            .map(move |refused| refused.map_or(rest, |code| code.code()))
    }
}

/// Answers OffsetCommit.
pub(super) fn commit(node: &Node, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let mut items = Items::default();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let item = CommitItem {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: given(partition.committed_metadata.as_ref()).unwrap_or_default(),
            };
            items.add(node, item);
        }
    }
    let commit = Commit {
        group: request.group_id.to_string(),
        who: Who {
            member: request.member_id.to_string(),
            instance: given(request.group_instance_id.as_ref()),
            generation: request.generation_id_or_member_epoch,
        },
        items: std::mem::take(&mut items.accepted),
    };
    let result = node.groups().commit(commit, Instant::now());
    let mut codes = items.codes(result);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(codes.next().unwrap_or_default())
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    OffsetCommitResponse::default().with_topics(topics)
}

/// Answers TxnOffsetCommit.
pub(super) fn commit_in_transaction(
    node: &Node,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let mut items = Items::default();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let item = CommitItem {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: given(partition.committed_metadata.as_ref()).unwrap_or_default(),
            };
            items.add(node, item);
        }
    }
    let commit = Commit {
        group: request.group_id.to_string(),
        who: Who {
            member: request.member_id.to_string(),
            instance: given(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        },
        items: std::mem::take(&mut items.accepted),
    };
    let producer = Producer {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    // Held until the offsets are written, so that the transaction cannot end in between.
    let transactions = node.transactions();
    let result = transactions
        .check_offsets(&request.transactional_id, producer, &request.group_id)
        .and_then(|()| node.groups().commit_in_transaction(commit, producer.id));
    drop(transactions);
    let mut codes = items.codes(result);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(codes.next().unwrap_or_default())
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    TxnOffsetCommitResponse::default().with_topics(topics)
}

/// Answers OffsetFetch.
pub(super) fn fetch(node: &Node, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let groups = node.groups();
    if version < 8 {
        let wanted = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|topic| (topic.name.to_string(), topic.partition_indexes))
                .collect()
        });
        let topics = groups
            .fetch(&request.group_id, wanted, request.require_stable)
            .into_iter();
        let topics = topics.map(|(topic, offsets)| {
            OffsetFetchResponseTopic::default()
                .with_name(TopicName(text(&topic)))
                .with_partitions(
                    offsets
                        .into_iter()
                        .map(|offset| single(&offset, version))
                        .collect(),
                )
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let each = request.groups.into_iter().map(|group| {
        let wanted = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|topic| (topic.name.to_string(), topic.partition_indexes))
                .collect()
        });
        let topics = groups
            .fetch(&group.group_id, wanted, request.require_stable)
            .into_iter();
        let topics = topics.map(|(topic, offsets)| {
            OffsetFetchResponseTopics::default()
                .with_name(TopicName(text(&topic)))
                .with_partitions(offsets.iter().map(grouped).collect())
        });
        let topics = topics.collect();
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id)
            .with_topics(topics)
    });
    let each = each.collect();
    OffsetFetchResponse::default().with_groups(each)
}

fn single(offset: &FetchedOffset, version: i16) -> OffsetFetchResponsePartition {
    let response = OffsetFetchResponsePartition::default()
        .with_partition_index(offset.partition)
        .with_committed_offset(offset.offset)
        .with_metadata(Some(text(&offset.metadata)))
        .with_error_code(offset.code.map_or(0, |code| code.code()));
    if version >= 5 {
        response.with_committed_leader_epoch(offset.leader_epoch)
    } else {
        response
    }
}

fn grouped(offset: &FetchedOffset) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(offset.partition)
        .with_committed_offset(offset.offset)
        .with_committed_leader_epoch(offset.leader_epoch)
        .with_metadata(Some(text(&offset.metadata)))
        .with_error_code(offset.code.map_or(0, |code| code.code()))
}

/// Answers OffsetDelete.
pub(super) fn delete(node: &Node, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let places = request.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| (topic.name.to_string(), partition.partition_index))
    });
    let places = places.collect();
    if let Err(code) = node.groups().delete_offsets(&request.group_id, places) {
        return OffsetDeleteResponse::default().with_error_code(code.code());
    }
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|it| {
            let known = node
                .catalog
                .partition(&topic.name, it.partition_index)
                .is_some();
            OffsetDeleteResponsePartition::default()
                .with_partition_index(it.partition_index)
                .with_error_code(number(if known {
                    Ok(())
                } else {
                    Err(Code::UnknownTopicOrPartition)
                }))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(partitions)
    });
    let topics = topics.collect();
    OffsetDeleteResponse::default().with_topics(topics)
}
