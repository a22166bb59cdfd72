//! The floor: one thread that polls and parses, without state, outputs or commits.

use anyhow::{Result, bail};
use clap::Parser;
use contenders::{Reading, WideReading, mark};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Args {
    #[arg(long)]
    broker: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partitions: i32,
    #[arg(long)]
    records: u64,
    /// The readings have 30 fields, of which three are of interest.
    #[arg(long)]
    wide: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &args.broker)
        .set("broker.address.family", "v4")
        .set("group.id", "raw-poll");
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    config
        .set("queued.min.messages", "100000")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..args.partitions {
        assignment.add_partition_offset(&args.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let (mut records, mut sum, mut heard) = (0, 0.0, Instant::now());
    while records < args.records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                let message = message?;
                if records == 0 {
                    mark("started");
                }
                let value = message.payload().unwrap_or_default();
                sum += if args.wide {
                    let reading: WideReading = serde_json::from_slice(value)?;
                    reading.voltage
                } else {
                    let reading: Reading = serde_json::from_slice(value)?;
                    reading.voltage
                };
                records += 1;
                if records % 4096 == 0 {
                    heard = Instant::now();
                }
            }
            None if heard.elapsed() > Duration::from_secs(30) => {
                bail!("only {records} records came")
            }
            None => {}
        }
    }
    mark("done");
    println!("mean of all {}", sum / records as f64);
    Ok(())
}
