//! The end-to-end verifier: faults at random moments while input keeps coming, then every output compared with a replay
//! of the input.
//!
//! | part | what it is about |
//! |---|---|
//! | `schedule` | which fault happens when: a pure function of the seed |
//! | `crew` | the workers, and what the faults do to them |
//! | `said` | what a worker's log says of its partitions |
//! | `checks` | E0 to E7, and how much each compared |
//! | `outputs`, `meetings`, `tables`, `hangs`, `restores` | the checks themselves |

mod checks;
mod crew;
mod hangs;
mod meetings;
mod outputs;
mod restores;
mod said;
mod schedule;
mod tables;

pub use checks::Check;
pub use schedule::Kind;

use crate::broker::Broker;
use crate::chaos::Chaos;
use crate::client::{self, Committed};
use crate::feed::Feed;
use crate::numbers::{self, Amount};
use crate::pairs;
use anyhow::{Context, Result};
use crew::Crew;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// The app's name: its group, and the beginning of its topics' names.
const APP: &str = "verified";
const INPUT: &str = "numbers";
/// All that is fed: the join has two topics of its own, so that the other agents' task has one and can be replayed.
const INPUTS: [&str; 3] = [INPUT, pairs::TOPICS[0], pairs::TOPICS[1]];
const OUTPUTS: [&str; 6] = ["echoes", "running", "sums", "bursts", "buckets", "met"];
/// Between the input and the agent that reads it by another key.
const HOP: &str = "verified-by_bucket-repartition";
const PARTITIONS: i32 = 6;
/// So many that the rows of one window, 400 in each partition, take more than one commit.
const KEYS: i64 = 2_400;
/// How long what is left at the end may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is promised about every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// One run of the verifier.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program `verify`, which is its own app.
    pub program: PathBuf,
    /// How long input comes and faults happen.
    pub lasts: Duration,
    /// Decides what happens when.
    pub seed: u64,
    pub workers: usize,
    pub guarantee: Guarantee,
    /// Records a second.
    pub rate: u64,
    /// Kinds of faults; none means all that broker and guarantee allow.
    pub kinds: Vec<Kind>,
    /// Variables of the workers' environment.
    pub env: Vec<(String, String)>,
}

/// The broker of a run.
pub enum At<'a> {
    /// One that may be killed.
    Ours(&'a mut Broker),
    /// `host:port` of one that may not.
    Theirs(&'a str),
}

impl At<'_> {
    fn bootstrap(&self) -> String {
        match self {
            At::Ours(broker) => broker.bootstrap(),
            At::Theirs(bootstrap) => (*bootstrap).to_owned(),
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub checks: Vec<Check>,
    /// What was wrong besides, such as a worker that ended by itself.
    pub problems: Vec<String>,
    pub faults: u64,
    pub restores: u64,
}

impl Outcome {
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty() && self.checks.iter().all(Check::is_ok)
    }
}

/// Runs it all and prints as it goes.
///
/// # Errors
/// It could not be done, which says nothing about the app.
pub fn run(setup: &Setup, mut at: At<'_>) -> Result<Outcome> {
    let bootstrap = at.bootstrap();
    let mut kinds = setup.kinds.clone();
    if kinds.is_empty() {
        kinds.extend(Kind::ALL);
        if setup.guarantee == Guarantee::AtLeastOnce {
            // A zombie may write rows of yesterday when it thaws: only transactions fence that.
            kinds.retain(|kind| !matches!(kind, Kind::Freeze | Kind::Amid));
        }
    }
    if matches!(at, At::Theirs(_)) {
        kinds.retain(|kind| *kind != Kind::Broker);
        clear(&bootstrap)?;
    }
    let amount = Amount {
        keys: KEYS,
        values: (setup.lasts.as_secs() as i64 * setup.rate as i64 / KEYS).max(2),
        partitions: PARTITIONS,
    };
    let steps = pairs::steps(amount.records());
    // A key's records are in the same partition of each.
    for topic in INPUTS.iter().chain(&OUTPUTS) {
        client::create_topic(&bootstrap, topic, PARTITIONS, &[("retention.ms", "-1")])?;
    }
    let faults = schedule::schedule(setup.seed, setup.lasts, &kinds, setup.workers);
    println!(
        "seed {}, {} faults to come, {} workers, {} records, broker {bootstrap}",
        setup.seed,
        faults.len(),
        setup.workers,
        amount.records() + pairs::records(steps)
    );
    let records = numbers::generate(amount, Chaos::seeded(setup.seed));
    let feed = Feed::start(&bootstrap, INPUT, records, setup.rate);
    let both = pairs::generate(steps, Chaos::seeded(setup.seed));
    let both = Feed::start_all(&bootstrap, both, (setup.rate / 4).max(1));
    let watch = Watch::start(&bootstrap)?;
    let mut crew = Crew::start(setup, &bootstrap, &kinds);

    let (start, mut waiting, mut told) = (Instant::now(), faults, Instant::now());
    let mut broker_back: Option<Instant> = None;
    while feed.goes_on() {
        crew.tick();
        if let At::Ours(broker) = &mut at
            && broker_back.is_some_and(|back| back <= Instant::now())
        {
            broker.restart();
            crew.broker_is_back();
            broker_back = None;
        }
        // What cannot happen yet, because its victim is down, waits; the others do not.
        waiting.retain(|fault| {
            if fault.at > start.elapsed() {
                return true;
            }
            if fault.kind != Kind::Broker {
                return !crew.suffer(fault);
            }
            let At::Ours(broker) = &mut at else {
                return false;
            };
            if broker_back.is_some() {
                return true;
            }
            broker.kill();
            broker_back = Some(Instant::now() + fault.lasts);
            crew.happens(Kind::Broker);
            false
        });
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            progress(start, feed.sent() + both.sent(), &watch, &crew);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if let At::Ours(broker) = &mut at
        && broker_back.is_some()
    {
        broker.restart();
        crew.broker_is_back();
    }
    crew.settle();
    progress(start, feed.sent() + both.sent(), &watch, &crew);
    feed.finish().context("the feed")?;
    both.finish().context("the feed of the join")?;
    let records = amount.records() + pairs::records(steps);
    watch.wait_for(records as i64, PATIENCE);
    let last = crew.stop();
    crew.catch_up(last, PATIENCE);

    let mut problems = crew.problems().to_vec();
    for (kind, times) in crew.happened() {
        if *times == 0 {
            problems.push(format!("no {} happened while input was left", kind.name()));
        }
    }
    let checks = compare(setup.guarantee, &bootstrap, amount, &crew)?;
    let outcome = Outcome {
        checks,
        problems,
        faults: crew.happened().values().sum(),
        restores: crew.restores(),
    };
    println!("{}", checks::table(&outcome.checks));
    for problem in &outcome.problems {
        println!("problem: {problem}");
    }
    if !outcome.is_ok() {
        println!("stores and logs are kept in {}", crew.keep().display());
    }
    let word = if outcome.is_ok() { "ok" } else { "failed" };
    println!(
        "verdict {word} faults {} restores {}",
        outcome.faults, outcome.restores
    );
    Ok(outcome)
}

fn compare(
    guarantee: Guarantee,
    bootstrap: &str,
    amount: Amount,
    crew: &Crew,
) -> Result<Vec<Check>> {
    let (input, whole) = outputs::input(bootstrap, amount)?;
    let meetings = meetings::expected(bootstrap)?;
    let mut checks = vec![whole];
    match guarantee {
        Guarantee::ExactlyOnce => {
            let [mut each, last, mut once] = outputs::exactly(bootstrap, &input)?;
            meetings::exactly(bootstrap, &meetings, &mut each, &mut once)?;
            checks.extend([each, last, once]);
        }
        Guarantee::AtLeastOnce => {
            let mut check = outputs::at_least(bootstrap, &input)?;
            meetings::at_least(bootstrap, &meetings, &mut check)?;
            checks.push(check);
        }
    }
    checks.push(tables::folds(
        guarantee, bootstrap, &input, &meetings, crew,
    )?);
    checks.push(hangs::nothing(bootstrap)?);
    checks.push(restores::tails(bootstrap, crew)?);
    checks.sort_by_key(|check| check.name);
    Ok(checks)
}

/// Deletes the verifier's own topics and group, of an earlier run.
fn clear(bootstrap: &str) -> Result<()> {
    let ours = |topic: &String| {
        let ours = INPUTS.contains(&topic.as_str()) || OUTPUTS.contains(&topic.as_str());
        ours || topic.starts_with("verified-")
    };
    let topics: Vec<String> = client::topics(bootstrap)?
        .into_iter()
        .filter(ours)
        .collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    client::delete_topics(bootstrap, &topics)?;
    client::delete_group(bootstrap, APP)
}

fn progress(start: Instant, sent: u64, watch: &Watch, crew: &Crew) {
    let faults: Vec<String> = crew
        .happened()
        .iter()
        .map(|(kind, times)| format!("{} {times}", kind.name()))
        .collect();
    println!(
        "{:>5} s  in {:>8}  out {:>8}  {}  restores {}",
        start.elapsed().as_secs(),
        sent,
        watch.committed(),
        faults.join("  "),
        crew.restores()
    );
}

/// Looks from time to time how far the group is; the broker may be away.
struct Watch {
    committed: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn start(bootstrap: &str) -> Result<Self> {
        let (committed, stop) = (Arc::<AtomicI64>::default(), Arc::<AtomicBool>::default());
        let of = |topic| Committed::of(bootstrap, APP, topic);
        let groups = INPUTS.into_iter().map(of).collect::<Result<Vec<_>>>()?;
        let (seen, stopped) = (Arc::clone(&committed), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(total) = groups.iter().map(Committed::total).sum() {
                    seen.store(total, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Ok(Self { committed, stop })
    }

    fn committed(&self) -> i64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Until so many are committed, or the time is up: what is left then is a check's to say.
    fn wait_for(&self, all: i64, within: Duration) {
        let until = Instant::now() + within;
        while self.committed() < all && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
