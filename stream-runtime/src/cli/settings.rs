//! Which setting holds: a flag, else the environment, else the code.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::args::Global;
use super::error::{CliError, CliResult};
use crate::app::App;
use crate::app::client_settings::{check_instance, set};
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
    let mut properties = app.client_settings()?;
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
    check_instance(&properties)?;
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn with(app: &App, words: &[&str]) -> CliResult<Properties> {
        let words = ["app"].iter().chain(words);
        let matches = Global::augment_args(Command::new("app"))
            .try_get_matches_from(words)
            .expect("understood");
        let global = Global::from_arg_matches(&matches).expect("understood");
        properties(app, &global, &matches)
    }

    #[test]
    fn a_flag_wins_over_the_file_and_that_over_the_code() {
        let app = App::new("a").broker("kafka://code:1").kafka("linger.ms", 7);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "bootstrap.servers=file:2\nlinger.ms=8\n").unwrap();
        let file = file.path().to_str().unwrap();
        let linger = |p: &Properties| p.get("queue.buffering.max.ms").map(str::to_owned);

        let code = with(&app, &[]).unwrap();
        assert_eq!(
            (code.bootstrap(), linger(&code).as_deref()),
            (Some("code:1"), Some("7"))
        );
        let read = with(&app, &["--config", file]).unwrap();
        assert_eq!(
            (read.bootstrap(), linger(&read).as_deref()),
            (Some("file:2"), Some("8"))
        );
        let flags = with(
            &app,
            &[
                "--config",
                file,
                "--broker",
                "flag:3",
                "--kafka",
                "linger.ms=9",
            ],
        )
        .unwrap();
        assert_eq!(
            (flags.bootstrap(), linger(&flags).as_deref()),
            (Some("flag:3"), Some("9"))
        );
        assert_eq!(with(&App::new("a"), &[]).unwrap().bootstrap(), None);
    }

    #[test]
    fn a_mistake_is_named_by_what_was_written_and_without_its_value() {
        let error = |words: &[&str]| {
            with(&App::new("a"), words)
                .expect_err("refused")
                .to_string()
        };
        let text = error(&["--kafka", "linger.ms=soon"]);
        assert!(text.starts_with("--kafka linger.ms: "), "{text}");
        let text = error(&["--kafka", "sasl.pasword=hunter2"]);
        assert!(
            text.contains("sasl.pasword") && !text.contains("hunter2"),
            "{text}"
        );
        assert!(error(&["--config", "/no/such/file"]).contains("/no/such/file"));
    }
}
