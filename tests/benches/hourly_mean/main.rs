//! The hourly mean: this framework, the same by hand, and a bare loop, in turn, each in a process of its own.
//!
//! `cargo bench -p tests --bench hourly_mean -- --records 5000000 --rounds 3`; `tests/peers/run` adds Kafka Streams and
//! Faust.

mod outputs;

use anyhow::Result;
use clap::Parser;
use tests::bench::bed::{AgainstArgs, BedArgs, PARTITIONS};
use tests::bench::race::{BOTH_SIDES, Contender, Peer, READINGS, Race};
use tests::bench::readings::{self, Shape};
use tests::bench::setting::{Setting, StoreArgs, WayArgs};
use tests::client;

const MEANS: &str = "bench_means";

#[derive(Parser)]
struct Args {
    /// How many readings of 10 000 meters, over 8 hours, in 4 partitions.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(100_000..))]
    records: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The readings are grouped by their voltage, through a repartition topic, and counted behind it; with `--against`
    /// only.
    #[arg(long, requires = "against")]
    hop: bool,
    /// Readings of 1 KB with 30 fields, of which three are read.
    #[arg(long, conflicts_with = "hop")]
    wide: bool,
    /// Another framework at the same work, as NAME[:RECORDS]=COMMAND; may be repeated.
    #[arg(long, value_parser = Peer::parse)]
    peer: Vec<&'static Peer>,
    #[command(flatten)]
    way: WayArgs,
    #[command(flatten)]
    stores: StoreArgs,
    #[command(flatten)]
    against: AgainstArgs,
    #[command(flatten)]
    bed: BedArgs,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    println!("{} records to {}", args.records, bed.bootstrap);
    let (shape, app) = match (args.wide, args.hop) {
        (true, _) => (Shape::Wide, "wide_app"),
        (_, true) => (Shape::Narrow, "hop_app"),
        _ => (Shape::Narrow, "hourly_app"),
    };
    let truth = readings::send(&bed.bootstrap, READINGS, PARTITIONS, args.records, shape)?;
    client::create_topic(&bed.bootstrap, MEANS, PARTITIONS, &[])?;
    let race = Race {
        bed: &bed,
        records: args.records,
        rounds: args.rounds,
        against: &args.against.against,
        app,
        work: "hourly-mean",
        sink: MEANS,
        behind: args.hop,
        wide: args.wide,
        commit_ms: args.way.commit_ms,
        settings: &Setting::all(&args.way, &args.stores.all()),
    };
    if args.hop {
        return race.run(&[], |from| {
            outputs::check_hours(&bed.bootstrap, MEANS, from, &truth)
        });
    }
    let mut in_turn = BOTH_SIDES.to_vec();
    in_turn.push(Contender::RawPoll);
    in_turn.extend(args.peer.iter().copied().map(Contender::Peer));
    race.run(&in_turn, |from| {
        outputs::check(&bed.bootstrap, MEANS, from, &truth)
    })
}
