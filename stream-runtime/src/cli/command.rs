//! Commands of the app's own: functions under `#[command]`.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;

use crate::background::TableReader;
use crate::error::{Error, Failure, Kind};
use crate::handler::{State, TopicSpec};
use crate::producer::Producer;
use crate::table::{GlobalSpec, GlobalTable, TableSpec};
use crate::topology::{SourceLocation, TopicDescriptor, registry};

use super::app_handle::AppHandle;

/// A command on its way.
pub type CommandFuture = Pin<Box<dyn Future<Output = Result<ExitCode, Failure>> + Send>>;

/// Registered by `#[command]`.
pub struct CommandDescriptor {
    /// The function's name with `-` for `_`, or `name = ".."`.
    pub name: &'static str,
    /// The function's doc comment; its first line stands in the list of commands.
    pub about: &'static str,
    /// Where it stands.
    pub place: SourceLocation,
    /// Its parameters, in order.
    pub parts: &'static [CommandPart],
    /// Runs it.
    pub run: fn(CommandCx) -> CommandFuture,
}

registry::collected!(CommandDescriptor);

/// What a parameter of a command brings, whatever its type.
#[derive(Clone, Copy)]
pub struct CommandPart {
    augment: fn(clap::Command) -> clap::Command,
    sends: fn() -> Option<&'static TopicDescriptor>,
}

/// A parameter of type `T`: what it brings, and how it is made.
///
/// Its type is asked for its traits here and nowhere else, so that a wrong one is one error.
pub struct CommandParameter<T> {
    part: CommandPart,
    make: fn(&CommandCx) -> Result<T, Error>,
}

impl<T: CommandParam> CommandParameter<T> {
    /// That of the type.
    pub const fn of() -> Self {
        CommandParameter {
            part: CommandPart {
                augment: T::augment,
                sends: T::sends,
            },
            make: T::from_command,
        }
    }
}

impl<T> CommandParameter<T> {
    /// What it brings.
    pub const fn part(&self) -> CommandPart {
        self.part
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// When the broker or a resource it needs is not there.
    pub fn make(&self, cx: &CommandCx) -> Result<T, Error> {
        (self.make)(cx)
    }
}

impl CommandDescriptor {
    /// Adds the arguments of its parameters.
    pub(super) fn augment(&self, command: clap::Command) -> clap::Command {
        self.parts
            .iter()
            .fold(command, |command, part| (part.augment)(command))
    }

    /// Topics it sends to.
    pub(super) fn sends(&self) -> impl Iterator<Item = &'static TopicDescriptor> {
        self.parts.iter().filter_map(|part| (part.sends)())
    }
}

/// What a command's parameters are made from.
#[derive(Clone)]
pub struct CommandCx {
    pub(super) app: AppHandle,
    pub(super) matches: clap::ArgMatches,
}

/// A parameter of a `#[command]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a command's parameter",
    label = "not a command parameter",
    note = "a command takes State<T>, Producer<S>, TableReader<S>, GlobalTable<S>, AppHandle, and structs that derive `clap::Args`"
)]
pub trait CommandParam: Sized {
    /// Adds the arguments it reads.
    fn augment(command: clap::Command) -> clap::Command {
        command
    }

    /// The topic it sends to.
    fn sends() -> Option<&'static TopicDescriptor> {
        None
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// When the broker or a resource it needs is not there.
    fn from_command(cx: &CommandCx) -> Result<Self, Error>;
}

impl<T: clap::Args> CommandParam for T {
    fn augment(command: clap::Command) -> clap::Command {
        T::augment_args(command)
    }

    fn from_command(cx: &CommandCx) -> Result<Self, Error> {
        T::from_arg_matches(&cx.matches)
            .map_err(|error| Error::new(Kind::Configuration, error.to_string()))
    }
}

impl CommandParam for AppHandle {
    fn from_command(cx: &CommandCx) -> Result<Self, Error> {
        Ok(cx.app.clone())
    }
}

impl<S: TopicSpec> CommandParam for Producer<S> {
    fn sends() -> Option<&'static TopicDescriptor> {
        Some(S::DESCRIPTOR)
    }

    fn from_command(cx: &CommandCx) -> Result<Self, Error> {
        cx.app.producer()
    }
}

impl<S: TableSpec> CommandParam for TableReader<S> {
    fn from_command(cx: &CommandCx) -> Result<Self, Error> {
        Ok(TableReader::new(cx.app.router()?))
    }
}

impl<S: GlobalSpec> CommandParam for GlobalTable<S> {
    fn from_command(cx: &CommandCx) -> Result<Self, Error> {
        GlobalTable::of(cx.app.global(S::DESCRIPTOR)?)
    }
}

impl<T: Send + Sync + 'static> CommandParam for State<T> {
    fn from_command(cx: &CommandCx) -> Result<Self, Error> {
        cx.app.state::<T>().map(State::from_arc).ok_or_else(|| {
            let name = std::any::type_name::<T>();
            Error::new(
                Kind::Topology,
                format!("nobody makes a State<{name}>: add App::state(..), or a #[state] function that returns one"),
            )
        })
    }
}

/// What a `#[command]` may return.
#[diagnostic::on_unimplemented(
    message = "a command cannot return `{Self}`",
    label = "neither `()`, an exit code, nor a `Result` of these",
    note = "a command returns (), ExitCode, or a Result of these"
)]
pub trait CommandOutput {
    /// The exit code, or the failure that ends it with 1.
    ///
    /// # Errors
    ///
    /// The function's own.
    fn finish(self) -> Result<ExitCode, Failure>;
}

impl CommandOutput for () {
    fn finish(self) -> Result<ExitCode, Failure> {
        Ok(ExitCode::SUCCESS)
    }
}

impl CommandOutput for ExitCode {
    fn finish(self) -> Result<ExitCode, Failure> {
        Ok(self)
    }
}

impl<T: CommandOutput, E: Into<Failure>> CommandOutput for Result<T, E> {
    fn finish(self) -> Result<ExitCode, Failure> {
        self.map_err(Into::into)?.finish()
    }
}

/// The app's commands in the order of their names.
pub(super) fn registered() -> Vec<&'static CommandDescriptor> {
    let mut all = registry::registered!(CommandDescriptor);
    all.sort_by_key(|command| (command.name, command.place.file, command.place.line));
    all
}

/// Names that are taken: two commands of one name, or one of the framework's.
pub(super) fn clashes(builtin: &[&str]) -> Vec<String> {
    let all = registered();
    let mut problems = Vec::new();
    for (ix, command) in all.iter().enumerate() {
        let (place, name) = (command.place, command.name);
        if builtin.contains(&name) {
            problems.push(format!(
                "{place}: #[command] {name}: every app has a command of this name; give another with `name = \"..\"`"
            ));
        }
        if let Some(other) = ix
            .checked_sub(1)
            .map(|ix| all[ix])
            .filter(|other| other.name == name)
        {
            problems.push(format!(
                "{place}: #[command] {name}: the same name as at {}",
                other.place
            ));
        }
    }
    problems
}
