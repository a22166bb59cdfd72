//! The broker that a benchmark measures on.

use crate::apache::{ApacheKafka, Options};
use crate::broker::Broker;
use crate::client;
use anyhow::{Context, Result};

/// The partitions of every topic measured on.
pub const PARTITIONS: i32 = 4;
/// The stream threads of every contender.
pub const THREADS: &str = "2";

/// Which broker; options of every benchmark.
#[derive(clap::Args)]
pub struct BedArgs {
    /// A broker that runs already; its topics `bench_…` are deleted. Default: an embedded one in a process of its own.
    #[arg(long)]
    broker: Option<String>,
    /// An Apache Kafka of its own.
    #[arg(long, conflicts_with = "broker")]
    apache: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A broker without topics of earlier runs. One of our own ends when this is dropped.
pub struct Bed {
    pub bootstrap: String,
    _own: Option<Broker>,
}

impl BedArgs {
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
        Ok(Bed {
            bootstrap,
            _own: own,
        })
    }
}
