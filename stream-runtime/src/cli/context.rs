//! What every command has at hand.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use super::args::{Global, Output};
use super::connection;
use super::error::{CliError, CliResult};
use super::style::Style;
use crate::app::App;
use crate::background::Token;
use crate::kafka::{Admin, Properties, TopicSettings};
use crate::topology::Plan;

/// How long a question to the broker may take.
const BROKER_TIMEOUT: Duration = Duration::from_secs(8);
/// The same where the answer is not needed.
const OPTIONAL_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The app, the global options, the settings of the Kafka client.
pub(crate) struct Context<'a> {
    app: &'a App,
    id: String,
    global: Global,
    /// As configured; without bootstrap servers when the broker of the directory is meant.
    properties: Properties,
    runtime: OnceLock<tokio::runtime::Runtime>,
}

impl<'a> Context<'a> {
    pub(super) fn new(app: &'a App, global: Global, properties: Properties) -> Self {
        Context {
            app,
            id: app.id(),
            global,
            properties,
            runtime: OnceLock::new(),
        }
    }

    pub(crate) fn app(&self) -> &'a App {
        self.app
    }

    /// The app's identity: its group.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.global.data_dir
    }

    pub(crate) fn output(&self) -> Output {
        self.global.output
    }

    /// What rows of tables are asked for with.
    pub(crate) fn token(&self) -> CliResult<Option<Token>> {
        Ok(self.global.token()?)
    }

    /// Style of standard output.
    pub(crate) fn style(&self) -> Style {
        Style::stdout(self.global.color)
    }

    /// Style of standard error.
    pub(crate) fn note_style(&self) -> Style {
        Style::stderr(self.global.color)
    }

    /// Whether to show a progress bar.
    pub(crate) fn progress(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// Says something to a person: on standard error, so that the output stays clean.
    pub(crate) fn note(&self, text: fmt::Arguments<'_>) {
        eprintln!("{text}");
    }

    /// The settings as configured.
    pub(crate) fn configured(&self) -> &Properties {
        &self.properties
    }

    /// Settings to talk to the broker: the configured one, else the one that runs for this directory.
    pub(crate) fn client(&self) -> CliResult<Properties> {
        connection::client(&self.properties, self.data_dir())
    }

    pub(crate) fn admin(&self, properties: &Properties) -> CliResult<Admin> {
        Admin::new(properties, BROKER_TIMEOUT).map_err(CliError::from)
    }

    /// Makes `topic` if it does not exist, as the app would.
    pub(crate) fn make_topic(&self, properties: &Properties, topic: &str) -> CliResult {
        let admin = self.admin(properties)?;
        if admin.topic(topic)?.is_some() {
            return Ok(());
        }
        let settings = self.topic_settings(topic);
        admin.create(std::slice::from_ref(&settings))?;
        Ok(())
    }

    /// What the app would give the topic.
    fn topic_settings(&self, topic: &str) -> TopicSettings {
        // A plan with problems is the worker's to report.
        let declared = self
            .app
            .plan()
            .ok()
            .and_then(|plan| plan.topics.get(topic).copied());
        self.app.new_topics.topic(topic, declared, None, &[])
    }

    /// The plan; every problem at once when it does not fit together. Nobody has looked what patterns match.
    pub(crate) fn plan(&self) -> CliResult<Plan> {
        self.plan_among(&[])
    }

    /// The plan with the topics that patterns match now; without a broker, as without a pattern, the plan alone.
    pub(crate) fn found_plan(&self) -> CliResult<Plan> {
        let plan = self.plan()?;
        if plan.patterns.is_empty() {
            return Ok(plan);
        }
        let topics = self.client().and_then(|properties| {
            let admin = Admin::new(&properties, OPTIONAL_ANSWER_TIMEOUT)?;
            Ok(admin.topics()?)
        });
        match topics {
            Ok(topics) => self.plan_among(&topics.into_keys().collect::<Vec<_>>()),
            Err(error) => {
                self.note(format_args!(
                    "What the patterns match is not known: {error}"
                ));
                Ok(plan)
            }
        }
    }

    /// The plan where the cluster has these topics.
    pub(crate) fn plan_among(&self, existing: &[String]) -> CliResult<Plan> {
        self.app.plan_among(existing).map_err(|problems| {
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let count = match problems.len() {
                1 => "the app does not fit together".to_owned(),
                n => format!("the app does not fit together in {n} places"),
            };
            CliError::usage(format_args!("{count}\n  {}", text.join("\n  ")))
        })
    }

    /// A small runtime for commands that wait.
    pub(crate) fn runtime(&self) -> CliResult<&tokio::runtime::Runtime> {
        if self.runtime.get().is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;
            let _ = self.runtime.set(runtime);
        }
        self.runtime
            .get()
            .ok_or_else(|| CliError::failure("cannot start"))
    }
}
