//! From the command line to a command, and from its end to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::app_handle::AppHandle;
use super::args::{
    BrokerArgs, DescribeArgs, Global, PlanArgs, ResetArgs, SendArgs, TablesArgs, TailArgs,
    TopicsArgs, WorkerArgs,
};
use super::command::{self, CommandCx, CommandDescriptor};
use super::context::Context;
use super::dead_letters::{self, DeadLettersArgs};
use super::error::{CliError, CliResult};
use super::service_links::ServiceLink;
use super::style::Style;
use super::{
    broker, functions, logging, plan, reset, rows, send, service_links, settings, tail, topics,
    worker,
};
use crate::app::App;
use crate::app::in_process::{self, InProcess};
use crate::error::{Error, Kind};

/// A command that every app has.
struct Builtin {
    name: &'static str,
    about: &'static str,
    /// What stands below its help, each line after the program's name.
    examples: &'static [&'static str],
    augment: fn(Command) -> Command,
    run: fn(&Context<'_>, &ArgMatches) -> CliResult,
    /// The level of the log unless another is asked for.
    log: &'static str,
}

impl Builtin {
    /// With its options; and what of the environment looks like one and is not.
    fn command(&self) -> (Command, Vec<ServiceLink>) {
        service_links::without((self.augment)(Command::new(self.name)))
    }
}

const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "worker",
        about: "Run the agents; without a broker named, join or start the one of this directory",
        examples: &[
            "worker",
            "worker --broker localhost:9092 --threads 4",
            "worker --config client.properties",
        ],
        augment: WorkerArgs::augment_args,
        run: |cx, matches| worker::run(cx, &parse(matches)?),
        log: "info",
    },
    Builtin {
        name: "broker",
        about: "Run the development broker of this directory, alone",
        examples: &["broker", "broker --port 9192 --data-dir /tmp/try"],
        augment: BrokerArgs::augment_args,
        run: |cx, matches| broker::run(cx, &parse(matches)?),
        log: "info",
    },
    Builtin {
        name: "send",
        about: "Send records to a topic",
        examples: &[
            r#"send clicks '{"user":"ann","page":"/"}' --key ann"#,
            "send clicks --file clicks.jsonl --key-field user",
            "generate | $ send clicks",
        ],
        augment: SendArgs::augment_args,
        run: |cx, matches| send::run(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "tail",
        about: "Print the records of a topic",
        examples: &[
            "tail clicks",
            "tail clicks --from-beginning -n 10",
            "tail clicks --from-beginning --until-end -o json | jq .value",
        ],
        augment: TailArgs::augment_args,
        run: |cx, matches| tail::run(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "topics",
        about: "List the app's topics: partitions, records, lag",
        examples: &["topics", "topics --all -o json"],
        augment: TopicsArgs::augment_args,
        run: |cx, matches| topics::run(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "agents",
        about: "List the app's agents: what they read, keep and send",
        examples: &["agents", "agents -o json"],
        augment: |command| command,
        run: |cx, _| plan::agents(cx),
        log: "error",
    },
    Builtin {
        name: "tables",
        about: "List the app's tables, global ones too: keys, windows, changelogs; or show a row",
        examples: &["tables", "tables -o json", "tables hourly_voltage power"],
        augment: TablesArgs::augment_args,
        run: |cx, matches| rows::run(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "functions",
        about: "List what runs beside the agents: timers, crontabs with their next call, tasks, pages",
        examples: &["functions", "functions -o json"],
        augment: |command| command,
        run: |cx, _| functions::run(cx),
        log: "error",
    },
    Builtin {
        name: "plan",
        about: "Print the topology: which agent feeds what, and every topic",
        examples: &["plan", "plan --write", "plan --check", "plan -o json"],
        augment: PlanArgs::augment_args,
        run: |cx, matches| plan::plan(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "describe",
        about: "Show everything about an agent, a table, a function or a topic",
        examples: &["describe", "describe voltage_input"],
        augment: DescribeArgs::augment_args,
        run: |cx, matches| plan::describe(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "dead-letters",
        about: "List, show and send again what agents could not handle",
        examples: &[
            "dead-letters list",
            "dead-letters show total 0@17",
            "dead-letters resend total",
            "dead-letters resend total 0@17 0@18 --yes",
        ],
        augment: DeadLettersArgs::augment_args,
        run: |cx, matches| dead_letters::run(cx, &parse(matches)?),
        log: "error",
    },
    Builtin {
        name: "reset",
        about: "Start over: forget offsets and tables, keep inputs and outputs",
        examples: &[
            "reset --dry-run",
            "reset",
            "reset --yes --to-end corrections",
        ],
        augment: ResetArgs::augment_args,
        run: |cx, matches| reset::run(cx, &parse(matches)?),
        log: "error",
    },
];

impl App {
    /// Runs the command that the command line names, and returns the exit code: 0 well, 1 failed, 2 not understood.
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use stream_runtime::App;
    ///
    /// fn main() -> ExitCode {
    ///     App::new("voltage").main()
    /// }
    /// ```
    pub fn main(self) -> ExitCode {
        main(&self, std::env::args_os())
    }

    /// Runs a worker inside an existing tokio runtime, with the code's and the environment's settings; dropping the
    /// future stops it in order.
    ///
    /// # Errors
    ///
    /// When it cannot start, cannot go on, or a partition has stopped.
    ///
    /// ```
    /// use stream_runtime::{App, Error};
    ///
    /// async fn beside_other_things() -> Result<(), Error> {
    ///     App::new("voltage").broker("kafka://localhost:9092").run().await
    /// }
    /// # let _ = beside_other_things;
    /// ```
    pub async fn run(self) -> Result<(), Error> {
        run(self).await
    }
}

/// Runs the command that `args` name; the first is the program itself.
pub(super) fn main(app: &App, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().map_or_else(|| app.name.clone(), program_name);
    let matches = match root(app, &program).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to standard output and are not a failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let global = match Global::from_arg_matches(&matches) {
        Ok(global) => global,
        Err(error) => error.exit(),
    };
    let style = Style::stderr(global.color);
    match dispatch(app, global, &matches) {
        Ok(code) => code,
        Err(error) => {
            if !error.is_quiet() {
                eprintln!("{} {error}", style.red("error:"));
                if let Some(next) = error.next_step() {
                    eprintln!("  {} {next}", style.bold("help:"));
                }
            }
            error.code()
        }
    }
}

fn dispatch(app: &App, global: Global, matches: &ArgMatches) -> CliResult<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(CliError::usage("no command"));
    };
    let builtin = BUILTINS.iter().find(|builtin| builtin.name == name);
    let level = builtin.map_or("warn", |builtin| builtin.log);
    logging::start(
        global.log_level.as_deref(),
        level,
        Style::stderr(global.color),
    )?;
    if let Some(builtin) = builtin {
        let (_, links) = builtin.command();
        links.iter().for_each(|link| tracing::warn!("{link}"));
    }
    let names: Vec<&str> = BUILTINS.iter().map(|builtin| builtin.name).collect();
    let mut mistakes = app.mistakes.clone();
    mistakes.extend(command::clashes(&names));
    if !mistakes.is_empty() {
        return Err(CliError::usage(mistakes.join("\n  ")));
    }
    let properties = settings::properties(app, &global, matches)?;
    if let Some(builtin) = builtin {
        let cx = Context::new(app, global, properties);
        return (builtin.run)(&cx, matches).map(|()| ExitCode::SUCCESS);
    }
    let own = command::registered()
        .into_iter()
        .find(|command| command.name == name);
    let own = own.ok_or_else(|| CliError::usage(format_args!("there is no command {name}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;
    runtime.block_on(run_own(app, &global, properties, own, matches.clone()))
}

/// Runs a worker inside a runtime of the user's: the code's settings, and the environment's.
async fn run(app: App) -> Result<(), Error> {
    let refuse = |error: clap::Error| Error::new(Kind::Configuration, error.to_string());
    let words = [app.name.clone(), "worker".to_owned()];
    let matches = root(&app, &app.name)
        .try_get_matches_from(words)
        .map_err(refuse)?;
    let global = Global::from_arg_matches(&matches).map_err(refuse)?;
    let matches = matches
        .subcommand_matches("worker")
        .cloned()
        .unwrap_or_default();
    let args = WorkerArgs::from_arg_matches(&matches).map_err(refuse)?;
    if !app.mistakes.is_empty() {
        return Err(Error::new(Kind::Configuration, app.mistakes.join("\n")));
    }
    let properties = settings::properties(&app, &global, &matches).map_err(CliError::into_error)?;
    let guard = in_process::guard(&app, &args.plan_lock, &properties, &global.data_dir)
        .map_err(CliError::into_error)?;
    let worker = InProcess {
        states: app.all_states().make().await?,
        app,
        options: args.options(),
        door: worker::door(&args, global.token()?),
        configured: properties,
        data_dir: global.data_dir,
        broker_port: args.broker_port,
        guard,
    };
    worker.run().await
}

/// Runs a command of the app's own.
async fn run_own(
    app: &App,
    global: &Global,
    properties: crate::kafka::Properties,
    own: &CommandDescriptor,
    matches: ArgMatches,
) -> CliResult<ExitCode> {
    let states = app.all_states().make().await?;
    let handle = AppHandle::new(app, global, &properties, states);
    let running = (own.run)(CommandCx {
        app: handle.clone(),
        matches,
    });
    let ended = tokio::select! {
        ended = running => ended.map_err(CliError::failure),
        stopped = super::signal::stop() => {
            stopped?;
            // As a shell says it for SIGINT.
            Err(CliError::said(130))
        }
    };
    let finished = handle.finish().await;
    let code = ended?;
    finished?;
    Ok(code)
}

fn parse<A: FromArgMatches>(matches: &ArgMatches) -> CliResult<A> {
    A::from_arg_matches(matches).map_err(CliError::usage)
}

fn root(app: &App, program: &str) -> Command {
    let mut root = Global::augment_args(Command::new("app"))
        .bin_name(program)
        .about(format!("The stream-processing app `{}`", app.name))
        .long_about(None)
        .version(concat!("(stream-runtime ", env!("CARGO_PKG_VERSION"), ")"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .after_help(
            "A flag wins over its environment variable, that over the app's code.\n\
             Exit codes: 0 done, 1 failed, 2 not understood.",
        );
    for own in command::registered() {
        let command = own.augment(Command::new(own.name));
        let short = own.about.lines().next().unwrap_or_default();
        root = root.subcommand(command.about(short).long_about(own.about));
    }
    for builtin in BUILTINS {
        let examples: Vec<String> = builtin
            .examples
            .iter()
            .map(|example| example_line(program, example))
            .collect();
        let (command, _) = builtin.command();
        // The arguments' own descriptions are for readers of the source.
        let command = command.about(builtin.about).long_about(None);
        root = root.subcommand(command.after_help(format!("Examples:\n{}", examples.join("\n"))));
    }
    root
}

/// A line of help: the program's name in front, or where a `$` stands.
fn example_line(program: &str, example: &str) -> String {
    match example.contains("$ ") {
        true => format!("  {}", example.replace("$ ", &format!("{program} "))),
        false => format!("  {program} {example}"),
    }
}

fn program_name(path: &OsString) -> String {
    let name = std::path::Path::new(path).file_name();
    name.map_or_else(
        || "app".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_s_arguments_fit_together() {
        root(&App::new("voltage"), "voltage").debug_assert();
    }

    #[test]
    fn every_option_of_the_worker_can_stand_in_the_environment() {
        let app = App::new("voltage");
        let root = root(&app, "voltage");
        let worker = root.find_subcommand("worker").unwrap();
        let own = root.get_arguments().chain(worker.get_arguments());
        for arg in own.filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
            assert!(arg.get_env().is_some(), "{} has no variable", arg.get_id());
        }
    }

    /// Kubernetes sets `{SERVICE}_PORT`, which the value tells from ours, and more, which nothing would.
    #[test]
    fn no_option_s_variable_is_one_of_a_kubernetes_service() {
        let app = App::new("voltage");
        let root = root(&app, "voltage");
        let commands = std::iter::once(&root).chain(root.get_subcommands());
        let args = commands.flat_map(Command::get_arguments);
        let names: Vec<&str> = args.filter_map(|arg| arg.get_env()?.to_str()).collect();
        assert!(names.contains(&"STREAM_BROKER_PORT"), "{names:?}");
        let of_a_service =
            regex::Regex::new("_SERVICE_(HOST|PORT)(_.*)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)").unwrap();
        for name in names {
            assert!(!of_a_service.is_match(name), "{name}");
        }
    }

    #[test]
    fn every_example_is_understood() {
        for builtin in BUILTINS {
            for example in builtin.examples {
                let line = example.rsplit_once("$ ").map_or(*example, |(_, line)| line);
                let line = line.split('|').next().unwrap_or_default();
                let words = std::iter::once("voltage".to_owned()).chain(words(line));
                let parsed = root(&App::new("voltage"), "voltage").try_get_matches_from(words);
                assert!(
                    parsed.is_ok(),
                    "{example}: {}",
                    parsed.err().map(|e| e.to_string()).unwrap_or_default()
                );
            }
        }
    }

    /// Splits as a shell does, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (ix, part) in line.split('\'').enumerate() {
            match ix % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }
}
