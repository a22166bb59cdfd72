//! Which function answers which request.

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, ApiVersionsResponse,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    EndTxnRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use super::convert::Answer;
use super::node::Node;
use crate::wire::Code;
use crate::wire::api::APIS;
use crate::wire::frame::{self, Request};

/// Answers a request.
pub(super) async fn dispatch(
    node: &Node,
    request: Request,
    peer: SocketAddr,
) -> anyhow::Result<Answer> {
    let Request {
        api,
        version,
        correlation,
        client,
        body,
    } = request;
    if api.key == ApiKey::Produce {
        return super::produce::produce(node, body, api.is_flexible(version), version, correlation);
    }
    let mut body = body.freeze();
    let reply = Reply {
        version,
        correlation,
    };
    match api.key {
        ApiKey::Fetch => {
            reply.send(&super::fetch::fetch(node, read::<FetchRequest>(&mut body, version)?).await)
        }
        ApiKey::ListOffsets => reply.send(&super::records::list(
            node,
            read::<ListOffsetsRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::DeleteRecords => reply.send(&super::records::delete(
            node,
            read::<DeleteRecordsRequest>(&mut body, version)?,
        )),
        ApiKey::Metadata => reply.send(&super::topics::metadata(
            node,
            read::<MetadataRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::ApiVersions => reply.send(&api_versions()),
        ApiKey::DescribeCluster => reply.send(&super::topics::cluster(
            node,
            &read::<DescribeClusterRequest>(&mut body, version)?,
        )),
        ApiKey::CreateTopics => reply.send(&super::topics::create(
            node,
            read::<CreateTopicsRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::DeleteTopics => reply.send(&super::topics::delete(
            node,
            read::<DeleteTopicsRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::CreatePartitions => reply.send(&super::topics::grow(
            node,
            read::<CreatePartitionsRequest>(&mut body, version)?,
        )),
        ApiKey::DescribeConfigs => reply.send(&super::configs::describe(
            node,
            read::<DescribeConfigsRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::IncrementalAlterConfigs => reply.send(&super::configs::alter(
            node,
            read::<IncrementalAlterConfigsRequest>(&mut body, version)?,
        )),
        ApiKey::FindCoordinator => reply.send(&super::groups::find(
            node,
            read::<FindCoordinatorRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::JoinGroup => {
            let request = read::<JoinGroupRequest>(&mut body, version)?;
            reply.send(&super::groups::join(node, request, version, client, peer).await)
        }
        ApiKey::SyncGroup => reply
            .send(&super::groups::sync(node, read::<SyncGroupRequest>(&mut body, version)?).await),
        ApiKey::Heartbeat => reply.send(&super::groups::heartbeat(
            node,
            read::<HeartbeatRequest>(&mut body, version)?,
        )),
        ApiKey::LeaveGroup => reply.send(&super::groups::leave(
            node,
            read::<LeaveGroupRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::ListGroups => reply.send(&super::groups::list(
            node,
            read::<ListGroupsRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::DescribeGroups => reply.send(&super::groups::describe(
            node,
            read::<DescribeGroupsRequest>(&mut body, version)?,
        )),
        ApiKey::DeleteGroups => reply.send(&super::groups::delete(
            node,
            read::<DeleteGroupsRequest>(&mut body, version)?,
        )),
        ApiKey::OffsetCommit => reply.send(&super::offsets::commit(
            node,
            read::<OffsetCommitRequest>(&mut body, version)?,
        )),
        ApiKey::OffsetFetch => reply.send(&super::offsets::fetch(
            node,
            read::<OffsetFetchRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::OffsetDelete => reply.send(&super::offsets::delete(
            node,
            read::<OffsetDeleteRequest>(&mut body, version)?,
        )),
        ApiKey::TxnOffsetCommit => reply.send(&super::offsets::commit_in_transaction(
            node,
            read::<TxnOffsetCommitRequest>(&mut body, version)?,
        )),
        ApiKey::InitProducerId => reply.send(&super::transactions::init(
            node,
            read::<InitProducerIdRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::AddPartitionsToTxn => reply.send(&super::transactions::add_partitions(
            node,
            read::<AddPartitionsToTxnRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::AddOffsetsToTxn => reply.send(&super::transactions::add_offsets(
            node,
            read::<AddOffsetsToTxnRequest>(&mut body, version)?,
            version,
        )),
        ApiKey::EndTxn => reply.send(&super::transactions::end(
            node,
            read::<EndTxnRequest>(&mut body, version)?,
            version,
        )),
        other => anyhow::bail!("{other:?} is listed as served, but nothing answers it"),
    }
}

#[derive(Clone, Copy)]
struct Reply {
    version: i16,
    correlation: i32,
}

impl Reply {
    fn send<R: Encodable + HeaderVersion>(self, response: &R) -> anyhow::Result<Answer> {
        Ok(Answer::Send(frame::encode(
            response,
            self.version,
            self.correlation,
        )?))
    }
}

fn read<T: Decodable>(body: &mut Bytes, version: i16) -> anyhow::Result<T> {
    T::decode(body, version)
}

fn api_versions() -> ApiVersionsResponse {
    let keys = APIS.iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(api.advertised_min())
            .with_max_version(api.max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// The answer to ApiVersions in a version that is not served.
pub(super) fn unknown_api_versions(correlation: i32) -> anyhow::Result<Answer> {
    let response = api_versions().with_error_code(Code::UnsupportedVersion.code());
    Ok(Answer::Send(frame::encode_unknown_api_versions(
        &response,
        correlation,
    )?))
}
