//! The settings of the Kafka client that the code names.

use super::ending::{CliError, CliResult};
use super::{App, check_instance_id};
use crate::kafka::Properties;

impl App {
    /// The client's settings by the code alone; without bootstrap servers when it names no broker.
    pub(crate) fn client_settings(&self) -> CliResult<Properties> {
        let mut properties = Properties::default();
        if let Some(broker) = &self.connection.broker {
            properties.set_broker(broker);
        }
        if let Some(login) = &self.connection.sasl_plain {
            properties.set_sasl_plain(&login.username, &login.password);
        }
        for (name, value) in &self.connection.kafka {
            set(&mut properties, name, value, "App::kafka")?;
        }
        Ok(properties)
    }
}

/// Adds one that was named by `by`; a mistake is named by that, too.
pub(crate) fn set(properties: &mut Properties, name: &str, value: &str, by: &str) -> CliResult {
    // Not the value: it may be a secret.
    let wrong = |error: String| CliError::usage(format_args!("{by} {name}: {error}"));
    if let Some(notice) = properties.set_at(name, value, by).map_err(wrong)? {
        tracing::warn!("{by}: {notice}");
    }
    // The settings before this one were checked already.
    properties.check().map_err(wrong)
}

/// Checks the `group.instance.id` among the settings, which is the worker's instance id.
pub(crate) fn check_instance(properties: &Properties) -> CliResult {
    let Some(id) = properties.instance_id() else {
        return Ok(());
    };
    let told = || properties.told("group.instance.id");
    check_instance_id(id).map_err(|error| CliError::usage(format!("{}: {error}", told())))
}
