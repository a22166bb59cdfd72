//! `worker`: the agents at work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::args::{ForeignArg, GuaranteeArg, WorkerArgs};
use super::context::Context;
use super::error::{CliError, CliResult};
use super::local::{Joined, Place};
use super::lock::{self, Guard, On};
use super::partitions::Shown;
use crate::app::{App, OnGap, Outlet, ProcessingGuarantee, Start, States};
use crate::beside::lookup::Tables;
use crate::beside::{BesideCx, Client};
use crate::error::{Error, Kind, counted};
use crate::kafka::Properties;
use crate::topology::{Plan, Problem, TopicDescriptor};
use crate::web::{Door, Port, Server, Token};
use crate::worker::{
    Ended, OnForeignCommit, SOURCE_IDLE, Status, Stop, WorkerHandle, WorkerSettings, signals,
};

/// What an orderly end may take beyond the waits that `shutdown_timeout` bounds.
const STUCK: Duration = Duration::from_secs(10);

/// `worker` of the command line.
pub(super) fn run(cx: &Context<'_>, args: &WorkerArgs) -> CliResult {
    // Before anything that takes time: who is asked to end while it starts ends in order, too.
    let stop = Stop::new();
    let bound = 2 * shutdown_timeout(cx.app(), args) + STUCK;
    signals::listen(stop.clone(), bound)
        .map_err(|error| CliError::failure(format_args!("cannot listen for signals: {error}")))?;
    let plan = cx.plan()?;
    let on = on(cx.configured());
    let guard = lock::at_start(cx.app(), &plan, &args.plan_lock, cx.data_dir(), on)?;
    // For what runs beside the streams; and the states' own tasks (of a connection pool, say) live as long as the worker.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("beside")
        .enable_all()
        .build()
        .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;
    let states = runtime.block_on(cx.app().all_states().make())?;
    let broker = Broker::find(cx.configured(), cx.data_dir(), args.broker_port)?;
    let mut settings = settings(cx.app(), args, broker.properties(), cx.data_dir());
    settings.rows_confirmed = guard.confirmed;
    if let Err(error) = guard.keep() {
        broker.leave();
        return Err(error);
    }
    let token = cx.token()?;
    let web = Server::new(door(args, token.clone()))?;
    banner(cx, &settings, &broker, &web);
    let beside = Beside {
        app: cx.app(),
        web,
        token,
        runtime: runtime.handle(),
        shown: cx.progress(),
    };
    let ended = beside.work(plan, states, settings, &stop);
    broker.leave();
    // What still blocks a thread of it is not waited for.
    runtime.shutdown_background();
    failed_partitions(&ended?)
}

fn shutdown_timeout(app: &App, args: &WorkerArgs) -> Duration {
    args.shutdown_timeout.unwrap_or(app.shutdown_timeout)
}

fn on(configured: &Properties) -> On {
    match configured.bootstrap() {
        Some(_) => On::Named,
        None => On::Development,
    }
}

/// The comparison with the plan that was kept, for a worker that runs inside a program; what does not fit together is
/// told later.
pub(super) fn guard(
    app: &App,
    args: &WorkerArgs,
    configured: &Properties,
    data_dir: &Path,
) -> CliResult<Guard> {
    match app.plan() {
        Ok(plan) => lock::at_start(app, &plan, &args.plan_lock, data_dir, on(configured)),
        Err(_) => Ok(Guard::default()),
    }
}

/// The broker a worker talks to.
pub(super) enum Broker {
    /// Named by a setting.
    Configured(Properties),
    /// The one of the directory.
    Local(Properties, Joined),
}

impl Broker {
    pub(super) fn find(
        configured: &Properties,
        data_dir: &Path,
        port: Option<u16>,
    ) -> CliResult<Broker> {
        if configured.bootstrap().is_some() {
            return Ok(Broker::Configured(configured.clone()));
        }
        let joined = Place::new(data_dir).join(port)?;
        let mut properties = configured.clone();
        properties.set_broker(&joined.address().to_string());
        Ok(Broker::Local(properties, joined))
    }

    fn properties(&self) -> &Properties {
        match self {
            Broker::Configured(properties) | Broker::Local(properties, _) => properties,
        }
    }

    /// Ends a broker that runs in this process.
    pub(super) fn leave(self) {
        if let Broker::Local(_, joined) = self {
            joined.leave();
        }
    }
}

/// What a worker is started with: a flag or the environment, else the code.
pub(super) fn settings(
    app: &App,
    args: &WorkerArgs,
    properties: &Properties,
    data_dir: &Path,
) -> WorkerSettings {
    let mut settings = WorkerSettings::new(properties.clone(), data_dir);
    if let Some(threads) = args.threads {
        settings.threads = usize::from(threads);
    }
    settings.exactly_once = match args.processing_guarantee {
        Some(guarantee) => guarantee == GuaranteeArg::ExactlyOnce,
        None => app.guarantee == ProcessingGuarantee::ExactlyOnce,
    };
    settings.commit_interval = args.commit_interval.unwrap_or(app.commit_interval);
    settings.shutdown_timeout = shutdown_timeout(app, args);
    settings.start_at_end = app.start == Start::Latest;
    settings.skip_gaps = app.on_gap == OnGap::Skip;
    settings.on_foreign_commit = match args.on_foreign_commit {
        Some(ForeignArg::Take) => OnForeignCommit::Take,
        Some(ForeignArg::Stop) => OnForeignCommit::Stop,
        None => app.on_foreign_commit,
    };
    settings.max_ahead = app.max_ahead;
    settings.max_task_idle = app.max_task_idle;
    settings.source_idle = app.source_idle_or(SOURCE_IDLE);
    settings.hold = (app.hold != Duration::MAX).then_some(app.hold);
    settings.source_ahead = app.source_ahead;
    settings.topic_partitions = app.topic_partitions;
    settings.replication_factor = app.replication_factor;
    let said = args.instance_id.clone().or(app.instance_id.clone());
    settings.instance_id = said.or_else(|| settings.properties.instance_id().map(str::to_owned));
    settings.until_caught_up = args.until_caught_up;
    settings.commit_events = args.commit_events.unwrap_or(settings.commit_events);
    settings.store_interval = args.store_interval.unwrap_or(settings.store_interval);
    settings
}

/// What a worker has beside its streams.
struct Beside<'a> {
    app: &'a App,
    web: Server,
    token: Option<Token>,
    runtime: &'a Handle,
    /// Its partitions are shown on the terminal.
    shown: bool,
}

impl Beside<'_> {
    /// Runs the worker on this thread until it ends, and on the runtime what runs beside its streams.
    fn work(
        self,
        plan: Plan,
        states: States,
        mut settings: WorkerSettings,
        stop: &Stop,
    ) -> Result<Ended, Error> {
        let (functions, pages) = (self.app.beside(), self.app.pages());
        let states = Arc::new(states.into_map());
        if functions.iter().any(|one| one.on_leader) {
            settings.leader_topic = Some(plan.leader_topic());
        }
        let handle = WorkerHandle::new(stop.clone(), Status::of(&plan));
        let _shown = self.shown.then(|| Shown::start(Arc::clone(&handle.status)));
        let sends = functions.iter().flat_map(|one| one.sends());
        let sends = sends.chain(pages.iter().flat_map(|page| page.sends()));
        let outlet = outlet(self.app, sends, &settings)?;
        settings.address = Some(
            self.web
                .advertised(settings.properties.bootstrap().unwrap_or_default()),
        );
        let client = Client::new(self.token);
        let cx = BesideCx::new(
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
        let running = crate::beside::start(functions, cx, self.runtime)?;
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

/// What the web server is started with. Without pages it answers the other workers alone, on any port.
fn door(args: &WorkerArgs, token: Option<Token>) -> Door {
    Door {
        port: match args.without_web {
            true => Port::Exactly(0),
            false => args.web_port.map_or(Port::Usual, Port::Exactly),
        },
        bind: args.web_bind,
        token,
        advertise: args.advertise.clone(),
        reads_only: args.without_web,
        tables: args.web_tables,
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
    let outlet = Outlet::new(
        &settings.properties,
        app.topic_partitions,
        app.replication_factor,
    )?;
    topics.try_for_each(|topic| outlet.make(topic))?;
    Ok(Some(outlet))
}

/// The line a worker begins with.
fn banner(cx: &Context<'_>, settings: &WorkerSettings, broker: &Broker, web: &Server) {
    let style = cx.note_style();
    let address = settings.properties.bootstrap().unwrap_or_default();
    let whose = match broker {
        Broker::Configured(_) => "",
        Broker::Local(_, joined) if joined.is_host() => " (development broker, in this process)",
        Broker::Local(..) => " (development broker of this directory)",
    };
    let guarantee = if settings.exactly_once {
        "exactly-once"
    } else {
        "at-least-once"
    };
    let threads = counted(settings.threads, "stream thread");
    let web = web.address().map_or_else(String::new, |address| {
        format!(", web {}", style.cyan(address))
    });
    cx.note(format_args!(
        "{} {}: broker {}{whose}, {threads}, {guarantee}, data in {}{web}",
        style.bold("worker"),
        cx.id(),
        style.cyan(address),
        settings.data_dir.display()
    ));
}

/// A worker that ended well, but for partitions that stopped.
fn failed_partitions(ended: &Ended) -> CliResult {
    match failures(ended) {
        None => Ok(()),
        Some(text) => Err(CliError::failure(text)),
    }
}

fn failures(ended: &Ended) -> Option<String> {
    if ended.failed.is_empty() {
        return None;
    }
    let lines: Vec<String> = ended
        .failed
        .iter()
        .map(|(partition, why)| format!("\n  {partition}: {why}"))
        .collect();
    let partitions = counted(lines.len(), "partition");
    Some(format!("{partitions} stopped:{}", lines.concat()))
}

fn not_together(problems: Vec<Problem>) -> Error {
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Error::new(Kind::Topology, text.join("\n"))
}

/// Asks the worker to stop when what waits for it is dropped.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// Runs a worker beside what else this process does; dropping the future stops it in order.
pub(super) async fn beside(
    app: App,
    states: States,
    args: WorkerArgs,
    configured: Properties,
    data_dir: std::path::PathBuf,
    token: Option<Token>,
    guard: Guard,
) -> Result<(), Error> {
    let stop = StopOnDrop(Stop::new());
    let (asked, runtime) = (stop.0.clone(), Handle::current());
    let running = tokio::task::spawn_blocking(move || {
        let plan = app.plan().map_err(not_together)?;
        let broker =
            Broker::find(&configured, &data_dir, args.broker_port).map_err(CliError::into_error)?;
        let mut settings = settings(&app, &args, broker.properties(), &data_dir);
        settings.rows_confirmed = guard.confirmed;
        guard.keep().map_err(CliError::into_error)?;
        let beside = Beside {
            app: &app,
            web: Server::new(door(&args, token.clone()))?,
            token,
            runtime: &runtime,
            shown: false,
        };
        let ended = beside.work(plan, states, settings, &asked);
        broker.leave();
        match failures(&ended?) {
            None => Ok(()),
            Some(text) => Err(Error::new(Kind::Stopped, text)),
        }
    });
    running.await.map_err(|error| {
        Error::new(
            Kind::Internal,
            format!("the worker's thread ended: {error}"),
        )
    })?
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn with(app: &App, words: &[&str]) -> WorkerSettings {
        let words = ["app"].iter().chain(words);
        let matches = WorkerArgs::augment_args(Command::new("app"))
            .try_get_matches_from(words)
            .expect("understood");
        let args = WorkerArgs::from_arg_matches(&matches).expect("understood");
        settings(app, &args, &Properties::default(), Path::new("there"))
    }

    #[test]
    fn what_the_code_says_reaches_the_worker_and_a_flag_wins() {
        let time = Duration::from_millis;
        let app = App::new("a")
            .commit_interval(time(1))
            .shutdown_timeout(time(2))
            .max_task_idle(time(3))
            .max_ahead(time(4))
            .source_idle(Duration::MAX)
            .hold(time(8))
            .source_ahead(time(9))
            .topic_partitions(5)
            .replication_factor(6)
            .instance_id("seven")
            .processing_guarantee(ProcessingGuarantee::AtLeastOnce)
            .start(Start::Latest)
            .on_gap(OnGap::Skip);
        let code = with(&app, &[]);
        let times = [code.commit_interval, code.shutdown_timeout];
        assert_eq!(times, [time(1), time(2)]);
        assert_eq!([code.max_task_idle, code.max_ahead], [time(3), time(4)]);
        assert_eq!((code.source_idle, code.hold), (None, Some(time(8))));
        assert_eq!(code.source_ahead, Some(time(9)));
        assert_eq!(with(&App::new("a").hold(Duration::MAX), &[]).hold, None);
        assert_eq!(with(&App::new("a"), &[]).source_idle, Some(SOURCE_IDLE));
        assert_eq!(
            (code.topic_partitions, code.replication_factor),
            (Some(5), Some(6))
        );
        assert_eq!(code.instance_id.as_deref(), Some("seven"));
        assert!(!code.exactly_once && code.start_at_end && code.skip_gaps);

        let words = "--threads 9 --commit-interval 10ms --shutdown-timeout 11ms --instance-id twelve \
                     --processing-guarantee exactly-once --until-caught-up";
        let flags = with(&app, &words.split_whitespace().collect::<Vec<_>>());
        let times = [flags.commit_interval, flags.shutdown_timeout];
        assert_eq!(times, [time(10), time(11)]);
        assert_eq!(
            (flags.threads, flags.instance_id.as_deref()),
            (9, Some("twelve"))
        );
        assert!(flags.exactly_once && flags.until_caught_up && !code.until_caught_up);
    }
}
