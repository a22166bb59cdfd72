//! Contenders at the same work, in turn, each in a process of its own.

use super::bed::{Bed, PARTITIONS, THREADS};
use super::measure::{self, Cost, End};
use super::setting::{Setting, Ways, with_store};
use super::{in_turn, median, percentile, worker};
use crate::{bins, client};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The topic of the readings.
pub const READINGS: &str = "bench_readings";

/// Who runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    Framework(&'static str),
    /// The framework of another build: a guarantee, the number of the build and where its programs are.
    Other(&'static str, usize, &'static Path),
    ByHand(&'static str),
    RawPoll,
    Peer(&'static Peer),
}

/// Another framework at the same work.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    name: String,
    /// How many of the readings it takes; `None`: all.
    records: Option<u64>,
    /// Program and arguments, separated by spaces. It is told what to do by `BENCH_BROKER`, `BENCH_APP`, `BENCH_TOPIC`,
    /// `BENCH_SINK`, `BENCH_RECORDS` and `BENCH_THREADS`, and prints `@started` and `@done` with the time in µs.
    command: String,
}

impl Peer {
    /// From `NAME[:RECORDS]=COMMAND`. Lives as long as the process.
    pub fn parse(text: &str) -> Result<&'static Self, String> {
        let (name, command) = text
            .split_once('=')
            .ok_or("expected NAME[:RECORDS]=COMMAND")?;
        let (name, records) = match name.rsplit_once(':') {
            Some((name, records)) => {
                let records = records.parse().map_err(|e| format!("{records}: {e}"))?;
                (name, Some(records))
            }
            None => (name, None),
        };
        Ok(Box::leak(Box::new(Self {
            name: name.to_owned(),
            records,
            command: command.to_owned(),
        })))
    }
}

impl std::fmt::Display for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Framework(guarantee) => write!(f, "a framework {guarantee}"),
            Self::Other(guarantee, number, _) => write!(f, "b build {number} {guarantee}"),
            Self::ByHand(guarantee) => write!(f, "b by hand {guarantee}"),
            Self::RawPoll => write!(f, "c raw poll"),
            Self::Peer(peer) => f.write_str(&peer.name),
        }
    }
}

/// Both guarantees of both sides.
pub const BOTH_SIDES: [Contender; 4] = [
    Contender::Framework("exactly_once"),
    Contender::ByHand("exactly_once"),
    Contender::Framework("at_least_once"),
    Contender::ByHand("at_least_once"),
];

/// A work that is done in several ways.
pub struct Race<'a> {
    pub bed: &'a Bed,
    /// Readings to process.
    pub records: u64,
    pub rounds: usize,
    /// Directories of other builds' programs; with one, only builds run.
    pub against: &'a [&'static Path],
    /// The framework's program.
    pub app: &'static str,
    /// What the loop by hand does.
    pub work: &'static str,
    /// Where outputs go.
    pub sink: &'static str,
    /// Some of the work is done behind a repartition topic: it is over when the framework's program ends.
    pub behind: bool,
    /// The readings are wide ones.
    pub wide: bool,
    /// The interval of commits, in ms.
    pub commit_ms: u64,
    /// Under which each contender runs, one after the other within a round.
    pub settings: &'a [Setting],
}

/// A contender and the number of the setting that it runs under.
type Entry = (usize, Contender);

impl Race<'_> {
    /// Runs the contenders in turn, round after round, and prints what each run cost, the medians and the comparisons;
    /// the last line is `ratio exactly_once X at_least_once Y`, the framework's rate to that of the loop by hand. With
    /// several settings there is one for each, and then their ratios to the first one.
    /// `check` looks at a contender's outputs: the records of the sink from these offsets on.
    pub fn run(
        &self,
        contenders: &[Contender],
        mut check: impl FnMut(&[i64]) -> Result<()>,
    ) -> Result<()> {
        let others = self.others();
        let contenders = if others.is_empty() {
            contenders
        } else {
            &others
        };
        let (dir, ways) = (tempfile::tempdir()?, Ways::to(self.bed, self.settings)?);
        let mut costs: BTreeMap<Entry, Vec<Cost>> = BTreeMap::new();
        for round in 1..=self.rounds {
            for entry in in_turn(round, self.entries(contenders)) {
                let cost = self
                    .one(entry, round, &ways, dir.path(), &mut check)
                    .with_context(|| format!("{}, round {round}", self.name(entry)))?;
                self.print(&round.to_string(), entry, cost);
                costs.entry(entry).or_default().push(cost);
            }
        }
        for (entry, costs) in &costs {
            self.print("median", *entry, middle(costs));
        }
        for setting in 0..self.settings.len() {
            self.compare_builds(setting, &costs);
            self.compare_sides(setting, &costs);
        }
        self.compare_settings(&costs);
        Ok(())
    }

    /// All that runs in a round. Who has no store runs once for all of them.
    fn entries(&self, contenders: &[Contender]) -> Vec<Entry> {
        let of = |contender: &Contender| {
            let settings = 0..self.settings.len();
            let each = settings.map(|setting| self.entry(setting, *contender));
            let mut each: Vec<Entry> = each.collect();
            each.dedup();
            each
        };
        contenders.iter().flat_map(of).collect()
    }

    /// The entry that stands for a contender under a setting.
    fn entry(&self, setting: usize, contender: Contender) -> Entry {
        if matches!(contender, Contender::Framework(_) | Contender::Other(..)) {
            return (setting, contender);
        }
        let own = &self.settings[setting];
        let first = self.settings.iter().position(|it| it.is_as_far_as(own));
        (first.unwrap_or(setting), contender)
    }

    /// An entry's name: with several settings, its own too.
    fn name(&self, (setting, contender): Entry) -> String {
        match self.several() {
            true => format!("{contender} {}", self.settings[setting]),
            false => contender.to_string(),
        }
    }

    fn several(&self) -> bool {
        self.settings.len() > 1
    }

    /// What a line about a setting begins with.
    fn about(&self, setting: usize) -> String {
        match self.several() {
            true => format!("{}: ", self.settings[setting]),
            false => String::new(),
        }
    }

    fn print(&self, round: &str, entry: Entry, cost: Cost) {
        println!(
            "{round:>6}  {:<32} {:>9.0} records/s {:>6.0} ns CPU/record {:>5} MiB peak",
            self.name(entry),
            cost.records_per_second,
            cost.cpu_ns_per_record,
            cost.peak_mib
        );
    }

    /// The framework to the loop by hand.
    fn compare_sides(&self, setting: usize, costs: &BTreeMap<Entry, Vec<Cost>>) {
        use Contender::{ByHand, Framework};
        let (exact, least) = ("exactly_once", "at_least_once");
        let ratios = [
            (Framework(exact), ByHand(exact)),
            (Framework(least), ByHand(least)),
            (Framework(exact), Framework(least)),
        ]
        .map(|(a, b)| Ratio::of(costs, self.entry(setting, a), self.entry(setting, b)));
        let [Some(exact), Some(least), Some(guarantees)] = ratios else {
            return;
        };
        println!("{}medians of the rounds' ratios:", self.about(setting));
        println!(
            "framework to by hand, CPU: exactly_once {:.2} at_least_once {:.2}",
            exact.cpu, least.cpu
        );
        println!(
            "framework, exactly_once to at_least_once: {:.2}, CPU {:.2}",
            guarantees.rate, guarantees.cpu
        );
        println!(
            "ratio exactly_once {:.2} at_least_once {:.2}",
            exact.rate, least.rate
        );
    }

    /// Each contender under each setting to the same under the first.
    fn compare_settings(&self, costs: &BTreeMap<Entry, Vec<Cost>>) {
        for (setting, contender) in costs.keys().filter(|(setting, _)| *setting > 0) {
            let first = self.entry(0, *contender);
            if let Some(ratio) = Ratio::of(costs, (*setting, *contender), first) {
                println!(
                    "{} to {}, {contender}: rate {:.2}, CPU {:.2}",
                    self.settings[*setting], self.settings[0], ratio.rate, ratio.cpu
                );
            }
        }
    }

    /// This build and the others that it is compared with.
    fn others(&self) -> Vec<Contender> {
        let builds = self.against;
        let of = |guarantee| {
            let numbered = (1..).zip(builds);
            let others = numbered.map(move |(n, path)| Contender::Other(guarantee, n, path));
            std::iter::once(Contender::Framework(guarantee)).chain(others)
        };
        let guarantees = ["exactly_once", "at_least_once"];
        match builds.is_empty() {
            true => Vec::new(),
            false => guarantees.into_iter().flat_map(of).collect(),
        }
    }

    fn compare_builds(&self, setting: usize, costs: &BTreeMap<Entry, Vec<Cost>>) {
        for other in self.others() {
            let Contender::Other(guarantee, number, path) = other else {
                continue;
            };
            let own = (setting, Contender::Framework(guarantee));
            if let Some(ratio) = Ratio::of(costs, own, (setting, other)) {
                println!(
                    "{}this build to build {number} ({}), {guarantee}: rate {:.3}, CPU {:.3} (middle half {:.3} to {:.3})",
                    self.about(setting),
                    path.display(),
                    ratio.rate,
                    ratio.cpu,
                    ratio.half.0,
                    ratio.half.1
                );
            }
        }
    }

    /// One run of one contender.
    fn one(
        &self,
        entry: Entry,
        round: usize,
        ways: &Ways<'_>,
        dir: &Path,
        check: &mut impl FnMut(&[i64]) -> Result<()>,
    ) -> Result<Cost> {
        let (setting, contender) = (&self.settings[entry.0], entry.1);
        let (bootstrap, way) = (self.bed.bootstrap.as_str(), ways.bootstrap(setting));
        let name = format!("bench_{}_{round}", self.name(entry).replace(' ', "_"));
        let before = client::end_offsets(bootstrap, self.sink, client::Isolation::Uncommitted)?;
        let mut count = self.records;
        let (partitions, records) = (PARTITIONS.to_string(), count.to_string());
        let interval = self.commit_ms.to_string();
        let mut end = End::Committed {
            bootstrap,
            group: &name,
            topic: READINGS,
        };
        let command = match contender {
            Contender::Framework(guarantee) | Contender::Other(guarantee, ..) => {
                let programs = match contender {
                    Contender::Other(_, _, programs) => Some(programs),
                    _ => None,
                };
                let dir = dir.join(&name);
                let mut command = worker::command(programs, self.app, &name, &way, &dir);
                command
                    .args(["--processing-guarantee", guarantee, "--until-caught-up"])
                    .args(["--commit-interval", &format!("{interval}ms")]);
                with_store(&mut command, setting.store.as_deref());
                if self.behind {
                    end = End::Ended;
                }
                command
            }
            Contender::ByHand(guarantee) => {
                let changelog = format!("{name}-changelog");
                client::create_topic(
                    bootstrap,
                    &changelog,
                    PARTITIONS,
                    &[("cleanup.policy", "compact")],
                )?;
                let mut command = Command::new(bins::contender("hand_written")?);
                command
                    .args([self.work, "--broker", &way, "--topic", READINGS])
                    .args(["--partitions", &partitions, "--group", &name])
                    .args(["--changelog", &changelog, "--sink", self.sink])
                    .args(["--records", &records, "--threads", THREADS])
                    .args(["--guarantee", guarantee, "--commit-ms", &interval]);
                if self.wide {
                    command.arg("--wide");
                }
                command
            }
            Contender::RawPoll => {
                end = End::Printed;
                let mut command = Command::new(bins::contender("raw_poll")?);
                command.args(["--broker", &way, "--topic", READINGS]).args([
                    "--partitions",
                    &partitions,
                    "--records",
                    &records,
                ]);
                if self.wide {
                    command.arg("--wide");
                }
                command
            }
            Contender::Peer(peer) => {
                end = End::Printed;
                count = peer.records.unwrap_or(count).min(count);
                let mut words = peer.command.split_whitespace();
                let mut command = Command::new(words.next().context("a peer's command")?);
                command
                    .args(words)
                    .env("BENCH_BROKER", &way)
                    .env("BENCH_APP", &name)
                    .env("BENCH_TOPIC", READINGS)
                    .env("BENCH_SINK", self.sink)
                    .env("BENCH_RECORDS", count.to_string())
                    .env("BENCH_THREADS", THREADS);
                command
            }
        };
        let log = dir.join(format!("{name}.log"));
        let cost = measure::run(&command, &log, count, &end)?;
        if !matches!(contender, Contender::RawPoll | Contender::Peer(_)) {
            check(&before)?;
        }
        Ok(cost)
    }
}

/// One contender to another: the medians of what each round says. Figures of different rounds are not compared, because
/// the machine's pace drifts.
struct Ratio {
    rate: f64,
    cpu: f64,
    /// Between which the middle half of the rounds' ratios of CPU lies.
    half: (f64, f64),
}

impl Ratio {
    fn of(costs: &BTreeMap<Entry, Vec<Cost>>, a: Entry, b: Entry) -> Option<Self> {
        let (a, b) = (costs.get(&a)?, costs.get(&b)?);
        let of = |figure: fn(&Cost) -> f64| -> Vec<f64> {
            let pairs = a.iter().zip(b);
            pairs.map(|(a, b)| figure(a) / figure(b)).collect()
        };
        let mut cpu = of(|cost| cost.cpu_ns_per_record);
        cpu.sort_by(f64::total_cmp);
        Some(Self {
            rate: median(of(|cost| cost.records_per_second)),
            half: (percentile(&cpu, 25.0), percentile(&cpu, 75.0)),
            cpu: median(cpu),
        })
    }
}

/// The middle of each figure on its own.
fn middle(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
    Cost {
        records_per_second: middle(|cost| cost.records_per_second),
        cpu_ns_per_record: middle(|cost| cost.cpu_ns_per_record),
        peak_mib: middle(|cost| cost.peak_mib as f64) as u64,
    }
}
