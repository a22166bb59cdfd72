//! DescribeConfigs and IncrementalAlterConfigs.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::convert::text;
use super::node::{NODE, Node};
use crate::topics::{Refusal, Setting, check_name, settings};
use crate::wire::Code;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GIVEN: i8 = 1;
const DEFAULT: i8 = 5;

/// Answers DescribeConfigs.
pub(super) fn describe(
    node: &Node,
    request: DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResponse {
    let synonyms = request.include_synonyms;
    let results = request.resources.into_iter().map(|resource| {
        let result = match resource.resource_type {
            TOPIC => describe_topic(node, &resource, synonyms, version),
            BROKER
                if resource.resource_name.is_empty()
                    || *resource.resource_name == *NODE.to_string() =>
            {
                Ok(Vec::new())
            }
            BROKER => Err(Refusal::new(
                Code::InvalidRequest,
                format!("There is one broker, with id {}.", *NODE),
            )),
            other => Err(Refusal::new(
                Code::InvalidRequest,
                format!("Resources of type {other} have no configuration here."),
            )),
        };
        let response = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match result {
            Ok(configs) => response.with_configs(configs),
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(&refusal.message))),
        }
    });
    let results = results.collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn describe_topic(
    node: &Node,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    version: i16,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    check_name(&resource.resource_name)?;
    let topic = node.catalog.get(&resource.resource_name);
    let topic = topic.ok_or_else(|| {
        Refusal::new(
            Code::UnknownTopicOrPartition,
            "This server does not host this topic.",
        )
    })?;
    let wanted = |setting: &&Setting| {
        let keys = resource
            .configuration_keys
            .as_ref()
            .filter(|keys| !keys.is_empty());
        keys.is_none_or(|keys| keys.iter().any(|key| **key == *setting.name))
    };
    let one = |setting: &Setting| {
        let name = StrBytes::from_static_str(setting.name);
        let source = if topic.config.given.contains_key(setting.name) {
            GIVEN
        } else {
            DEFAULT
        };
        let synonym = |source: i8, value: &str| {
            DescribeConfigsSynonym::default()
                .with_name(name.clone())
                .with_value(Some(text(value)))
                .with_source(source)
        };
        let value = topic.config.value(setting);
        let mut known = vec![synonym(DEFAULT, setting.default)];
        if source == GIVEN {
            known.insert(0, synonym(GIVEN, value));
        }
        let result = DescribeConfigsResourceResult::default()
            .with_name(name)
            .with_value(Some(text(value)))
            .with_config_source(source)
            .with_synonyms(if synonyms { known } else { Vec::new() });
        if version >= 3 {
            result.with_config_type(setting.kind.number())
        } else {
            result
        }
    };
    Ok(settings().iter().filter(wanted).map(one).collect())
}

/// Answers IncrementalAlterConfigs.
pub(super) fn alter(
    node: &Node,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let result = alter_topic(node, &resource, request.validate_only);
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match result {
            Ok(()) => response.with_error_message(None),
            Err(refusal) => response
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(&refusal.message))),
        }
    });
    let responses = responses.collect();
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn alter_topic(node: &Node, resource: &AlterConfigsResource, dry: bool) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    if resource.resource_type != TOPIC {
        return refuse(
            Code::InvalidRequest,
            "Only topics have a configuration that can be changed here.",
        );
    }
    let Some(topic) = node.catalog.get(&resource.resource_name) else {
        return refuse(
            Code::UnknownTopicOrPartition,
            "This server does not host this topic.",
        );
    };
    let mut given = topic.config.given.clone();
    for change in &resource.configs {
        let name = change.name.to_string();
        let default = settings()
            .iter()
            .find(|setting| setting.name == name)
            .map_or("", |setting| setting.default);
        let parts = |given: &str| {
            given
                .split(',')
                .map(|it| it.trim().to_owned())
                .collect::<Vec<_>>()
        };
        let now = parts(given.get(&name).map_or(default, String::as_str));
        match (change.config_operation, &change.value) {
            (0, Some(value)) => given.insert(name, value.to_string()),
            (1, _) => given.remove(&name),
            (2, Some(value)) => {
                let more = parts(value).into_iter().filter(|it| !now.contains(it));
                let list: Vec<_> = now.iter().cloned().chain(more).collect();
                given.insert(name, list.join(","))
            }
            (3, Some(value)) => {
                let less = parts(value);
                let list: Vec<_> = now.into_iter().filter(|it| !less.contains(it)).collect();
                given.insert(name, list.join(","))
            }
            _ => {
                return refuse(
                    Code::InvalidConfig,
                    &format!("Null value or unknown operation for {name}"),
                );
            }
        };
    }
    node.catalog.configure(&resource.resource_name, given, dry)
}
