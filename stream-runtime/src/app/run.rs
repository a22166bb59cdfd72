//! A worker with what runs in its process beside the streams: pages, jobs, states.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::{App, OnGap, ProcessingGuarantee, Start, States};
use crate::background::Token;
use crate::background::lookup::Tables;
use crate::background::{BackgroundContext, Client};
use crate::error::{Error, Kind};
use crate::kafka::Properties;
use crate::producer::Outlet;
use crate::topology::{Plan, Problem, TopicDescriptor};
use crate::web::Server;
use crate::worker::{
    Ended, OnForeignCommit, SOURCE_IDLE, ShutdownSignal, Status, WorkerHandle, WorkerSettings,
};

/// What a flag or the environment says of a worker; the code's settings hold for the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerOptions {
    pub(crate) threads: Option<u16>,
    pub(crate) processing_guarantee: Option<ProcessingGuarantee>,
    pub(crate) commit_interval: Option<Duration>,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) on_foreign_commit: Option<OnForeignCommit>,
    pub(crate) instance_id: Option<String>,
    pub(crate) until_caught_up: bool,
    pub(crate) commit_events: Option<u32>,
    pub(crate) store_interval: Option<Duration>,
}

impl WorkerOptions {
    /// Returns what a worker is started with.
    pub(crate) fn settings(
        &self,
        app: &App,
        properties: &Properties,
        data_dir: &Path,
    ) -> WorkerSettings {
        let mut settings = WorkerSettings::new(properties.clone(), data_dir);
        if let Some(threads) = self.threads {
            settings.threads = usize::from(threads);
        }
        let guarantee = self.processing_guarantee.unwrap_or(app.guarantee);
        settings.exactly_once = guarantee == ProcessingGuarantee::ExactlyOnce;
        settings.intervals.commit = self.commit_interval.unwrap_or(app.commit_interval);
        settings.shutdown_timeout = self.shutdown_timeout.unwrap_or(app.shutdown_timeout);
        settings.start_at_end = app.start == Start::Latest;
        settings.skip_gaps = app.on_gap == OnGap::Skip;
        settings.on_foreign_commit = self.on_foreign_commit.unwrap_or(app.on_foreign_commit);
        settings.time.max_ahead = app.time.max_ahead;
        settings.time.max_task_idle = app.time.max_task_idle;
        settings.time.source_idle = app.source_idle_or(SOURCE_IDLE);
        settings.time.hold = (app.time.hold != Duration::MAX).then_some(app.time.hold);
        settings.time.source_ahead = app.time.source_ahead;
        settings.new_topics = app.new_topics;
        let named = self.instance_id.clone().or(app.instance_id.clone());
        settings.instance_id =
            named.or_else(|| settings.properties.instance_id().map(str::to_owned));
        settings.until_caught_up = self.until_caught_up;
        settings.intervals.commit_events = self
            .commit_events
            .unwrap_or(settings.intervals.commit_events);
        settings.intervals.store = self.store_interval.unwrap_or(settings.intervals.store);
        settings
    }
}

/// A worker that is about to run.
pub(crate) struct WorkerRuntime<'a> {
    pub(crate) app: &'a App,
    pub(crate) web: Server,
    pub(crate) token: Option<Token>,
    /// Where pages and jobs run.
    pub(crate) runtime: &'a Handle,
}

impl WorkerRuntime<'_> {
    /// Runs the worker on this thread until it ends, and on the runtime what runs beside its streams. What `watch`
    /// returns is dropped at the end.
    ///
    /// # Errors
    /// It cannot start, or cannot go on.
    pub(crate) fn run<W>(
        self,
        plan: Plan,
        states: States,
        mut settings: WorkerSettings,
        stop: &ShutdownSignal,
        watch: impl FnOnce(&Arc<Status>) -> W,
    ) -> Result<Ended, Error> {
        let (functions, pages) = (self.app.beside(), self.app.pages());
        let states = Arc::new(states.into_map());
        if functions.iter().any(|one| one.on_leader) {
            settings.leader_topic = Some(plan.leader_topic());
        }
        let handle = WorkerHandle::new(stop.clone(), Status::of(&plan));
        let _watch = watch(&handle.status);
        let sends = functions.iter().flat_map(|one| one.sends());
        let sends = sends.chain(pages.iter().flat_map(|page| page.sends()));
        let outlet = outlet(self.app, sends, &settings)?;
        let broker = settings.properties.bootstrap().unwrap_or_default();
        settings.address = self.web.advertised(broker);
        let client = Client::new(self.token);
        let cx = BackgroundContext::new(
            &plan.app,
            Arc::clone(&states),
            outlet,
            Arc::clone(&handle),
            client,
        );
        let bound = settings.shutdown_timeout;
        // Pages answer from the start on, so that `/ready` can be asked; until the worker ends.
        let tables = Tables::of(&plan, self.app.all_tables());
        let served = self
            .web
            .serve(&plan.app, &pages, tables, cx.clone(), self.runtime);
        let _serving = served?;
        let running = crate::background::start(functions, cx, self.runtime)?;
        let replan = |existing: &[String]| {
            let plan = self.app.plan_among(existing);
            plan.map_err(not_together)
        };
        let ended = crate::worker::run(plan, states, settings, &handle, &replan);
        let beside = running.stop(bound);
        let ended = ended?;
        beside.map(|()| ended)
    }
}

/// The way out of what runs beside the streams, with the topics that it sends to.
fn outlet(
    app: &App,
    topics: impl Iterator<Item = &'static TopicDescriptor>,
    settings: &WorkerSettings,
) -> Result<Option<Arc<Outlet>>, Error> {
    let mut topics = topics.peekable();
    if topics.peek().is_none() {
        return Ok(None);
    }
    let outlet = Outlet::new(&settings.properties, app.new_topics)?;
    topics.try_for_each(|topic| outlet.make(topic))?;
    Ok(Some(outlet))
}

pub(crate) fn not_together(problems: Vec<Problem>) -> Error {
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Error::new(Kind::Topology, text.join("\n"))
}
