//! Which setting holds: a flag, else the environment, else the code.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::args::Global;
use super::error::{CliError, CliResult};
use crate::app::App;
use crate::kafka::Properties;

/// The client's settings; without bootstrap servers when no broker is named anywhere.
///
/// In rising order: `App::kafka`, `App::sasl_plain`, `App::broker`, the file, `--kafka`, `--broker`. Only a `--broker`
/// of the environment gives way to a file that was named by a flag.
pub(super) fn properties(
    app: &App,
    global: &Global,
    matches: &ArgMatches,
) -> CliResult<Properties> {
    let mut properties = Properties::default();
    if let Some(broker) = &app.broker {
        properties.set_broker(broker);
    }
    if let Some(login) = &app.sasl_plain {
        properties.set_sasl_plain(&login.username, &login.password);
    }
    for (name, value) in &app.kafka {
        set(&mut properties, name, value, "App::kafka")?;
    }
    if let Some(path) = &global.config {
        for notice in properties.load(path).map_err(|error| {
            CliError::usage(error)
                .next("--config wants a client.properties file: lines of NAME=VALUE")
        })? {
            tracing::debug!("{}: {notice}", path.display());
        }
    }
    for (name, value) in &global.kafka {
        set(&mut properties, name, value, "--kafka")?;
    }
    let by_flag = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    let file_is_nearer =
        by_flag("config") && !by_flag("broker") && properties.bootstrap().is_some();
    if let Some(broker) = &global.broker
        && !file_is_nearer
    {
        properties.set_broker(broker);
    }
    properties.check().map_err(CliError::usage)?;
    Ok(properties)
}

fn set(properties: &mut Properties, name: &str, value: &str, by: &str) -> CliResult {
    match properties.set(name, value) {
        Ok(None) => Ok(()),
        Ok(Some(notice)) => {
            tracing::warn!("{by}: {notice}");
            Ok(())
        }
        Err(error) => Err(CliError::usage(format_args!("{by}: {error}"))),
    }
}
