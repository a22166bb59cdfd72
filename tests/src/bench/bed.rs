//! The broker that a benchmark measures on.

use crate::apache::{ApacheKafka, Options};
use crate::broker::Broker;
use crate::client;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The partitions of every topic measured on.
pub const PARTITIONS: i32 = 4;
/// The stream threads of every contender.
pub const THREADS: &str = "2";

/// Which broker; options of every benchmark.
#[derive(clap::Args)]
pub struct BedArgs {
    /// A broker that runs already; its topics `bench_…` are deleted [default: an embedded one in its own process]
    #[arg(long)]
    broker: Option<String>,
    /// An Apache Kafka of its own.
    #[arg(long, conflicts_with = "broker")]
    apache: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Other builds that the framework of this one is compared with.
#[derive(clap::Args)]
pub struct AgainstArgs {
    /// Programs of another build, such as `target/release` of an older checkout (`cargo build --release -p tests
    /// --bins` there), to compare the framework's with instead of loops by hand; may be repeated, this build's own too,
    /// which says how much two runs of the same differ.
    #[arg(long, value_name = "DIRECTORY", value_parser = programs)]
    pub against: Vec<&'static Path>,
}

/// A broker without topics of earlier runs. One of our own ends when this is dropped.
pub struct Bed {
    pub bootstrap: String,
    own: Option<Broker>,
}

/// A directory of programs. Lives as long as the process.
fn programs(text: &str) -> Result<&'static Path, String> {
    let directory = PathBuf::from(text);
    let found = directory.canonicalize().map_err(|e| e.to_string())?;
    Ok(Box::leak(found.into_boxed_path()))
}

impl Bed {
    /// Whether the broker is one of the benchmark's own, on loopback.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }
}

impl BedArgs {
    /// Brokers for so many, each with one of its own.
    ///
    /// # Errors
    /// There is one broker, and several are wanted; or it cannot be made.
    pub fn make_all(&self, count: usize) -> Result<Vec<Bed>> {
        if count > 1 && self.broker.is_some() {
            bail!("a list needs a broker for each of its values: leave out --broker");
        }
        (0..count).map(|_| self.make()).collect()
    }

    pub fn make(&self) -> Result<Bed> {
        let own = match &self.broker {
            Some(_) => None,
            None if self.apache => {
                let options = Options {
                    throughput: true,
                    ..Options::default()
                };
                Some(Broker::Apache(ApacheKafka::start_with(&options)?))
            }
            None => Some(Broker::embedded()),
        };
        let bootstrap = self
            .broker
            .clone()
            .or(own.as_ref().map(Broker::bootstrap))
            .context("a broker")?;
        let left: Vec<String> = client::topics(&bootstrap)?
            .into_iter()
            .filter(|topic| topic.starts_with("bench_"))
            .collect();
        client::delete_topics(
            &bootstrap,
            &left.iter().map(String::as_str).collect::<Vec<_>>(),
        )?;
        Ok(Bed { bootstrap, own })
    }
}
