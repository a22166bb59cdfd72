//! Measures a worker of many partitions of which none has anything to do: the CPU that it takes all the same, and its
//! memory.
//!
//! `cargo bench -p tests --bench idle -- --partitions 1000 --rounds 3`; with `--against DIRECTORY` beside another build.

use anyhow::Result;
use clap::Parser;
use std::path::Path;
use tests::bench::bed::{AgainstArgs, BedArgs};
use tests::bench::idle::{self, Idle};
use tests::bench::setting::{StoreArgs, with_store};
use tests::bench::{in_turn, median};

#[derive(Parser)]
struct Args {
    /// Of the input.
    #[arg(long, default_value_t = 1000)]
    partitions: i32,
    /// Seconds for which the CPU is measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[command(flatten)]
    stores: StoreArgs,
    #[command(flatten)]
    against: AgainstArgs,
    #[command(flatten)]
    bed: BedArgs,
}

/// One of those that run in turn: the number of the build, where its programs are, and the worker's store.
#[derive(Clone, Copy)]
struct Case<'a> {
    build: usize,
    programs: Option<&'a Path>,
    store: Option<&'a str>,
}

impl std::fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "build {}", self.build)?;
        self.store.map_or(Ok(()), |store| write!(f, " {store}"))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bed = args.bed.make()?;
    idle::make_topics(&bed.bootstrap, args.partitions)?;
    let builds = std::iter::once(None).chain(args.against.against.iter().copied().map(Some));
    let of = |(build, programs)| {
        let stores = args.stores.all().into_iter();
        stores.map(move |store| Case {
            build,
            programs,
            store,
        })
    };
    let cases: Vec<Case<'_>> = builds.enumerate().flat_map(of).collect();
    // The share of a core in percent, and memory in MiB.
    let mut seen: Vec<Vec<(f64, f64)>> = vec![Vec::new(); cases.len()];
    for round in 1..=args.rounds {
        for (number, case) in in_turn(round, cases.iter().enumerate()) {
            let app = format!("bench_idle_{number}_{round}");
            let worker = Idle::start(
                case.programs,
                "hourly_app",
                &app,
                &bed.bootstrap,
                args.partitions,
                |command| with_store(command, case.store),
            )?;
            let (share, peak) = (worker.without_input(args.seconds)?, worker.peak_mib());
            worker.end()?;
            println!("{round:>6}  {case}  {share:>6.2} % of a core {peak:>5} MiB peak");
            seen[number].push((share, peak as f64));
        }
    }
    for (case, seen) in cases.iter().zip(&seen) {
        let middle = |of: fn(&(f64, f64)) -> f64| median(seen.iter().map(of).collect());
        println!(
            "median  {case}  {:>6.2} % of a core {:>5.0} MiB peak; {} partitions, aim below 2 %",
            middle(|seen| seen.0),
            middle(|seen| seen.1),
            args.partitions
        );
    }
    Ok(())
}
