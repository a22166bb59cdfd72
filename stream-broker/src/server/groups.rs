//! Requests about consumer groups.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::convert::{number, text};
use super::node::{NODE, Node};
use crate::groups::{Join, NotJoined, Sync, Who};
use crate::wire::Code;

/// An instance's or protocol's name, where there is one.
pub(super) fn given(text: Option<&StrBytes>) -> Option<String> {
    text.map(|text| text.to_string())
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Answers FindCoordinator: this node coordinates everything.
pub(super) fn find(
    node: &Node,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    let (host, port) = (
        text(&node.address.ip().to_string()),
        i32::from(node.address.port()),
    );
    let known = matches!(request.key_type, 0 | 1);
    let code = if known {
        0
    } else {
        Code::InvalidRequest.code()
    };
    if version < 4 {
        let response = FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(None);
        return response.with_node_id(NODE).with_host(host).with_port(port);
    }
    let each = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id(NODE)
            .with_host(host.clone())
            .with_port(port)
            .with_error_code(code)
            .with_error_message(None)
    });
    let coordinators = each.collect();
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

/// Answers JoinGroup, when the group's next generation begins.
pub(super) async fn join(
    node: &Node,
    request: JoinGroupRequest,
    version: i16,
    client: String,
    peer: SocketAddr,
) -> JoinGroupResponse {
    let join = Join {
        group: request.group_id.to_string(),
        member: request.member_id.to_string(),
        instance: given(request.group_instance_id.as_ref()),
        client,
        host: format!("/{}", peer.ip()),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(request.rebalance_timeout_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|it| (it.name.to_string(), it.metadata))
            .collect(),
        id_first: version >= 4,
        may_skip_assignment: version >= 9,
    };
    let member = join.member.clone();
    let (reply, answer) = oneshot::channel();
    node.groups().join(join, reply, Instant::now());
    // A reply that is dropped was replaced by a newer one of the same member.
    let answer = answer.await.unwrap_or(Err(NotJoined {
        code: Code::RebalanceInProgress,
        member,
    }));
    let joined = match answer {
        Ok(joined) => joined,
        Err(NotJoined { code, member }) => {
            return JoinGroupResponse::default()
                .with_error_code(code.code())
                .with_generation_id(-1)
                .with_protocol_name(if version >= 7 {
                    None
                } else {
                    Some(StrBytes::new())
                })
                .with_member_id(text(&member));
        }
    };
    let members = joined
        .members
        .into_iter()
        .map(|(id, instance, subscription)| {
            let member = JoinGroupResponseMember::default()
                .with_member_id(text(&id))
                .with_metadata(subscription);
            if version >= 5 {
                member.with_group_instance_id(instance.as_deref().map(text))
            } else {
                member
            }
        });
    let response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(Some(text(joined.protocol.as_deref().unwrap_or_default())))
        .with_leader(text(&joined.leader))
        .with_member_id(text(&joined.member))
        .with_members(members.collect())
        .with_skip_assignment(joined.skip_assignment);
    if version >= 7 {
        response.with_protocol_type(joined.protocol_type.as_deref().map(text))
    } else {
        response
    }
}

/// Answers SyncGroup, when the leader's assignment is there.
pub(super) async fn sync(node: &Node, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = Sync {
        group: request.group_id.to_string(),
        who: Who {
            member: request.member_id.to_string(),
            instance: given(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        },
        protocol_type: given(request.protocol_type.as_ref()),
        protocol: given(request.protocol_name.as_ref()),
        assignments: request
            .assignments
            .into_iter()
            .map(|it| (it.member_id.to_string(), it.assignment))
            .collect(),
    };
    let (reply, answer) = oneshot::channel();
    node.groups().sync(sync, reply, Instant::now());
    match answer.await.unwrap_or(Err(Code::RebalanceInProgress)) {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(synced.protocol_type.as_deref().map(text))
            .with_protocol_name(synced.protocol.as_deref().map(text))
            .with_assignment(synced.assignment),
        Err(code) => SyncGroupResponse::default().with_error_code(code.code()),
    }
}

/// Answers Heartbeat.
pub(super) fn heartbeat(node: &Node, request: HeartbeatRequest) -> HeartbeatResponse {
    let who = Who {
        member: request.member_id.to_string(),
        instance: given(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    let result = node
        .groups()
        .heartbeat(&request.group_id, &who, Instant::now());
    HeartbeatResponse::default().with_error_code(number(result))
}

/// Answers LeaveGroup.
pub(super) fn leave(node: &Node, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    let now = Instant::now();
    if version < 3 {
        let who = Who {
            member: request.member_id.to_string(),
            ..Who::default()
        };
        let result = node.groups().leave(&request.group_id, &who, now);
        return LeaveGroupResponse::default().with_error_code(number(result));
    }
    let each = request.members.into_iter().map(|member| {
        let instance = given(member.group_instance_id.as_ref());
        let who = Who {
            member: member.member_id.to_string(),
            instance,
            ..Who::default()
        };
        let result = node.groups().leave(&request.group_id, &who, now);
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(number(result))
    });
    let members = each.collect();
    LeaveGroupResponse::default().with_members(members)
}

/// Answers ListGroups.
pub(super) fn list(node: &Node, request: ListGroupsRequest, version: i16) -> ListGroupsResponse {
    let wanted = |state: &str| {
        request.states_filter.is_empty()
            || request
                .states_filter
                .iter()
                .any(|it| it.eq_ignore_ascii_case(state))
    };
    let groups = node
        .groups()
        .list()
        .into_iter()
        .filter(|group| wanted(group.state))
        .map(|group| {
            let listed = ListedGroup::default()
                .with_group_id(GroupId(text(&group.group)))
                .with_protocol_type(text(&group.protocol_type));
            if version >= 4 {
                listed.with_group_state(text(group.state))
            } else {
                listed
            }
        });
    let groups = groups.collect();
    ListGroupsResponse::default().with_groups(groups)
}

/// Answers DescribeGroups.
pub(super) fn describe(node: &Node, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let each = request.groups.into_iter().map(|group| {
        let response = DescribedGroup::default().with_authorized_operations(i32::MIN);
        let Some(described) = node.groups().describe(&group) else {
            return response
                .with_group_id(group)
                .with_group_state(StrBytes::from_static_str("Dead"));
        };
        let members = described.members.into_iter().map(|member| {
            DescribedGroupMember::default()
                .with_member_id(text(&member.id))
                .with_group_instance_id(member.instance.as_deref().map(text))
                .with_client_id(text(&member.client))
                .with_client_host(text(&member.host))
                .with_member_metadata(member.subscription)
                .with_member_assignment(member.assignment)
        });
        response
            .with_group_id(group)
            .with_group_state(text(described.state))
            .with_protocol_type(text(&described.protocol_type))
            .with_protocol_data(text(&described.protocol))
            .with_members(members.collect())
    });
    let groups = each.collect();
    DescribeGroupsResponse::default().with_groups(groups)
}

/// Answers DeleteGroups.
pub(super) fn delete(node: &Node, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let each = request.groups_names.into_iter().map(|group| {
        let result = node.groups().delete(&group);
        DeletableGroupResult::default()
            .with_group_id(group)
            .with_error_code(number(result))
    });
    let results = each.collect();
    DeleteGroupsResponse::default().with_results(results)
}
