//! Rows of the workers' tables, for commands: asked from the workers, which tell where they are.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::background::Token;
use crate::background::{Client, Router};
use crate::error::{Error, Kind};
use crate::kafka::{Admin, Properties};
use crate::topology::{Plan, TableDescriptor};
use crate::worker::{Crew, Followed, Workers, follow};

/// How long a question to the broker may take.
const BROKER_TIMEOUT: Duration = Duration::from_secs(8);

/// The way to the workers, as long as a command lives.
pub(super) struct Readers {
    pub(super) router: Arc<Router>,
    _crew: Crew,
}

impl Readers {
    pub(super) fn start(
        app: &App,
        properties: &Properties,
        token: Option<Token>,
    ) -> Result<Self, Error> {
        let plan = plan(app)?;
        let (workers, id) = (Workers::default(), plan.app.clone());
        let admin = || Admin::new(properties, BROKER_TIMEOUT).map_err(Error::from);
        let topic = plan.workers_topic();
        if admin()?.topic(&topic)?.is_none() {
            let text = format!("no worker of {id} is running: there is no topic `{topic}`");
            return Err(Error::new(Kind::Stopped, text));
        }
        let crew = follow(&id, &topic, properties, admin()?, &workers);
        let crew = crew.map_err(|error| {
            Error::new(Kind::Internal, format!("cannot start a thread: {error}"))
        })?;
        let asked = admin()?;
        let count = Box::new(move |table: &'static TableDescriptor| count(&plan, &asked, table));
        Ok(Readers {
            router: Router::of_command(&id, workers, count, Client::new(token)),
            _crew: crew,
        })
    }
}

/// Reads a global table from its topic, which needs no worker.
pub(super) fn global(
    app: &App,
    properties: &Properties,
    table: &'static TableDescriptor,
) -> Result<Followed, Error> {
    let plan = plan(app)?;
    let planned = plan.global(table).ok_or_else(|| {
        let text = format!("table `{}` is not global", table.name);
        Error::new(Kind::Topology, text)
    })?;
    let admin = Admin::new(properties, BROKER_TIMEOUT)?;
    Followed::start(planned, &plan.app, properties, admin)
}

fn plan(app: &App) -> Result<Plan, Error> {
    app.plan().map_err(|problems| {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::new(Kind::Topology, text.join("\n"))
    })
}

/// How many partitions a table has: as many as the inputs of its task.
fn count(plan: &Plan, admin: &Admin, table: &TableDescriptor) -> Result<i32, Error> {
    let keeps = |task: &&crate::topology::SubTopology| {
        task.tables.iter().any(|one| one.descriptor == table)
    };
    let task = plan.topologies.iter().find(keeps).ok_or_else(|| {
        let text = format!("no agent of the app keeps table `{}`", table.name);
        Error::new(Kind::Topology, text)
    })?;
    for input in &task.inputs {
        if let Some(topic) = admin.topic(&input.topic)? {
            return Ok(topic.partitions);
        }
    }
    let text = format!(
        "table `{}`: its topics do not exist: no worker has run yet",
        table.name
    );
    Err(Error::new(Kind::Stopped, text))
}
