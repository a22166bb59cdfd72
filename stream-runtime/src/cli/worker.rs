//! `worker`: the agents at work.

use std::sync::Arc;
use std::time::Duration;

use super::args::{ForeignArg, GuaranteeArg, WorkerArgs};
use super::context::Context;
use super::error::{CliError, CliResult};
use super::partitions::Shown;
use crate::app::in_process::{Broker, failures, on};
use crate::app::{App, ProcessingGuarantee, WorkerOptions, WorkerRuntime, plan_lock};
use crate::background::Token;
use crate::error::counted;
use crate::web::{Door, Port, Server};
use crate::worker::{Ended, OnForeignCommit, ShutdownSignal, Status, WorkerSettings, signals};

/// What an orderly end may take beyond the waits that `shutdown_timeout` bounds.
const END_SLACK: Duration = Duration::from_secs(10);

/// `worker` of the command line.
pub(super) fn run(cx: &Context<'_>, args: &WorkerArgs) -> CliResult {
    // Before anything that takes time: who is asked to end while it starts ends in order, too.
    let stop = ShutdownSignal::new();
    let bound = 2 * shutdown_timeout(cx.app(), args) + END_SLACK;
    signals::listen(stop.clone(), bound)
        .map_err(|error| CliError::failure(format_args!("cannot listen for signals: {error}")))?;
    let plan = cx.plan()?;
    let on = on(cx.configured());
    let guard = plan_lock::at_start(cx.app(), &plan, &args.plan_lock, cx.data_dir(), on)?;
    // For what runs beside the streams; and the states' own tasks (of a connection pool, say) live as long as the
    // worker.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("beside")
        .enable_all()
        .build()
        .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;
    let states = runtime.block_on(cx.app().all_states().make())?;
    let broker = Broker::find(cx.configured(), cx.data_dir(), args.broker_port)?;
    let options = args.options();
    let mut settings = options.settings(cx.app(), broker.properties(), cx.data_dir());
    settings.rows_confirmed = guard.confirmed;
    if let Err(error) = guard.keep() {
        broker.leave();
        return Err(error);
    }
    let token = cx.token()?;
    let web = Server::new(door(args, token.clone()))?;
    banner(cx, &settings, &broker, &web);
    let worker = WorkerRuntime {
        app: cx.app(),
        web,
        token,
        runtime: runtime.handle(),
    };
    let shown = cx.progress();
    let watch = |status: &Arc<Status>| shown.then(|| Shown::start(Arc::clone(status)));
    let ended = worker.run(plan, states, settings, &stop, watch);
    broker.leave();
    // What still blocks a thread of it is not waited for.
    runtime.shutdown_background();
    failed_partitions(&ended?)
}

fn shutdown_timeout(app: &App, args: &WorkerArgs) -> Duration {
    args.shutdown_timeout.unwrap_or(app.shutdown_timeout)
}

impl WorkerArgs {
    /// Returns what they say of the worker itself.
    pub(super) fn options(&self) -> WorkerOptions {
        WorkerOptions {
            threads: self.threads,
            processing_guarantee: self.processing_guarantee.map(|it| match it {
                GuaranteeArg::ExactlyOnce => ProcessingGuarantee::ExactlyOnce,
                GuaranteeArg::AtLeastOnce => ProcessingGuarantee::AtLeastOnce,
            }),
            commit_interval: self.commit_interval,
            shutdown_timeout: self.shutdown_timeout,
            on_foreign_commit: self.on_foreign_commit.map(|it| match it {
                ForeignArg::Take => OnForeignCommit::Take,
                ForeignArg::Stop => OnForeignCommit::Stop,
            }),
            instance_id: self.instance_id.clone(),
            until_caught_up: self.until_caught_up,
            commit_events: self.commit_events,
            store_interval: self.store_interval,
        }
    }
}

/// What the web server is started with. Without pages it answers the other workers alone, on any port.
pub(super) fn door(args: &WorkerArgs, token: Option<Token>) -> Door {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::app::{OnGap, ProcessingGuarantee, Start};
    use crate::kafka::Properties;
    use crate::worker::SOURCE_IDLE;

    fn with(app: &App, words: &[&str]) -> WorkerSettings {
        let words = ["app"].iter().chain(words);
        let matches = WorkerArgs::augment_args(Command::new("app"))
            .try_get_matches_from(words)
            .expect("understood");
        let args = WorkerArgs::from_arg_matches(&matches).expect("understood");
        args.options()
            .settings(app, &Properties::default(), Path::new("there"))
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
        let times = [code.intervals.commit, code.shutdown_timeout];
        assert_eq!(times, [time(1), time(2)]);
        assert_eq!(
            [code.time.max_task_idle, code.time.max_ahead],
            [time(3), time(4)]
        );
        assert_eq!(
            (code.time.source_idle, code.time.hold),
            (None, Some(time(8)))
        );
        assert_eq!(code.time.source_ahead, Some(time(9)));
        assert_eq!(
            with(&App::new("a").hold(Duration::MAX), &[]).time.hold,
            None
        );
        assert_eq!(
            with(&App::new("a"), &[]).time.source_idle,
            Some(SOURCE_IDLE)
        );
        assert_eq!(
            (
                code.new_topics.partitions,
                code.new_topics.replication_factor
            ),
            (Some(5), Some(6))
        );
        assert_eq!(code.instance_id.as_deref(), Some("seven"));
        assert!(!code.exactly_once && code.start_at_end && code.skip_gaps);

        let words = "--threads 9 --commit-interval 10ms --shutdown-timeout 11ms --instance-id twelve \
                     --processing-guarantee exactly-once --until-caught-up";
        let flags = with(&app, &words.split_whitespace().collect::<Vec<_>>());
        let times = [flags.intervals.commit, flags.shutdown_timeout];
        assert_eq!(times, [time(10), time(11)]);
        assert_eq!(
            (flags.threads, flags.instance_id.as_deref()),
            (9, Some("twelve"))
        );
        assert!(flags.exactly_once && flags.until_caught_up && !code.until_caught_up);
    }
}
