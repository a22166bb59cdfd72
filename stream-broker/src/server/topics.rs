//! Metadata, and topics created, deleted and grown.

use std::collections::HashSet;

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeClusterRequest, DescribeClusterResponse,
    MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::convert::text;
use super::node::{NODE, Node, now};
use crate::topics::{NewTopic, Refusal, Topic, settings};
use crate::wire::Code;

/// Operations were not asked for, or nothing restricts them.
const NOT_ASKED: i32 = i32::MIN;

fn name_of(node: &Node) -> StrBytes {
    text(&node.catalog.cluster.simple().to_string())
}

/// Answers Metadata.
pub(super) fn metadata(node: &Node, request: MetadataRequest, version: i16) -> MetadataResponse {
    let all = match &request.topics {
        None => true,
        // Version 0 had no null.
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let topics = if all {
        node.catalog
            .all()
            .iter()
            .map(|topic| described(topic))
            .collect()
    } else {
        let wanted = request
            .topics
            .unwrap_or_default()
            .into_iter()
            .map(|wanted| match wanted.name {
                Some(name) => match node.catalog.get(&name) {
                    Some(topic) => described(&topic),
                    None => MetadataResponseTopic::default()
                        .with_error_code(Code::UnknownTopicOrPartition.code())
                        .with_name(Some(name))
                        .with_topic_authorized_operations(NOT_ASKED),
                },
                None => match node.catalog.by_id(wanted.topic_id) {
                    Some(topic) => described(&topic),
                    None => MetadataResponseTopic::default()
                        .with_error_code(Code::UnknownTopicId.code())
                        .with_name((version < 12).then(|| TopicName(text(""))))
                        .with_topic_id(wanted.topic_id)
                        .with_topic_authorized_operations(NOT_ASKED),
                },
            });
        wanted.collect()
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(text(&node.address.ip().to_string()))
        .with_port(i32::from(node.address.port()));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(name_of(node)))
        .with_controller_id(NODE)
        .with_cluster_authorized_operations(NOT_ASKED)
        .with_topics(topics)
}

fn described(topic: &Topic) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition.index)
            .with_leader_id(NODE)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(NOT_ASKED)
}

/// Answers DescribeCluster.
pub(super) fn cluster(node: &Node, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_cluster_authorized_operations(NOT_ASKED);
    if request.endpoint_type != 1 {
        return response.with_error_code(Code::UnsupportedEndpointType.code());
    }
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE)
        .with_host(text(&node.address.ip().to_string()))
        .with_port(i32::from(node.address.port()));
    response
        .with_cluster_id(name_of(node))
        .with_controller_id(NODE)
        .with_brokers(vec![broker])
}

/// Answers CreateTopics.
pub(super) fn create(
    node: &Node,
    request: CreateTopicsRequest,
    version: i16,
) -> CreateTopicsResponse {
    let mut seen = HashSet::new();
    let twice: HashSet<_> = request
        .topics
        .iter()
        .filter(|topic| !seen.insert(topic.name.clone()))
        .map(|topic| topic.name.clone())
        .collect();
    let results = request.topics.into_iter().map(|topic| {
        let name = topic.name.clone();
        let result = if twice.contains(&name) {
            Err(Refusal::new(Code::InvalidRequest, "Duplicate topic name."))
        } else {
            create_one(node, topic, request.validate_only)
        };
        match result {
            Ok(result) => result,
            Err(refusal) => CreatableTopicResult::default()
                .with_name(name)
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(&refusal.message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1)
                .with_configs((version >= 5).then(Vec::new)),
        }
    });
    let results = results.collect();
    CreateTopicsResponse::default().with_topics(results)
}

fn create_one(
    node: &Node,
    topic: CreatableTopic,
    dry: bool,
) -> Result<CreatableTopicResult, Refusal> {
    let mut new = NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        config: Default::default(),
    };
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let message = "Both a partition count or replication factor and an assignment of replicas are given.";
            return Err(Refusal::new(Code::InvalidRequest, message));
        }
        if topic.assignments.iter().any(|it| it.broker_ids != [NODE]) {
            return Err(Refusal::new(
                Code::InvalidReplicaAssignment,
                "There is one broker, with id 1.",
            ));
        }
        new.partitions = topic.assignments.len() as i32;
    }
    for config in topic.configs {
        let Some(value) = config.value else {
            let message = format!(
                "Null value not supported for topic configs: {}",
                &*config.name
            );
            return Err(Refusal::new(Code::InvalidConfig, message));
        };
        new.config
            .insert(config.name.to_string(), value.to_string());
    }
    let (made, count) = node.catalog.create(&new, dry, now())?;
    let configs = made.as_ref().map(|topic| {
        let each = settings().iter().map(|setting| {
            let given = topic.config.given.contains_key(setting.name);
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_static_str(setting.name))
                .with_value(Some(text(topic.config.value(setting))))
                .with_config_source(if given { 1 } else { 5 })
        });
        each.collect()
    });
    Ok(CreatableTopicResult::default()
        .with_name(topic.name)
        .with_topic_id(made.map_or(Uuid::nil(), |topic| topic.id))
        .with_num_partitions(count)
        .with_replication_factor(1)
        .with_configs(Some(configs.unwrap_or_default())))
}

/// Answers DeleteTopics.
pub(super) fn delete(
    node: &Node,
    request: DeleteTopicsRequest,
    version: i16,
) -> DeleteTopicsResponse {
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| (Some(name), Uuid::nil()));
    let wanted = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.topic_id))
        .chain(by_name);
    let results = wanted.map(|(name, id)| {
        let found = match &name {
            Some(name) => node.catalog.get(name).ok_or(Code::UnknownTopicOrPartition),
            None => node.catalog.by_id(id).ok_or(Code::UnknownTopicId),
        };
        let result =
            found.map_err(|code| Refusal::new(code, "This server does not host this topic."));
        let result = result.and_then(|topic| {
            node.catalog.delete(&topic.name)?;
            node.groups().forget_topic(&topic.name);
            Ok(topic)
        });
        match result {
            Ok(topic) => DeletableTopicResult::default()
                .with_name(Some(TopicName(text(&topic.name))))
                .with_topic_id(topic.id),
            Err(refusal) => DeletableTopicResult::default()
                .with_name(name.or((version < 6).then(TopicName::default)))
                .with_topic_id(id)
                .with_error_code(refusal.code.code())
                .with_error_message((version >= 5).then(|| text(&refusal.message))),
        }
    });
    let results = results.collect();
    DeleteTopicsResponse::default().with_responses(results)
}

/// Answers CreatePartitions.
pub(super) fn grow(node: &Node, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let result = node
            .catalog
            .grow(&topic.name, topic.count, request.validate_only, now());
        let response = CreatePartitionsTopicResult::default().with_name(topic.name);
        match result {
            Ok(()) => response.with_error_message(None),
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(&refusal.message))),
        }
    });
    let results = results.collect();
    CreatePartitionsResponse::default().with_results(results)
}
