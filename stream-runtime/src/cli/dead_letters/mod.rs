//! `dead-letters`: what the agents could not handle: listed, shown, sent again.

mod list;
mod resend;
mod resent;
mod show;

use std::ops::ControlFlow;

use clap::{Args, Subcommand};

use super::context::Context;
use super::error::{CliError, CliResult};
use super::plan_view::{AgentView, AppView};
use super::topic_reader::{Follow, Step};
use crate::error::counted;
use crate::kafka::{Admin, Isolation, Properties, RecordView, TopicPartition};
use crate::task::letter::Letter;
use crate::task::letter_place::LetterPlace;
use resent::Resent;

/// `dead-letters`.
#[derive(Args, Clone, Debug)]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand, Clone, Debug)]
enum Verb {
    /// List the dead letters that wait: where they are, what failed
    List(ListArgs),
    /// Show a dead letter whole: headers, key and value
    Show(ShowArgs),
    /// Send them again: records to where they came from, closed windows to their agent
    Resend(ResendArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// An agent; without one, all of them
    agent: Option<String>,

    /// Those that were sent again, too
    #[arg(short, long)]
    all: bool,
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The agent
    agent: String,

    /// Partition and offset of the dead letter, as `list` gives them: 0@17
    place: LetterPlace,
}

#[derive(Args, Clone, Debug)]
struct ResendArgs {
    /// The agent whose dead letters are meant
    agent: String,

    /// Which, as `list` gives them: 0@17; without any, all that wait
    places: Vec<LetterPlace>,

    /// Also those that were sent again before
    #[arg(long)]
    again: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(cx: &Context<'_>, args: &DeadLettersArgs) -> CliResult {
    match &args.command {
        Verb::List(args) => list::run(cx, args),
        Verb::Show(args) => show::run(cx, args),
        Verb::Resend(args) => resend::run(cx, args),
    }
}

/// The group whose offsets say which dead letters were sent again.
fn group(cx: &Context<'_>) -> String {
    format!("{}-dead-letters", cx.id())
}

/// The dead letters of the app.
struct Desk<'a> {
    cx: &'a Context<'a>,
    view: AppView,
    properties: Properties,
    admin: Admin,
}

/// A dead-letter topic, or the part of it that is one agent's.
struct Tray {
    topic: String,
    /// The agents whose letters are meant.
    agents: Vec<String>,
    resent: Resent,
}

impl<'a> Desk<'a> {
    fn open(cx: &'a Context<'a>) -> CliResult<Self> {
        let view = AppView::of(cx.app(), &cx.plan()?);
        let properties = cx.client()?;
        let admin = cx.admin(&properties)?;
        Ok(Self {
            cx,
            view,
            properties,
            admin,
        })
    }

    fn agent(&self, name: &str) -> CliResult<&AgentView> {
        let mut agents = self.view.agents();
        agents.find(|agent| agent.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.view.agents().map(|a| a.name.as_str()).collect();
            CliError::usage(format_args!("there is no agent {name}"))
                .next(format_args!("the agents are {}", names.join(", ")))
        })
    }

    /// Why a letter cannot be sent again; `None`: it can.
    fn refusal(&self, letter: &Letter) -> Option<String> {
        letter.refusal(self.view.closes(&letter.agent))
    }

    /// The topics that hold letters of this agent, or of all.
    fn trays(&self, agent: Option<&str>) -> CliResult<Vec<Tray>> {
        let agents: Vec<&AgentView> = match agent {
            Some(name) => vec![self.agent(name)?],
            None => self.view.agents().collect(),
        };
        let mut trays: Vec<Tray> = Vec::new();
        for agent in agents {
            let name = agent.name.clone();
            match trays
                .iter_mut()
                .find(|t| t.topic == agent.failure.dead_letter_topic)
            {
                Some(tray) => tray.agents.push(name),
                None => trays.push(Tray {
                    topic: agent.failure.dead_letter_topic.clone(),
                    agents: vec![name],
                    resent: Resent::default(),
                }),
            }
        }
        let existing = self.admin.topics()?;
        trays.retain(|tray| existing.contains_key(&tray.topic));
        for tray in &mut trays {
            let count = existing[&tray.topic].partitions;
            let asked: Vec<TopicPartition> = (0..count)
                .map(|p| (tray.topic.as_str().into(), p))
                .collect();
            for committed in self.admin.committed(&group(self.cx), &asked)? {
                tray.resent.take(&committed);
            }
        }
        Ok(trays)
    }

    /// Visits the letters of a tray's topic that are there now, other agents' too; in a partition in the order of
    /// offsets.
    fn read(
        &self,
        tray: &Tray,
        see: &mut dyn FnMut(Letter) -> CliResult<ControlFlow<()>>,
    ) -> CliResult {
        let follow = Follow {
            topic: tray.topic.clone(),
            partitions: Vec::new(),
            from_beginning: true,
            until_end: true,
            isolation: Isolation::Committed,
            watermarks: false,
            group: group(self.cx),
        };
        follow.run(&self.properties, &self.admin, &mut |step| match step {
            Step::Record(partition, record) => match read(partition, record) {
                Some(mut letter) => {
                    // Workers of before named what gives an agent's records their key, `count-page` for `count`.
                    if let Some(owner) = self.view.owner(&letter.agent) {
                        owner.clone_into(&mut letter.agent);
                    }
                    see(letter)
                }
                None => Ok(ControlFlow::Continue(())),
            },
            Step::NoTopic | Step::Quiet(_) => Ok(ControlFlow::Continue(())),
        })
    }
}

/// "1 dead letter", "2 dead letters".
fn count(number: usize) -> String {
    counted(number, "dead letter")
}

/// Takes a record apart; `None`: not a dead letter of this framework.
fn read(partition: i32, record: &RecordView<'_>) -> Option<Letter> {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
    Letter::of(
        LetterPlace {
            partition,
            offset: record.offset,
        },
        record.timestamp,
        headers.collect(),
        record.key.map(<[u8]>::to_vec),
        record.value.map(<[u8]>::to_vec),
    )
}
