//! The end-to-end verifier: faults at random moments while input keeps coming, then every output compared with a replay
//! of the input.
//!
//! | part | what it is about |
//! |---|---|
//! | `schedule` | which fault happens when: a pure function of the seed |
//! | `crew` | the workers, and what the faults do to them |
//! | `nodes` | the nodes of a cluster, and what the faults do to them |
//! | `beside` | a tail, lookups and a sender that must live through all of it |
//! | `silence` | the longest time without output after each fault |
//! | `said` | what a worker's log says of its partitions |
//! | `checks` | E0 to E7, and how much each compared |
//! | `outputs`, `meetings`, `tables`, `hangs`, `restores` | the checks themselves |

mod beside;
mod checks;
mod crew;
mod hangs;
mod meetings;
mod nodes;
mod outputs;
mod restores;
mod said;
mod schedule;
mod silence;
mod tables;

pub use beside::{Finding, Part};
pub use checks::Check;
pub use schedule::Kind;
pub use silence::Silence;

use crate::broker::Broker;
use crate::chaos::Chaos;
use crate::client::{self, Committed};
use crate::cluster::Cluster;
use crate::feed::Feed;
use crate::numbers::{self, Amount};
use crate::pairs;
use anyhow::{Context, Result};
use beside::Beside;
use crew::Crew;
use nodes::Nodes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The app's name: its group, and the beginning of its topics' names.
const APP: &str = "verified";
const INPUT: &str = "numbers";
/// All that is fed: the join has two topics of its own, so that the other agents' task has one and can be replayed.
const INPUTS: [&str; 3] = [INPUT, pairs::TOPICS[0], pairs::TOPICS[1]];
const OUTPUTS: [&str; 7] = [
    "echoes",
    "running",
    "sums",
    "bursts",
    "buckets",
    "bucket_sums",
    "met",
];
/// Between the input and the agent that reads it by another key.
const HOP: &str = "verified-by_bucket-repartition";
const PARTITIONS: i32 = 6;
/// So many that the rows of one window, 400 in each partition, take more than one commit.
const KEYS: i64 = 2_400;
/// How long what is left at the end may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs on a cluster that are at least so long have every kind of fault.
const ALL_KINDS: Duration = Duration::from_secs(300);

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
    /// The same as another version built it, which every second life of a worker runs.
    pub other: Option<PathBuf>,
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
    /// Parts beside the numbers whose findings are printed and not counted.
    pub forgive: Vec<Part>,
}

/// The broker of a run.
pub enum At<'a> {
    /// One that may be killed.
    Ours(&'a mut Broker),
    /// `host:port` of one that may not.
    Theirs(&'a str),
    /// Three of which each may be killed, frozen and restarted.
    Cluster(&'a mut Cluster),
}

impl At<'_> {
    fn bootstrap(&self) -> String {
        match self {
            At::Ours(broker) => broker.bootstrap(),
            At::Theirs(bootstrap) => (*bootstrap).to_owned(),
            At::Cluster(cluster) => cluster.bootstrap(),
        }
    }

    /// The faults that it allows.
    fn kinds(&self) -> Vec<Kind> {
        match self {
            At::Ours(_) => Kind::SINGLE.to_vec(),
            At::Theirs(_) => Kind::WORKERS.to_vec(),
            At::Cluster(_) => Kind::WORKERS.into_iter().chain(Kind::NODES).collect(),
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub checks: Vec<Check>,
    /// What was wrong besides, such as a worker that ended by itself.
    pub problems: Vec<String>,
    /// What was found and is not counted.
    pub forgiven: Vec<Finding>,
    /// What followed each fault, on a cluster.
    pub silences: Vec<Silence>,
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
pub fn run(setup: &Setup, at: At<'_>) -> Result<Outcome> {
    let bootstrap = at.bootstrap();
    let kinds = kinds(setup, &at);
    if matches!(at, At::Theirs(_)) {
        clear(&bootstrap)?;
    }
    let amount = Amount {
        keys: KEYS,
        values: (setup.lasts.as_secs() as i64 * setup.rate as i64 / KEYS).max(2),
        partitions: PARTITIONS,
    };
    let steps = pairs::steps(amount.records());
    let on_cluster = matches!(at, At::Cluster(_));
    // A key's records are in the same partition of each.
    for topic in INPUTS.iter().chain(&OUTPUTS).chain([&beside::SENT]) {
        let mut settings = vec![("retention.ms", "-1")];
        if on_cluster && [INPUT, silence::OUTPUT].contains(topic) {
            settings.push(silence::STAMPED);
        }
        client::create_topic(&bootstrap, topic, PARTITIONS, &settings)?;
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
    let watch = Watch::start(&bootstrap);
    let first = match &at {
        At::Cluster(cluster) => cluster.wired(),
        _ => bootstrap.clone(),
    };
    let mut crew = Crew::start(setup, &bootstrap, &first, &kinds);
    let (mut broker, mut nodes) = match at {
        At::Ours(broker) => (Some(broker), None),
        At::Theirs(_) => (None, None),
        At::Cluster(cluster) => (None, Some(Nodes::of(cluster)?)),
    };
    let mut beside = on_cluster.then(|| {
        let keys = amount.names();
        Beside::start(&setup.program, &bootstrap, crew.doors(), keys)
    });

    let (start, mut waiting, mut told) = (Instant::now(), faults, Instant::now());
    let began = wall();
    let mut broker_back: Option<Instant> = None;
    let mut pace = Pace::default();
    while feed.goes_on() {
        crew.tick();
        if let Some(beside) = &mut beside {
            beside.tick();
        }
        if let Some(broker) = &mut broker
            && broker_back.is_some_and(|back| back <= Instant::now())
        {
            broker.restart();
            crew.broker_is_back();
            broker_back = None;
        }
        if let Some(nodes) = &mut nodes
            && nodes.tick()?
        {
            crew.broker_is_back();
        }
        let seen = u64::try_from(watch.committed()).unwrap_or(0);
        let behind = (feed.sent() + both.sent()).saturating_sub(seen);
        let calm =
            crew.is_calm() && nodes.as_ref().is_none_or(Nodes::are_calm) && behind < 5 * setup.rate;
        pace.looks(calm, on_cluster, start.elapsed());
        // What cannot happen yet, because its victim is down, waits; the others do not.
        let mut failed = Ok(());
        let due = |of_nodes: bool| {
            let due = |fault: &schedule::Fault| {
                fault.at <= pace.now && fault.kind.is_of_nodes() == of_nodes
            };
            waiting.iter().any(due)
        };
        pace.waits = [due(false), due(true)];
        waiting.retain(|fault| {
            if fault.at > pace.now || !pace.allows(fault.kind) {
                return true;
            }
            if let Some(nodes) = &mut nodes
                && fault.kind.is_of_nodes()
            {
                return match nodes.suffer(fault) {
                    Ok(true) => {
                        crew.happens(fault.kind);
                        pace.begins(fault.kind);
                        false
                    }
                    Ok(false) => true,
                    Err(error) => {
                        failed = Err(error);
                        true
                    }
                };
            }
            if fault.kind != Kind::Broker {
                let begins = crew.suffer(fault);
                if begins {
                    pace.begins(fault.kind);
                }
                return !begins;
            }
            let Some(broker) = &mut broker else {
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
        failed?;
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            progress(start, feed.sent() + both.sent(), &watch, &crew);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Some(broker) = &mut broker
        && broker_back.is_some()
    {
        broker.restart();
        crew.broker_is_back();
    }
    while let Some(nodes) = &mut nodes
        && !nodes.are_calm()
    {
        if nodes.tick()? {
            crew.broker_is_back();
        }
        crew.tick();
        std::thread::sleep(Duration::from_millis(5));
    }
    crew.settle();
    progress(start, feed.sent() + both.sent(), &watch, &crew);
    feed.finish().context("the feed")?;
    both.finish().context("the feed of the join")?;
    let records = amount.records() + pairs::records(steps);
    watch.wait_for(records as i64, PATIENCE);
    if let Some(beside) = &mut beside {
        beside.quieten()?;
    }
    let last = crew.stop();
    crew.catch_up(last, PATIENCE);

    let mut problems = crew.problems().to_vec();
    let never = crew.happened().iter().filter(|(_, times)| **times == 0);
    for (kind, _) in never {
        let text = format!("no {} happened while input was left", kind.name());
        // How many faults find room depends on how long nodes take to come back.
        if nodes.is_some() && setup.lasts < ALL_KINDS {
            println!("{text}");
        } else {
            problems.push(text);
        }
    }
    hangs::wait(&bootstrap, PATIENCE)?;
    let checks = compare(setup.guarantee, &bootstrap, amount, &crew)?;
    let mut findings = Vec::new();
    if let Some(beside) = beside {
        findings = beside.finish()?;
    }
    let mut silences = Vec::new();
    if let Some(nodes) = &nodes {
        let deeds = nodes.deeds().iter().chain(crew.deeds()).cloned();
        silences = silence::after(&bootstrap, setup.guarantee, deeds.collect())?;
        println!("{}", silence::table(&silences, began));
    }
    for silence in silences.iter().filter(|silence| silence.is_too_long()) {
        findings.push(Finding {
            part: Part::Silence,
            text: format!("{} ms after {:?}", silence.longest, silence.deed),
        });
    }
    let (forgiven, counted): (Vec<Finding>, Vec<Finding>) = findings
        .into_iter()
        .partition(|finding| setup.forgive.contains(&finding.part));
    problems.extend(counted.iter().map(Finding::to_string));
    let outcome = Outcome {
        checks,
        problems,
        forgiven,
        silences,
        faults: crew.happened().values().sum(),
        restores: crew.restores(),
    };
    println!("{}", checks::table(&outcome.checks));
    for finding in &outcome.forgiven {
        println!("forgiven: {finding}");
    }
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

/// Whether faults may crowd: on a cluster they do in every fifth minute, and come one by one in the others, of workers
/// and of nodes in turn, so that it can be said what followed each.
#[derive(Debug, Default)]
struct Pace {
    on_cluster: bool,
    one_by_one: bool,
    /// Since when nothing has been wrong, and no input has waited.
    calm: Option<Duration>,
    /// When the last fault began.
    began: Option<Duration>,
    /// When the last fault of a worker began.
    of_worker: Option<Duration>,
    /// The last fault was a node's.
    was_of_nodes: bool,
    /// Whether faults of workers are due, and of nodes.
    waits: [bool; 2],
    now: Duration,
    /// There is room for a fault.
    room: bool,
}

impl Pace {
    /// How long all is left calm between two faults that come one by one: what follows the first is its own until then.
    const ALONE: Duration = Duration::from_secs(6);
    /// And by how much the next one comes after the longest silence that the first may bring.
    const TOLD: Duration = Duration::from_secs(2);
    /// Between two faults of workers that crowd on a cluster: those that were late come one after the other, not at
    /// once.
    const CROWD: Duration = Duration::from_secs(12);

    /// How things stand at this time of the run.
    fn looks(&mut self, calm: bool, on_cluster: bool, now: Duration) {
        self.on_cluster = on_cluster;
        self.one_by_one = on_cluster && !(now.as_secs() / 60).is_multiple_of(5);
        self.calm = match (calm, self.calm) {
            (true, since) => since.or(Some(now)),
            (false, _) => None,
        };
        self.now = now;
        // A silence that is too long is seen to be before the next fault.
        let told = self.began.is_none() || self.is_past(self.began, silence::bound() + Self::TOLD);
        self.room = told && self.is_past(self.calm, Self::ALONE);
    }

    fn is_past(&self, since: Option<Duration>, least: Duration) -> bool {
        since.is_some_and(|since| self.now.saturating_sub(since) >= least)
    }

    fn allows(&self, kind: Kind) -> bool {
        let of_nodes = kind.is_of_nodes();
        if !self.one_by_one {
            let crowds = self.of_worker.is_none() || self.is_past(self.of_worker, Self::CROWD);
            return !self.on_cluster || of_nodes || crowds;
        }
        let others_wait = self.waits[usize::from(!of_nodes)];
        self.room && (of_nodes != self.was_of_nodes || !others_wait)
    }

    /// A fault has begun.
    fn begins(&mut self, kind: Kind) {
        (self.calm, self.room) = (None, false);
        self.began = Some(self.now);
        self.was_of_nodes = kind.is_of_nodes();
        if !self.was_of_nodes {
            self.of_worker = self.began;
        }
    }
}

/// The faults that are to happen.
fn kinds(setup: &Setup, at: &At<'_>) -> Vec<Kind> {
    let allowed = at.kinds();
    if !setup.kinds.is_empty() {
        let mut kinds = setup.kinds.clone();
        kinds.retain(|kind| allowed.contains(kind));
        return kinds;
    }
    let mut kinds = allowed;
    if setup.guarantee == Guarantee::AtLeastOnce {
        // A zombie may write rows of yesterday when it thaws, or is cut off from its group: only transactions fence
        // that. And there are none whose coordinator could be looked for.
        let only_exact = [
            Kind::Freeze,
            Kind::Amid,
            Kind::Cut,
            Kind::Slow,
            Kind::Transactions,
        ];
        kinds.retain(|kind| !only_exact.contains(kind));
    }
    kinds
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
        let mut ours = INPUTS.iter().chain(&OUTPUTS).chain([&beside::SENT]);
        let ours = ours.any(|name| name == topic);
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

/// Wall clock, ms since the epoch.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock past 1970").as_millis() as i64
}

/// Looks from time to time how far the group is; the broker may be away.
struct Watch {
    committed: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn start(bootstrap: &str) -> Self {
        let (committed, stop) = (Arc::<AtomicI64>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (Arc::clone(&committed), Arc::clone(&stop));
        let bootstrap = bootstrap.to_owned();
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Clients of their own each time that one fails: nothing of an outage stays behind in them.
                let of = |topic| Committed::of(&bootstrap, APP, topic);
                let groups = INPUTS.into_iter().map(of).collect::<Result<Vec<_>>>();
                let looked = groups.and_then(|groups| {
                    while !stopped.load(Ordering::Relaxed) {
                        let total = groups.iter().map(Committed::total);
                        seen.store(total.sum::<Result<i64>>()?, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    Ok(())
                });
                if let Err(error) = looked {
                    println!("nobody says how far the group is: {error:#}");
                }
            }
        });
        Self { committed, stop }
    }

    fn committed(&self) -> i64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Until so many are committed, or nothing has moved for so long: what is left then is a check's to say.
    fn wait_for(&self, all: i64, within: Duration) {
        let (mut seen, mut moved) = (self.committed(), Instant::now());
        while seen < all && moved.elapsed() < within {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.committed();
            if now != seen {
                (seen, moved) = (now, Instant::now());
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pace: &Pace) -> [bool; 2] {
        [pace.allows(Kind::Kill), pace.allows(Kind::Leader)]
    }

    #[test]
    fn faults_come_one_by_one_but_in_every_fifth_minute() {
        let at = Duration::from_secs;
        let mut pace = Pace::default();
        pace.looks(false, true, at(59));
        assert_eq!(allows(&pace), [true, true], "they crowd");
        pace.looks(true, true, at(61));
        assert_eq!(allows(&pace), [false, false], "it has just become calm");
        pace.looks(true, true, at(67));
        assert_eq!(allows(&pace), [true, true]);
        pace.begins(Kind::Kill);
        assert_eq!(allows(&pace), [false, false], "one at a time");
        let told = at(67) + silence::bound() + Pace::TOLD;
        pace.looks(true, true, at(68));
        pace.looks(true, true, told - at(1));
        assert_eq!(allows(&pace), [false, false], "its silence might last");
        pace.looks(true, true, told);
        assert_eq!(allows(&pace), [true, true]);
        pace.looks(true, true, at(301));
        pace.begins(Kind::Leader);
        assert_eq!(allows(&pace), [true, true], "they crowd again");
        pace.looks(false, false, at(61));
        assert_eq!(allows(&pace), [true, true], "one broker");
    }

    /// Found at-least-once: while nodes' faults were due no worker was killed for four minutes, and then all at once.
    #[test]
    fn workers_and_nodes_take_turns_and_what_is_late_does_not_come_at_once() {
        let at = Duration::from_secs;
        let mut pace = Pace {
            waits: [true, true],
            ..Pace::default()
        };
        for (kind, next) in [(Kind::Leader, [true, false]), (Kind::Kill, [false, true])] {
            pace.looks(true, true, at(100));
            pace.begins(kind);
            pace.looks(true, true, at(140));
            pace.looks(true, true, at(150));
            assert_eq!(allows(&pace), next);
        }
        pace.waits = [true, false];
        assert_eq!(allows(&pace), [true, true], "nobody else waits");
        pace.looks(true, true, at(300));
        pace.begins(Kind::Kill);
        pace.looks(true, true, at(311));
        assert_eq!(allows(&pace), [false, true]);
        pace.looks(true, true, at(312));
        assert_eq!(allows(&pace), [true, true]);
        pace.looks(true, false, at(300));
        pace.begins(Kind::Kill);
        assert!(pace.allows(Kind::Kill), "one broker");
    }
}
