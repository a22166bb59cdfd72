//! Every request in every version that is advertised gets an answer that its client can read.

use crate::wire::{Place, Wire};
use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

fn s(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(s("t"))
}

/// Sends a sample of a request in every version.
macro_rules! sample {
    ($wire:ident, $seen:ident, $range:expr, |$v:ident| $request:expr) => {{
        for $v in $range {
            let request = $request;
            let _ = $wire.ask(&request, $v);
            $seen.push((key_of(&request), $v));
        }
    }};
}

fn key_of<R: kafka_protocol::protocol::Request>(_: &R) -> i16 {
    R::KEY
}

#[test]
fn every_advertised_version_is_answered() {
    let place = Place::start();
    let mut wire = Wire::to(place.broker.address());
    let mut seen: Vec<(i16, i16)> = Vec::new();
    sample!(wire, seen, 0..=4, |v| {
        let request = ApiVersionsRequest::default();
        if v < 3 {
            request
        } else {
            request
                .with_client_software_name(s("x"))
                .with_client_software_version(s("1"))
        }
    });
    sample!(wire, seen, 2..=7, |_v| {
        let config = create_topics_request::CreatableTopicConfig::default()
            .with_name(s("retention.ms"))
            .with_value(Some(s("-1")));
        let new = create_topics_request::CreatableTopic::default()
            .with_name(topic())
            .with_num_partitions(2)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        let by_hand = create_topics_request::CreatableReplicaAssignment::default()
            .with_broker_ids(vec![BrokerId(1)]);
        let other = create_topics_request::CreatableTopic::default()
            .with_name(TopicName(s("by-hand")))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![by_hand]);
        CreateTopicsRequest::default()
            .with_topics(vec![new, other])
            .with_timeout_ms(1000)
    });
    sample!(wire, seen, 0..=13, |v| {
        let known = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
        let unknown =
            metadata_request::MetadataRequestTopic::default().with_name(Some(TopicName(s("nope"))));
        let request = MetadataRequest::default().with_topics(Some(vec![known, unknown]));
        if v < 4 {
            request.with_allow_auto_topic_creation(true)
        } else {
            request
        }
    });
    sample!(wire, seen, 0..=13, |v| {
        let request = MetadataRequest::default().with_allow_auto_topic_creation(true);
        if v == 0 {
            request.with_topics(Some(Vec::new()))
        } else {
            request.with_topics(None)
        }
    });
    let metadata = wire.ask(&MetadataRequest::default().with_topics(None), 13);
    let id = metadata
        .topics
        .iter()
        .find(|it| it.name == Some(topic()))
        .unwrap()
        .topic_id;
    sample!(wire, seen, 3..=10, |_v| {
        let one = produce_request::PartitionProduceData::default()
            .with_index(1)
            .with_records(Some(Bytes::from_static(b"junk")));
        let data = produce_request::TopicProduceData::default()
            .with_name(topic())
            .with_partition_data(vec![one]);
        ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(1000)
            .with_topic_data(vec![data])
    });
    sample!(wire, seen, 4..=16, |v| {
        let partition = fetch_request::FetchPartition::default()
            .with_partition(1)
            .with_partition_max_bytes(1 << 20);
        let wanted = fetch_request::FetchTopic::default().with_partitions(vec![partition]);
        let wanted = if v < 13 {
            wanted.with_topic(topic())
        } else {
            wanted.with_topic_id(id)
        };
        let forgotten = fetch_request::ForgottenTopic::default().with_partitions(vec![0]);
        let forgotten = if v < 13 {
            forgotten.with_topic(topic())
        } else {
            forgotten.with_topic_id(id)
        };
        let request = FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_isolation_level(1)
            .with_topics(vec![wanted]);
        if v < 7 {
            request
        } else {
            request
                .with_session_epoch(0)
                .with_forgotten_topics_data(vec![forgotten])
        }
    });
    sample!(wire, seen, 1..=7, |_v| {
        let one = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
        let of = list_offsets_request::ListOffsetsTopic::default()
            .with_name(topic())
            .with_partitions(vec![one]);
        ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![of])
    });
    sample!(wire, seen, 0..=4, |v| {
        let request = FindCoordinatorRequest::default();
        if v < 4 {
            request.with_key(s("g"))
        } else {
            request.with_coordinator_keys(vec![s("g"), s("h")])
        }
    });
    sample!(wire, seen, 2..=9, |v| {
        let protocol =
            join_group_request::JoinGroupRequestProtocol::default().with_name(s("range"));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_session_timeout_ms(6000)
            .with_rebalance_timeout_ms(1000)
            .with_protocol_type(s("consumer"))
            .with_protocols(vec![protocol]);
        // A member that nobody knows is refused at once; one that is known would have to wait for others.
        let request = if v < 4 {
            request.with_member_id(s("stranger"))
        } else {
            request
        };
        if v < 8 {
            request
        } else {
            request.with_reason(Some(s("tests")))
        }
    });
    sample!(wire, seen, 0..=5, |_v| {
        let one = sync_group_request::SyncGroupRequestAssignment::default().with_member_id(s("m"));
        SyncGroupRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_member_id(s("m"))
            .with_assignments(vec![one])
    });
    sample!(wire, seen, 0..=4, |_v| HeartbeatRequest::default()
        .with_group_id(GroupId(s("g")))
        .with_member_id(s("m")));
    sample!(wire, seen, 0..=5, |v| {
        let request = LeaveGroupRequest::default().with_group_id(GroupId(s("g")));
        let member = leave_group_request::MemberIdentity::default().with_member_id(s("m"));
        if v < 3 {
            request.with_member_id(s("m"))
        } else {
            request.with_members(vec![member])
        }
    });
    sample!(wire, seen, 2..=9, |_v| {
        let one = offset_commit_request::OffsetCommitRequestPartition::default()
            .with_committed_offset(5)
            .with_committed_metadata(Some(s("m")));
        let of = offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![one]);
        OffsetCommitRequest::default()
            .with_group_id(GroupId(s("o")))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![of])
    });
    sample!(wire, seen, 1..=9, |v| {
        let of = offset_fetch_request::OffsetFetchRequestTopic::default()
            .with_name(topic())
            .with_partition_indexes(vec![0, 1]);
        let of8 = offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(topic())
            .with_partition_indexes(vec![0, 1]);
        let group =
            offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(GroupId(s("o")));
        if v < 8 {
            OffsetFetchRequest::default()
                .with_group_id(GroupId(s("o")))
                .with_topics(Some(vec![of]))
        } else {
            let all = group.clone().with_topics(None);
            OffsetFetchRequest::default().with_groups(vec![group.with_topics(Some(vec![of8])), all])
        }
    });
    sample!(wire, seen, 0..=4, |_v| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(s("x"))))
            .with_transaction_timeout_ms(1000)
    });
    sample!(wire, seen, 0..=3, |_v| {
        let of = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
            .with_name(topic())
            .with_partitions(vec![0]);
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(s("x")))
            .with_v3_and_below_topics(vec![of])
    });
    sample!(wire, seen, 0..=3, |_v| {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(s("x")))
            .with_group_id(GroupId(s("o")))
    });
    sample!(wire, seen, 0..=3, |v| {
        let one = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()
            .with_committed_offset(7);
        let of = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![one]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(s("x")))
            .with_group_id(GroupId(s("o")))
            .with_topics(vec![of]);
        if v < 3 {
            request
        } else {
            request.with_generation_id(-1)
        }
    });
    sample!(wire, seen, 0..=3, |_v| EndTxnRequest::default()
        .with_transactional_id(TransactionalId(s("x"))));
    sample!(wire, seen, 1..=4, |_v| {
        let one = describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(s("t"));
        let few = one
            .clone()
            .with_configuration_keys(Some(vec![s("retention.ms")]));
        let broker = describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(s("1"));
        DescribeConfigsRequest::default()
            .with_include_synonyms(true)
            .with_resources(vec![one.with_configuration_keys(None), few, broker])
    });
    sample!(wire, seen, 0..=1, |_v| {
        let change = incremental_alter_configs_request::AlterableConfig::default()
            .with_name(s("retention.ms"))
            .with_value(Some(s("5")));
        let of = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(s("t"))
            .with_configs(vec![change]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![of])
    });
    sample!(wire, seen, 0..=3, |_v| {
        let by_hand = create_partitions_request::CreatePartitionsAssignment::default()
            .with_broker_ids(vec![BrokerId(1)]);
        let of = create_partitions_request::CreatePartitionsTopic::default()
            .with_name(topic())
            .with_count(3)
            .with_assignments(Some(vec![by_hand]));
        CreatePartitionsRequest::default()
            .with_topics(vec![of])
            .with_timeout_ms(1000)
    });
    sample!(wire, seen, 0..=2, |_v| {
        let one = delete_records_request::DeleteRecordsPartition::default().with_offset(-1);
        let of = delete_records_request::DeleteRecordsTopic::default()
            .with_name(topic())
            .with_partitions(vec![one]);
        DeleteRecordsRequest::default()
            .with_topics(vec![of])
            .with_timeout_ms(1000)
    });
    sample!(wire, seen, 0..=4, |_v| ListGroupsRequest::default());
    sample!(wire, seen, 0..=5, |_v| DescribeGroupsRequest::default()
        .with_groups(vec![GroupId(s("o")), GroupId(s("nope"))]));
    sample!(wire, seen, 0..=1, |_v| DescribeClusterRequest::default());
    sample!(wire, seen, 0..=0, |_v| {
        let one = offset_delete_request::OffsetDeleteRequestPartition::default();
        let of = offset_delete_request::OffsetDeleteRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![one]);
        OffsetDeleteRequest::default()
            .with_group_id(GroupId(s("o")))
            .with_topics(vec![of])
    });
    sample!(wire, seen, 0..=2, |_v| DeleteGroupsRequest::default()
        .with_groups_names(vec![GroupId(s("o"))]));
    sample!(wire, seen, 1..=6, |v| {
        let request = DeleteTopicsRequest::default().with_timeout_ms(1000);
        let by_name = delete_topics_request::DeleteTopicState::default().with_name(Some(topic()));
        let by_id = delete_topics_request::DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(id);
        if v < 6 {
            request.with_topic_names(vec![topic()])
        } else {
            request.with_topics(vec![by_name, by_id])
        }
    });

    let advertised = wire.ask(&ApiVersionsRequest::default(), 0).api_keys;
    for api in advertised {
        // Produce is advertised from 0 on for librdkafka's sake; versions below 3 are not served.
        let min = if api.api_key == 0 { 3 } else { api.min_version };
        for version in min..=api.max_version {
            assert!(
                seen.contains(&(api.api_key, version)),
                "{:?} {version} is not tried",
                ApiKey::try_from(api.api_key)
            );
        }
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_told_the_known_ones() {
    let place = Place::start();
    let mut wire = Wire::to(place.broker.address());
    wire.frame(&[0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff]);
    let mut answer = wire.answer().unwrap();
    use kafka_protocol::protocol::Decodable;
    let header = ResponseHeader::decode(&mut answer, 0).unwrap();
    let response = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!((header.correlation_id, response.error_code), (5, 35));
    assert!(
        response
            .api_keys
            .iter()
            .any(|api| api.api_key == 18 && api.max_version == 4)
    );
}
