//! The workers, and what the faults do to them.

use super::beside::Door;
use super::schedule::{Fault, Kind};
use super::silence::Deed;
use super::{APP, Guarantee, Setup, restores, said, wall};
use crate::amid;
use crate::leash::{Leashed, tail};
use crate::net;
use crate::voltage::App;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a worker may take to end in order.
const GOODBYE: Duration = Duration::from_secs(25);
/// How long a worker's partitions have run when it is killed for the last time, in ms: its store is up to date.
const CALM: i64 = 4_000;
/// The same on a cluster, where a commit may wait longer for its coordinators.
const CALM_ON_CLUSTER: i64 = restores::COMMIT_ON_CLUSTER + CALM;
/// How long that is waited for.
const STORM: Duration = Duration::from_secs(60);
/// How long a worker that was stopped is left alone afterwards.
const ZOMBIE: Duration = Duration::from_millis(1_500);
/// How long a worker that is to stop amid a closing is waited for.
const CLOSING: Duration = Duration::from_secs(20);
/// Longest wait, in ms, of commits after the broker is there again, and of rounds of the store with them.
const OUTAGE: i64 = 15_000;
/// The same with the product's own sessions and transactions, where commits wait longer and several outages may follow
/// each other.
const PATIENT: i64 = 60_000;

/// From the start of a worker's process to its end.
pub struct Life {
    /// The worker's number: it keeps its store over its lives.
    pub worker: usize,
    process: Leashed,
    /// When it was killed, wall clock in ms.
    pub killed: Option<i64>,
    /// When it was stopped last.
    pub stopped: Option<i64>,
}

impl Life {
    pub fn log(&self) -> String {
        self.process.output()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Up,
    /// Killed; starts again then.
    Down(Instant),
    Frozen(Instant),
    /// Continued a moment ago: what a zombie does shall be seen, so nothing else happens to it until then.
    Thawed(Instant),
    /// Asked to stop amid a closing, for so long; until then.
    Asked(Duration, Instant),
    /// A guest that leaves then.
    Guest(Instant),
    /// Asked to end in order; must have ended then.
    Leaving(Instant),
    /// A guest that is not there.
    Away,
}

/// All workers; the last one is the guest.
pub struct Crew {
    app: App,
    setup: Setup,
    states: Vec<State>,
    happened: BTreeMap<Kind, u64>,
    /// All lives so far, in the order of their starts.
    lives: Vec<Life>,
    problems: Vec<String>,
    /// Times at which the broker, or a node of a cluster, was killed and all was well again, if it is; wall clock in
    /// ms.
    outages: Vec<(i64, Option<i64>)>,
    deeds: Vec<Deed>,
    /// Each worker's pages.
    doors: Arc<Vec<Door>>,
    /// Each worker's brokers.
    brokers: Vec<String>,
    /// Sessions and transactions are the product's own; else shorter ones keep the run short.
    patient: bool,
}

impl Crew {
    /// Starts the workers; `kinds` are the faults that are to happen. Worker 0 goes to the brokers at `first`.
    pub fn start(setup: &Setup, bootstrap: &str, first: &str, kinds: &[Kind]) -> Self {
        let mut brokers = vec![bootstrap.to_owned(); setup.workers + 1];
        first.clone_into(&mut brokers[0]);
        let ports = net::lasting_ports(setup.workers + 1);
        let app = App::of(setup.program.clone(), bootstrap);
        let mut crew = Self {
            app,
            setup: setup.clone(),
            states: vec![State::Up; setup.workers],
            happened: kinds.iter().map(|kind| (*kind, 0)).collect(),
            lives: Vec::new(),
            problems: Vec::new(),
            outages: Vec::new(),
            deeds: Vec::new(),
            doors: Arc::new(ports.into_iter().map(Door::new).collect()),
            brokers,
            // A broker's session of four seconds outlasts impatient ones: a node that goes would take them along.
            patient: kinds.iter().any(|kind| kind.is_of_nodes()),
        };
        for worker in 0..setup.workers {
            crew.begin(worker);
        }
        crew.states.push(State::Away);
        crew
    }

    fn data_dir(&self, worker: usize) -> PathBuf {
        self.app.dir().join(format!("worker-{worker}"))
    }

    /// The file that makes a worker stop amid its next closing.
    fn stop_file(&self, worker: usize) -> PathBuf {
        self.app.dir().join(format!("stop-{worker}"))
    }

    fn args(&self, worker: usize) -> Vec<String> {
        let guarantee = match self.setup.guarantee {
            Guarantee::ExactlyOnce => "exactly-once",
            Guarantee::AtLeastOnce => "at-least-once",
        };
        let dir = self.data_dir(worker).display().to_string();
        let port = self.doors[worker].port.to_string();
        let mut args = match self.patient {
            true => vec!["worker".to_owned()],
            false => self.app.impatient(),
        };
        let more = [
            ["--broker", &self.brokers[worker]],
            ["--web-port", &port],
            ["--processing-guarantee", guarantee],
            ["--data-dir", &dir],
            ["--threads", "2"],
            ["--log-level", said::LEVEL],
            // So that closings span commits, and kills hit rounds of the store.
            ["--commit-events", amid::COMMIT_EVENTS],
            ["--store-interval", "100ms"],
            // Who is asked to end while the broker is away has ended before the patience with guests.
            ["--shutdown-timeout", "5s"],
        ];
        args.extend(more.as_flattened().iter().map(|word| (*word).to_owned()));
        args
    }

    fn begin(&mut self, worker: usize) {
        self.begin_as(worker, &[]);
    }

    fn begin_as(&mut self, worker: usize, more: &[&str]) {
        let mut args = self.args(worker);
        args.extend(more.iter().map(|word| (*word).to_owned()));
        // Workers of both versions at any time, and each store goes to and fro between them.
        let before = self.lives.iter().filter(|life| life.worker == worker);
        let program = match &self.setup.other {
            Some(other) if (before.count() + worker) % 2 == 1 => other,
            _ => &self.setup.program,
        };
        let mut command = self.app.bare_of(program, &args);
        command.env(amid::STOP, self.stop_file(worker));
        command.envs(self.setup.env.iter().map(|(name, value)| (name, value)));
        self.lives.push(Life {
            worker,
            process: self.app.start_command(&command),
            killed: None,
            stopped: None,
        });
    }

    fn life(&mut self, worker: usize) -> &mut Life {
        let life = self.lives.iter_mut().rfind(|life| life.worker == worker);
        life.expect("it was started")
    }

    /// Lets a fault begin, unless its victim is in no state for it: then `false`.
    pub fn suffer(&mut self, fault: &Fault) -> bool {
        let (now, guest) = (Instant::now(), self.states.len() - 1);
        let (worker, state) = match fault.kind {
            Kind::Join => (guest, State::Away),
            _ => (fault.victim, State::Up),
        };
        if self.states[worker] != state {
            return false;
        }
        self.states[worker] = match fault.kind {
            Kind::Kill => {
                let life = self.life(worker);
                life.killed = Some(wall());
                life.process.kill();
                self.did(Kind::Kill, worker, fault.lasts);
                State::Down(now + fault.lasts)
            }
            Kind::Freeze => {
                self.signal(worker, "STOP");
                self.life(worker).stopped = Some(wall());
                self.did(Kind::Freeze, worker, fault.lasts);
                State::Frozen(now + fault.lasts)
            }
            Kind::Amid => {
                fs::write(self.stop_file(worker), "").expect("a file in our own directory");
                State::Asked(fault.lasts, now + CLOSING)
            }
            Kind::Join => {
                self.begin(worker);
                State::Guest(now + fault.lasts)
            }
            _ => State::Up,
        };
        self.note_doors();
        true
    }

    /// Does what is due; to be called often, while input is left.
    pub fn tick(&mut self) {
        let now = Instant::now();
        for worker in 0..self.states.len() {
            let state = self.states[worker];
            self.states[worker] = match state {
                State::Down(until) if until <= now => {
                    self.begin(worker);
                    State::Up
                }
                State::Frozen(until) if until <= now => {
                    self.signal(worker, "CONT");
                    State::Thawed(now + ZOMBIE)
                }
                State::Thawed(until) if until <= now => State::Up,
                State::Asked(lasts, until) => self.asked(worker, lasts, until),
                State::Guest(until) if until <= now => {
                    self.signal(worker, "TERM");
                    self.did(Kind::Join, worker, Duration::ZERO);
                    State::Leaving(now + GOODBYE)
                }
                State::Leaving(until) => self.leaving(worker, until),
                State::Up => {
                    self.look_after(worker);
                    State::Up
                }
                other => other,
            };
        }
        self.note_doors();
    }

    /// Returns whether nothing goes on that was done to a worker.
    pub fn is_calm(&self) -> bool {
        let calm = |state: &State| matches!(state, State::Up | State::Away);
        self.states.iter().all(calm)
    }

    /// Says of which workers' pages an answer may be expected.
    fn note_doors(&self) {
        for (state, door) in self.states.iter().zip(self.doors.iter()) {
            let quiet = door.quiet.load(Ordering::Relaxed);
            match state {
                State::Up if quiet == i64::MAX => door.quiet.store(wall(), Ordering::Relaxed),
                State::Up => {}
                _ => door.quiet.store(i64::MAX, Ordering::Relaxed),
            }
        }
    }

    /// Each worker's pages.
    pub fn doors(&self) -> Arc<Vec<Door>> {
        Arc::clone(&self.doors)
    }

    fn asked(&mut self, worker: usize, lasts: Duration, until: Instant) -> State {
        let now = Instant::now();
        if self.life(worker).process.is_stopped() {
            self.life(worker).stopped = Some(wall());
            self.did(Kind::Amid, worker, lasts);
            return State::Frozen(now + lasts);
        }
        // It owns nothing that closes: another fault may have it.
        if until <= now && fs::remove_file(self.stop_file(worker)).is_ok() {
            return State::Up;
        }
        State::Asked(lasts, until)
    }

    fn leaving(&mut self, worker: usize, until: Instant) -> State {
        let life = self.life(worker);
        match life.process.ended() {
            Some(status) if status.success() => State::Away,
            // It was asked before it listened.
            Some(status) if status.signal() == Some(libc::SIGTERM) && life.log().is_empty() => {
                State::Away
            }
            None if Instant::now() < until => State::Leaving(until),
            how => {
                let log = tail(&life.log()).to_owned();
                let how = how.map_or("not at all".to_owned(), |status| status.to_string());
                life.process.kill();
                self.problem(format!(
                    "worker {worker}, asked to end, ended {how}:\n{log}"
                ));
                State::Away
            }
        }
    }

    /// A worker that ended by itself is a problem, and is started again.
    fn look_after(&mut self, worker: usize) {
        let life = self.life(worker);
        if let Some(status) = life.process.ended() {
            let log = tail(&life.log()).to_owned();
            self.problem(format!(
                "worker {worker} ended by itself ({status}):\n{log}"
            ));
            self.begin(worker);
        }
    }

    fn signal(&mut self, worker: usize, name: &str) {
        if let Err(error) = self.life(worker).process.signal(name) {
            self.problem(format!("worker {worker}: {error:#}"));
        }
    }

    fn problem(&mut self, text: String) {
        println!("problem: {text}");
        self.problems.push(text);
    }

    fn did(&mut self, kind: Kind, worker: usize, lasts: Duration) {
        let victim = format!("worker {worker}");
        self.deeds.push(Deed::lasts(kind, victim, lasts));
        self.happens(kind);
    }

    /// All faults of workers so far.
    pub fn deeds(&self) -> &[Deed] {
        &self.deeds
    }

    /// A fault has happened.
    pub fn happens(&mut self, kind: Kind) {
        *self.happened.entry(kind).or_default() += 1;
        if kind == Kind::Broker || kind.is_of_nodes() {
            self.outages.push((wall(), None));
        }
    }

    /// The broker answers again, or the cluster is whole.
    pub fn broker_is_back(&mut self) {
        if let Some(outage) = self.outages.last_mut() {
            outage.1 = Some(wall());
        }
    }

    /// When a partition that ran since then, in a worker that was killed at this time, could last commit and store for
    /// certain.
    pub fn worked_until(&self, since: i64, killed: i64) -> i64 {
        let settled = if self.patient { PATIENT } else { OUTAGE };
        worked_until(&self.outages, since, killed, settled)
    }

    /// Whether the workers have the product's own sessions and transactions.
    pub fn is_patient(&self) -> bool {
        self.patient
    }

    /// No input is left: every worker is there again, the guest leaves.
    pub fn settle(&mut self) {
        for worker in 0..self.states.len() {
            match self.states[worker] {
                State::Down(_) => self.begin(worker),
                State::Asked(..) => {
                    // It may have stopped a moment ago; one that runs does not mind.
                    let _ = fs::remove_file(self.stop_file(worker));
                    self.signal(worker, "CONT");
                }
                State::Frozen(_) => self.signal(worker, "CONT"),
                State::Thawed(_) => {}
                State::Guest(_) => self.signal(worker, "TERM"),
                _ => continue,
            }
            self.doors[worker].quiet.store(i64::MAX, Ordering::Relaxed);
            self.states[worker] = match self.states[worker] {
                State::Guest(_) => State::Leaving(Instant::now() + GOODBYE),
                _ => State::Up,
            };
        }
    }

    /// One is killed in all calm, so that a store that was up to date is seen; then all others end in order. Returns
    /// the one that was killed.
    pub fn stop(&mut self) -> usize {
        let victim = self.calm();
        // Before the others: the group gives its partitions again when one of them leaves.
        self.look_after(victim);
        let life = self.life(victim);
        life.killed = Some(wall());
        life.process.kill();
        for worker in 0..self.states.len() {
            if worker == victim {
                continue;
            }
            if matches!(self.states[worker], State::Up | State::Thawed(_)) {
                self.look_after(worker);
                self.signal(worker, "TERM");
                self.states[worker] = State::Leaving(Instant::now() + GOODBYE);
            }
            while let State::Leaving(until) = self.states[worker] {
                self.states[worker] = self.leaving(worker, until);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        victim
    }

    /// Waits until some worker's partitions have run for a while.
    fn calm(&mut self) -> usize {
        let until = Instant::now() + STORM;
        let calm = match self.patient {
            true => CALM_ON_CLUSTER,
            false => CALM,
        };
        loop {
            for worker in 0..self.setup.workers {
                let life = self.life(worker);
                let lines = said::lines(&life.log());
                let ran = said::at_the_end(&lines);
                // One that thawed a moment ago has not heard yet that its partitions are another's.
                let stopped = life.stopped.unwrap_or(0);
                let ours = ran.values().filter(|since| **since > stopped);
                if ours.max().is_some_and(|since| wall() - since >= calm) {
                    return worker;
                }
            }
            if Instant::now() >= until {
                return 0;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// This worker alone works off what is left.
    pub fn catch_up(&mut self, worker: usize, within: Duration) {
        self.begin_as(worker, &["--until-caught-up"]);
        let life = self.life(worker);
        let ended = life.process.wait(within);
        if !ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
            let log = tail(&life.log()).to_owned();
            self.problem(format!("the last worker: {ended:?}\n{log}"));
        }
        self.life(worker).process.kill();
    }

    /// Faults so far.
    pub fn happened(&self) -> &BTreeMap<Kind, u64> {
        &self.happened
    }

    /// What was wrong with the workers.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// How often a partition's tables were brought back.
    pub fn restores(&self) -> u64 {
        let restores = |life: &Life| {
            let lines = said::lines(&life.log()).into_iter();
            lines.filter(|line| line.running.is_some()).count() as u64
        };
        self.lives.iter().map(restores).sum()
    }

    /// Lives that ended by SIGKILL, each with the worker's next one.
    pub fn killed(&self) -> impl Iterator<Item = (&Life, &Life)> {
        let next = |at: usize| {
            let worker = self.lives[at].worker;
            self.lives[at + 1..]
                .iter()
                .find(move |life| life.worker == worker)
        };
        let killed = self.lives.iter().enumerate();
        killed
            .filter(|(_, life)| life.killed.is_some())
            .filter_map(move |(at, life)| Some((life, next(at)?)))
    }

    /// Where the workers' stores lie.
    pub fn stores(&self) -> Vec<PathBuf> {
        (0..self.states.len())
            .map(|worker| {
                self.data_dir(worker)
                    .join(APP)
                    .join("worker-0")
                    .join("store")
            })
            .filter(|store| store.is_dir())
            .collect()
    }

    /// Leaves the workers' directory there and says where it is.
    pub fn keep(self) -> PathBuf {
        self.app.keep()
    }
}

fn worked_until(outages: &[(i64, Option<i64>)], since: i64, killed: i64, settled: i64) -> i64 {
    // A broker may take longer to start than a commit waits: what counts is since when it is back. It may go again
    // before anything was committed.
    outages.iter().rev().fold(killed, |until, &(went, back)| {
        let lately = back.is_none_or(|back| until - back < settled);
        match (since..=until).contains(&went) && lately {
            true => went,
            false => until,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_starts_slowly_is_waited_for_from_its_return() {
        let back = 50_000;
        let outages = [(1_000, Some(2_000)), (20_000, Some(back))];
        // Killed while the broker was away, and soon after: no commit is certain since the broker went.
        let worked_until =
            |outages: &[_], since, killed| worked_until(outages, since, killed, OUTAGE);
        assert_eq!(worked_until(&outages, 10_000, back - 1), 20_000);
        assert_eq!(worked_until(&outages, 10_000, back + OUTAGE - 1), 20_000);
        assert_eq!(worked_until(&[(20_000, None)], 10_000, 90_000), 20_000);
        // It went again before a commit was certain.
        let twice = [(20_000, Some(40_000)), (40_500, Some(60_000))];
        assert_eq!(worked_until(&twice, 10_000, 61_000), 20_000);
        assert_eq!(worked_until(&twice, 30_000, 61_000), 40_500);
        // Long after, or of a partition that came later: it committed again.
        let late = back + OUTAGE;
        assert_eq!(worked_until(&outages, 10_000, late), late);
        assert_eq!(worked_until(&outages, back + 1, back + 2), back + 2);
    }
}
