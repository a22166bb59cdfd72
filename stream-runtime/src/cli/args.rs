//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::style::ColorChoice;
use crate::background::Token;
use crate::error::Error;

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The Kafka broker, as HOST:PORT[,HOST:PORT]; without one, the broker of this directory
    #[arg(
        long,
        global = true,
        value_name = "HOSTS",
        env = "STREAM_BROKER",
        hide_env_values = true
    )]
    pub(crate) broker: Option<String>,

    /// A client.properties file, as Confluent Cloud gives it
    #[arg(long, global = true, value_name = "FILE", env = "STREAM_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// A setting of the Kafka client, as linger.ms=5; may be repeated
    #[arg(
        long,
        global = true,
        value_name = "NAME=VALUE",
        env = "STREAM_KAFKA",
        hide_env_values = true,
        value_delimiter = ';',
        value_parser = name_and_value
    )]
    pub(crate) kafka: Vec<(String, String)>,

    /// Where tables and the broker of this directory keep their files
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "STREAM_DATA_DIR",
        default_value = ".stream"
    )]
    pub(crate) data_dir: PathBuf,

    /// A file with the token that metrics and rows of tables are asked for with: the same for all workers of the app
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "STREAM_WEB_TOKEN_FILE"
    )]
    pub(crate) web_token_file: Option<PathBuf>,

    /// What to log: off, error, warn, info, debug, trace, or a list as warn,stream_runtime=debug
    #[arg(
        short,
        long,
        global = true,
        value_name = "LEVEL",
        env = "STREAM_LOG_LEVEL"
    )]
    pub(crate) log_level: Option<String>,

    /// How to print what is asked for
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        env = "STREAM_OUTPUT",
        default_value = "text"
    )]
    pub(crate) output: Output,

    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "STREAM_COLOR",
        default_value = "auto"
    )]
    pub(crate) color: ColorChoice,
}

impl Global {
    /// What rows of tables are asked for with.
    pub(crate) fn token(&self) -> Result<Option<Token>, Error> {
        self.web_token_file.as_deref().map(Token::load).transpose()
    }
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: JSON, one line a record or one document.
    Json,
}

/// `worker`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    /// Stream threads; each takes a share of the partitions [default: the number of cores]
    #[arg(long, value_name = "N", env = "STREAM_THREADS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// What is promised about every record [default: exactly-once]
    #[arg(long, value_name = "GUARANTEE", env = "STREAM_PROCESSING_GUARANTEE")]
    pub(crate) processing_guarantee: Option<GuaranteeArg>,

    /// How often results are committed, as 100ms [default: 100ms]
    #[arg(long, value_name = "TIME", env = "STREAM_COMMIT_INTERVAL", value_parser = time)]
    pub(crate) commit_interval: Option<std::time::Duration>,

    /// The port of the web server; 0 takes a free one [default: 6066, else the next free one]
    #[arg(long, value_name = "PORT", env = "STREAM_WEB_PORT")]
    pub(crate) web_port: Option<u16>,

    /// The address that the web server listens on; beyond this machine it needs --web-token-file [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", env = "STREAM_WEB_BIND")]
    pub(crate) web_bind: Option<std::net::IpAddr>,

    /// Where other workers reach this one's web server [default: the address it listens on]
    #[arg(long, value_name = "HOST:PORT", env = "STREAM_ADVERTISE", value_parser = host_and_port)]
    pub(crate) advertise: Option<String>,

    /// The port of the broker that the worker starts where none is named and none runs; 0 takes a free one
    /// [default: the last one, else 9092]
    #[arg(long, value_name = "PORT", env = "STREAM_BROKER_PORT")]
    pub(crate) broker_port: Option<u16>,

    /// Show rows at /tables/NAME/KEY beyond this machine too; on loopback they are shown anyway
    #[arg(long, env = "STREAM_WEB_TABLES")]
    pub(crate) web_tables: bool,

    /// Serve no pages and no metrics; other workers' questions for rows are answered on a free port
    #[arg(long, env = "STREAM_WITHOUT_WEB", conflicts_with = "web_port")]
    pub(crate) without_web: bool,

    /// What `plan --write` kept; when the file is there, a worker refuses to start as another app
    #[arg(
        long,
        value_name = "FILE",
        env = "STREAM_PLAN_LOCK",
        default_value = "plan.lock"
    )]
    pub(crate) plan_lock: PathBuf,

    /// A static member of this name: a restarted worker takes its partitions back at once [default: none]
    #[arg(long, value_name = "ID", env = "STREAM_INSTANCE_ID", value_parser = instance_id)]
    pub(crate) instance_id: Option<String>,

    /// How long agents may take to end when the worker stops, as 10s [default: 10s]
    #[arg(long, value_name = "TIME", env = "STREAM_SHUTDOWN_TIMEOUT", value_parser = time)]
    pub(crate) shutdown_timeout: Option<std::time::Duration>,

    /// Choose what happens to a partition whose offset no worker of the app has committed: a consumer with the app's
    /// group id took part, or somebody moved it [default: stop]
    #[arg(long, value_name = "WHAT", env = "STREAM_ON_FOREIGN_COMMIT")]
    pub(crate) on_foreign_commit: Option<ForeignArg>,

    /// End with exit code 0 once everything there is has been processed and committed, by whichever workers of the app
    #[arg(long, env = "STREAM_UNTIL_CAUGHT_UP")]
    pub(crate) until_caught_up: bool,

    /// Events after which a partition commits before its time; for fault tests, which want many small commits
    #[arg(long, value_name = "N", env = "STREAM_COMMIT_EVENTS", hide = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) commit_events: Option<u32>,

    /// How often changed rows are written to the store, as 5s; for fault tests, which want kills amid rounds
    #[arg(long, value_name = "TIME", env = "STREAM_STORE_INTERVAL", hide = true, value_parser = time)]
    pub(crate) store_interval: Option<std::time::Duration>,
}

/// `--processing-guarantee`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GuaranteeArg {
    /// Every record counts once, whatever crashes.
    #[value(alias = "exactly_once", alias = "exactly_once_v2")]
    ExactlyOnce,
    /// No record is lost; after a crash some may count twice.
    #[value(alias = "at_least_once")]
    AtLeastOnce,
}

/// `--on-foreign-commit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignArg {
    /// Stop the partition until a person has looked; the others go on.
    Stop,
    /// Read its events from there on.
    Take,
}

/// `broker`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BrokerArgs {
    /// The port to listen on; 0 takes a free one [default: the last one, else 9092]
    #[arg(long, value_name = "PORT", env = "STREAM_BROKER_PORT")]
    pub(crate) port: Option<u16>,
}

/// `send`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SendArgs {
    /// The topic; one of the app's is made if it does not exist
    pub(crate) topic: String,

    /// The value of one record; without it and without --file, lines of standard input
    #[arg(conflicts_with = "file")]
    pub(crate) value: Option<String>,

    /// JSON lines, a record each; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The key of every record, in the type of the topic's keys [default: what the record carries]
    #[arg(
        short,
        long,
        conflicts_with = "key_field",
        allow_negative_numbers = true
    )]
    pub(crate) key: Option<String>,

    /// The field of the value that is the key, as `user` or `user.id`
    #[arg(long, value_name = "FIELD")]
    pub(crate) key_field: Option<String>,

    /// A header of every record; may be repeated
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) header: Vec<(String, String)>,

    /// The Kafka time of every record: RFC 3339, or milliseconds since 1970 [default: now]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub(crate) timestamp: Option<i64>,

    /// Make the topic if neither the broker nor the app has it
    #[arg(long)]
    pub(crate) create: bool,

    /// Ask nothing of the app: send what is given, unchecked and the key as text, whatever the topic
    #[arg(long)]
    pub(crate) raw: bool,

    /// Send a tombstone: the key with no value
    #[arg(long, requires = "key", conflicts_with_all = ["value", "file"])]
    pub(crate) tombstone: bool,
}

/// `tail`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TailArgs {
    /// The topic
    pub(crate) topic: String,

    /// Begin with the first record instead of the next new one
    #[arg(long)]
    pub(crate) from_beginning: bool,

    /// End at what is the topic's end now
    #[arg(long)]
    pub(crate) until_end: bool,

    /// End after N records
    #[arg(short = 'n', long = "max-records", value_name = "N")]
    pub(crate) max_records: Option<u64>,

    /// Only this partition; may be repeated
    #[arg(short, long, value_name = "P")]
    pub(crate) partition: Vec<i32>,

    /// Show records of open and aborted transactions too
    #[arg(long)]
    pub(crate) read_uncommitted: bool,

    /// Show the headers too; `-o json` always has them
    #[arg(short = 'H', long)]
    pub(crate) headers: bool,

    /// Show the watermarks of a repartition topic too: how far its sources are
    #[arg(long)]
    pub(crate) watermarks: bool,

    /// Ask nothing of the app: keys are text, or bytes in hexadecimal
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `topics`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TopicsArgs {
    /// All topics of the broker, not only those of this app
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// `plan`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArgs {
    /// Keep the plan in plan.lock
    #[arg(long, conflicts_with = "check")]
    pub(crate) write: bool,

    /// Compare the app with plan.lock; fail on what would lose state or not be read any more
    #[arg(long)]
    pub(crate) check: bool,

    /// With --write: do not ask about fields that may have been renamed
    #[arg(short, long, requires = "write")]
    pub(crate) yes: bool,

    /// The file of --write and --check
    #[arg(
        long,
        value_name = "FILE",
        env = "STREAM_PLAN_LOCK",
        default_value = "plan.lock"
    )]
    pub(crate) plan_lock: PathBuf,
}

/// `tables`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TablesArgs {
    /// A table to tell about; with KEY, to show the row of
    pub(crate) name: Option<String>,

    /// The key of a row, which the worker that has it is asked for: text, 7, true, 0x00ff, a UUID, or ["ann",7]
    #[arg(requires = "name", allow_negative_numbers = true)]
    pub(crate) key: Option<String>,
}

/// `describe`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DescribeArgs {
    /// An agent, a table, a timer, a crontab, a task, a page or a topic; without one, all of them
    pub(crate) name: Option<String>,
}

/// `reset`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResetArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Read this input again from its beginning, whoever wrote it; may be repeated
    #[arg(long, value_name = "TOPIC")]
    pub(crate) from_beginning: Vec<String>,

    /// Leave out what this input has now, whoever wrote it; may be repeated
    #[arg(long, value_name = "TOPIC")]
    pub(crate) to_end: Vec<String>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => {
            let port: u16 = port
                .parse()
                .map_err(|_| format!("expected HOST:PORT, and {port:?} is not a port"))?;
            if port == 0 {
                return Err("port 0 is nowhere: leave it out to name the host alone".to_owned());
            }
            host
        }
        _ => text,
    };
    if host.is_empty() || host.contains('/') || host.contains(char::is_whitespace) {
        return Err("expected HOST:PORT, or HOST for the port that is listened on".to_owned());
    }
    Ok(text.to_owned())
}

/// Milliseconds since the epoch. Kafka has no time before 1970.
fn timestamp(text: &str) -> Result<i64, String> {
    let written = text.parse().ok().or_else(|| {
        let time = crate::record::datetime::parse(text)?;
        Some(time.timestamp_millis())
    });
    match written {
        Some(ms) if ms >= 0 => Ok(ms),
        Some(_) => Err("Kafka has no time before 1970".to_owned()),
        None => Err("expected RFC 3339, as 2026-03-28T12:00:00Z, or milliseconds".to_owned()),
    }
}

fn instance_id(text: &str) -> Result<String, &'static str> {
    crate::app::check_instance_id(text).map(|()| text.to_owned())
}

fn time(text: &str) -> Result<std::time::Duration, String> {
    let milliseconds = crate::duration::parse(text).map_err(|error| error.to_string())?;
    u64::try_from(milliseconds)
        .map(std::time::Duration::from_millis)
        .map_err(|_| "negative".to_owned())
}
