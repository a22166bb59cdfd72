//! Where a partition's rows are asked for: here, or at the worker that has it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Client;
use super::wire::{self, Question};
use crate::error::{Error, Kind};
use crate::key::partition_of;
use crate::sync::Mutex;
use crate::topology::TableDescriptor;
use crate::worker::{Answer, Ask, NotHere, Owner, WorkerHandle, Workers};

/// How long a rebalance, or a worker that is gone, is waited for.
const OWNER_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between checks whether somebody has the partition now.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Which partition is meant.
#[derive(Clone, Debug)]
pub(crate) enum Of {
    /// That of a key, by its wire form.
    Key(Vec<u8>),
    Partition(i32),
}

/// An answer, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) answer: Answer,
    /// The address of the worker that has the partition.
    pub(crate) owner: String,
}

/// An answer on its way.
pub(crate) type Asking<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Where committed rows come from.
pub(crate) trait Reads: Send + Sync {
    /// Asks for rows of a table; `here`: of this worker alone.
    fn ask(
        self: Arc<Self>,
        table: &'static TableDescriptor,
        of: Of,
        ask: Ask,
        here: bool,
    ) -> Asking<Found>;

    /// How many partitions a table has.
    fn partitions(self: Arc<Self>, table: &'static TableDescriptor) -> Asking<i32>;
}

/// How many partitions a table has, where no worker knows it: asks the broker, and blocks for it.
pub(crate) type Count = Box<dyn Fn(&'static TableDescriptor) -> Result<i32, Error> + Send + Sync>;

/// Who is here.
enum Here {
    /// A worker of the app.
    Worker(Arc<WorkerHandle>),
    /// A command.
    Nobody {
        count: Count,
        counted: Mutex<HashMap<&'static str, i32>>,
    },
}

/// The way to rows of all workers.
pub(crate) struct Router {
    app: String,
    here: Here,
    workers: Workers,
    client: Client,
}

/// What became of a question to the worker that has a partition, or may have it.
enum Asked {
    Answered(Answer),
    /// It is not with that worker, or that worker is not there; the text says which.
    Elsewhere(String),
    /// Another attempt helps nothing.
    Never(Error),
}

impl Router {
    pub(crate) fn of_worker(app: &str, handle: Arc<WorkerHandle>, client: Client) -> Arc<Self> {
        Arc::new(Router {
            app: app.to_owned(),
            workers: handle.workers.clone(),
            here: Here::Worker(handle),
            client,
        })
    }

    pub(crate) fn of_command(
        app: &str,
        workers: Workers,
        count: Count,
        client: Client,
    ) -> Arc<Self> {
        let counted = Mutex::default();
        Arc::new(Router {
            app: app.to_owned(),
            workers,
            here: Here::Nobody { count, counted },
            client,
        })
    }

    /// Partitions of a table, as soon as that is known.
    async fn count(&self, table: &'static TableDescriptor) -> Result<i32, Error> {
        let handle = match &self.here {
            Here::Worker(handle) => handle,
            Here::Nobody { count, counted } => {
                let mut counted = counted.lock();
                if let Some(count) = counted.get(table.name) {
                    return Ok(*count);
                }
                let count = tokio::task::block_in_place(|| count(table))?;
                counted.insert(table.name, count);
                return Ok(count);
            }
        };
        let began = Instant::now();
        loop {
            if let Some(count) = handle.partitions_of(table.name) {
                return Ok(count);
            }
            if began.elapsed() > OWNER_TIMEOUT || handle.stop.is_asked() {
                let text = format!(
                    "table `{}`: the worker is not that far yet: ask again",
                    table.name
                );
                return Err(Error::new(Kind::Stopped, text));
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    async fn find(
        &self,
        table: &'static TableDescriptor,
        of: Of,
        ask: Ask,
        here: bool,
    ) -> Result<Found, Error> {
        let partitions = self.count(table).await?;
        let partition = match &of {
            Of::Key(wire) => partition_of(wire, partitions),
            Of::Partition(partition) => *partition,
        };
        let began = Instant::now();
        loop {
            let why = match self
                .attempt(table, partition, partitions, &ask, here)
                .await?
            {
                Ok(found) => return Ok(found),
                Err(why) => why,
            };
            let ends = match &self.here {
                Here::Worker(handle) => handle.stop.is_asked(),
                Here::Nobody { .. } => false,
            };
            if here || ends || began.elapsed() > OWNER_TIMEOUT {
                return Err(missing(table, &of, partition, &why));
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Asks here, and everybody who may have the partition. The inner error says why nobody answered.
    async fn attempt(
        &self,
        table: &'static TableDescriptor,
        partition: i32,
        partitions: i32,
        ask: &Ask,
        here: bool,
    ) -> Result<Result<Found, String>, Error> {
        let mut why = None;
        if let Here::Worker(handle) = &self.here {
            match handle.read(table.name, partition, ask.clone()).await {
                Ok(answer) => {
                    let owner = handle.address();
                    return Ok(Ok(Found { answer, owner }));
                }
                Err(NotHere::Never(error)) => return Err(error),
                Err(NotHere::NotNow(text)) => why = Some(text),
                Err(NotHere::Elsewhere) if here => {
                    return Ok(Err(
                        "another worker has it, and `get_local` asks nobody else".into(),
                    ));
                }
                Err(NotHere::Elsewhere) => {}
            }
            if here {
                return Ok(Err(why.unwrap_or_default()));
            }
        }
        let own = match &self.here {
            Here::Worker(handle) => handle.name(),
            Here::Nobody { .. } => None,
        };
        for owner in self.workers.owners(table.name, partition) {
            if own == Some(owner.worker.as_str()) {
                continue;
            }
            let question = (partition, partitions, ask);
            match self.ask_owner(table, &owner, question).await {
                Asked::Answered(answer) => {
                    let owner = owner.address;
                    return Ok(Ok(Found { answer, owner }));
                }
                Asked::Never(error) => return Err(error),
                // The likeliest one's words are told.
                Asked::Elsewhere(text) => drop(why.get_or_insert(text)),
            }
        }
        Ok(Err(why.unwrap_or_else(|| self.nobody())))
    }

    /// Why nobody is there to be asked.
    fn nobody(&self) -> String {
        if let Some(trouble) = self.workers.trouble() {
            return trouble;
        }
        if !self.workers.is_filled() {
            return "the other workers are not known yet".to_owned();
        }
        match (&self.here, self.workers.count()) {
            (Here::Nobody { .. }, 0) => format!("no worker of {} is running", self.app),
            _ => "no worker says that it runs there: it is on its way from one to another, recovers, or is with a worker of an older version, which tells no address".to_owned(),
        }
    }

    async fn ask_owner(
        &self,
        table: &'static TableDescriptor,
        owner: &Owner,
        (partition, partitions, ask): (i32, i32, &Ask),
    ) -> Asked {
        let Owner {
            address,
            worker,
            silent,
        } = owner;
        let question = Question::new(&self.app, worker, table, partition, partitions, ask);
        let never = |text: String| Asked::Never(Error::new(Kind::Refused, text));
        if !cfg!(feature = "web") {
            return never(format!(
                "the row is with the worker at {address}, and this program was built without the feature `web` of stream-runtime, with which workers ask each other"
            ));
        }
        let question = match question.to_bytes() {
            Ok(bytes) => bytes,
            Err(text) => return never(text),
        };
        let (status, body) = match self.client.post(address, wire::PATH, question).await {
            Ok(answer) => answer,
            Err(error) => {
                let silent = silent.map_or_else(String::new, |seconds| {
                    format!("; it was heard of last {seconds} s ago")
                });
                return Asked::Elsewhere(format!(
                    "its worker at {address} does not answer: {error}{silent}"
                ));
            }
        };
        let said = || String::from_utf8_lossy(&body).trim_end().to_owned();
        match status {
            200 => match wire::answer_from_bytes(ask, &body) {
                Ok(answer) => Asked::Answered(answer),
                Err(error) => never(format!(
                    "the worker at {address} answers what is not understood: {error}"
                )),
            },
            401 => never(format!(
                "the worker at {address} wants another token: give all workers of the app, and commands that read tables, the same --web-token-file"
            )),
            // A conflict: in what it is asked for.
            409 => never(format!("the worker at {address}: {}", said())),
            500 => {
                let text = format!("the worker at {address}: {}", said());
                Asked::Never(Error::new(Kind::Stopped, text))
            }
            // Another worker is there, or it does not serve now.
            421 | 503 => Asked::Elsewhere(format!("its worker at {address} says: {}", said())),
            other => Asked::Elsewhere(format!(
                "at {address} somebody answers {other}: is that a worker of {}?",
                self.app
            )),
        }
    }
}

impl Reads for Router {
    fn ask(
        self: Arc<Self>,
        table: &'static TableDescriptor,
        of: Of,
        ask: Ask,
        here: bool,
    ) -> Asking<Found> {
        Box::pin(async move { self.find(table, of, ask, here).await })
    }

    fn partitions(self: Arc<Self>, table: &'static TableDescriptor) -> Asking<i32> {
        Box::pin(async move { self.count(table).await })
    }
}

/// Rows that cannot be had now.
fn missing(table: &TableDescriptor, of: &Of, partition: i32, why: &str) -> Error {
    let what = match of {
        Of::Key(wire) => format!(
            "key {:?} belongs to partition {partition}",
            String::from_utf8_lossy(wire)
        ),
        Of::Partition(_) => format!("partition {partition} cannot be read"),
    };
    let text = format!("table `{}`: {what}: {why}", table.name);
    Error::new(Kind::Stopped, text)
}
