//! Filter and map to a sink: this framework, and a loop that consumes, decodes, encodes and produces, in turn.
//!
//! `cargo bench -p tests --bench stateless -- --records 5000000 --rounds 3`

mod outputs;

use anyhow::Result;
use clap::Parser;
use tests::bench::bed::{AgainstArgs, BedArgs, PARTITIONS};
use tests::bench::race::{BOTH_SIDES, READINGS, Race};
use tests::bench::readings::{self, Shape};
use tests::bench::setting::{Setting, WayArgs};
use tests::client;

const HIGH: &str = "bench_high";

#[derive(Parser)]
struct Args {
    /// How many readings of 10 000 meters, over 8 hours, in 4 partitions; half of them pass.
    #[arg(long, default_value_t = 3_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    records: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    way: WayArgs,
    #[command(flatten)]
    against: AgainstArgs,
    #[command(flatten)]
    bed: BedArgs,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    println!("{} records to {}", args.records, bed.bootstrap);
    readings::send(
        &bed.bootstrap,
        READINGS,
        PARTITIONS,
        args.records,
        Shape::Narrow,
    )?;
    client::create_topic(&bed.bootstrap, HIGH, PARTITIONS, &[])?;
    let truth = outputs::truth(&bed.bootstrap, READINGS)?;
    let race = Race {
        bed: &bed,
        records: args.records,
        rounds: args.rounds,
        against: &args.against.against,
        app: "stateless_app",
        work: "stateless",
        sink: HIGH,
        behind: false,
        wide: false,
        commit_ms: args.way.commit_ms,
        settings: &Setting::all(&args.way, &[None]),
    };
    race.run(&BOTH_SIDES, |from| {
        outputs::check(&bed.bootstrap, HIGH, from, &truth)
    })
}
