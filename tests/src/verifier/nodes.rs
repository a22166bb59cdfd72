//! The cluster's nodes, and what the faults do to them: one fault at a time, the next one when all is whole again.

use super::schedule::{Fault, Kind};
use super::silence::Deed;
use super::{APP, wall};
use crate::cluster::{Cluster, Look, NODES};
use anyhow::{Context, Result, bail};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long all is left whole between two faults.
const CALM: Duration = Duration::from_secs(2);
/// How long a node may take to end in order.
const GOODBYE: Duration = Duration::from_secs(40);
/// How long a node may take to serve again, and how long until all copies are in sync after that.
const BACK: Duration = Duration::from_secs(90);
/// Between two looks at what a node that starts has printed.
const LOOK: Duration = Duration::from_millis(200);
/// What a slow connection adds to each direction.
const SLOW: Duration = Duration::from_millis(250);

/// A round of restarts.
struct Round {
    /// The node that is restarted now.
    node: usize,
    left: Vec<usize>,
    pause: Duration,
}

enum State {
    /// Whole since then.
    Calm(Instant),
    /// Killed; they start again then.
    Down(Vec<usize>, Instant),
    Frozen(usize, Instant),
    /// The wire to this node is cut or slow until then.
    Wired(usize, Instant),
    /// Asked to end; is killed then.
    Stopping(Round, Instant),
    /// Ended; starts again then.
    Stopped(Round, Instant),
    /// Started; must serve before the time is up.
    Starting(Vec<usize>, Option<Round>, Instant),
    /// All serve since then; copies come in sync.
    Healing(Option<Round>, Instant),
}

pub struct Nodes<'a> {
    cluster: &'a mut Cluster,
    state: State,
    whole: Whole,
    deeds: Vec<Deed>,
    looked: Instant,
}

impl<'a> Nodes<'a> {
    /// The nodes of a cluster that is whole.
    pub fn of(cluster: &'a mut Cluster) -> Result<Self> {
        Ok(Self {
            state: State::Calm(Instant::now()),
            whole: Whole::watch(&cluster.bootstrap())?,
            deeds: Vec::new(),
            looked: Instant::now(),
            cluster,
        })
    }

    /// Lets a fault begin; `false` while another goes on.
    pub fn suffer(&mut self, fault: &Fault) -> Result<bool> {
        let now = Instant::now();
        if !matches!(self.state, State::Calm(since) if now - since >= CALM) {
            return Ok(false);
        }
        let victim = match fault.kind {
            Kind::Leader => self.cluster.leads_most(""),
            Kind::Coordinator => self.cluster.coordinates_group(APP),
            Kind::Transactions => self.cluster.coordinates_transactions(APP),
            _ => Ok(fault.victim),
        };
        let victim = match victim {
            Ok(victim) => victim,
            Err(error) => {
                println!("{} has to wait: {error:#}", fault.kind.name());
                self.state = State::Calm(now);
                return Ok(false);
            }
        };
        let (until, cluster) = (now + fault.lasts, &mut *self.cluster);
        let mut victims = vec![victim];
        self.state = match fault.kind {
            Kind::NodePause | Kind::NodeFreeze => {
                cluster.freeze(victim)?;
                State::Frozen(victim, until)
            }
            Kind::Cut => {
                cluster.wire(victim).cut();
                State::Wired(victim, until)
            }
            Kind::Slow => {
                cluster.wire(victim).slow(SLOW);
                State::Wired(victim, until)
            }
            Kind::Rolling => {
                victims = (0..NODES).map(|node| (victim + node) % NODES).collect();
                let round = Round {
                    node: victim,
                    left: victims[1..].iter().rev().copied().collect(),
                    pause: fault.lasts,
                };
                cluster.ask_to_stop(victim)?;
                State::Stopping(round, now + GOODBYE)
            }
            Kind::Two => {
                victims.push((victim + 1) % NODES);
                for node in &victims {
                    cluster.kill(*node);
                }
                State::Down(victims.clone(), until)
            }
            _ => {
                cluster.kill(victim);
                State::Down(victims.clone(), until)
            }
        };
        let names: Vec<String> = victims.iter().map(|node| (node + 1).to_string()).collect();
        self.deeds.push(Deed::begins(
            fault.kind,
            format!("node {}", names.join(", ")),
        ));
        Ok(true)
    }

    /// Does what is due. `true` when the last fault is over just now: all is whole.
    ///
    /// # Errors
    /// A node ended by itself, or does not come back.
    pub fn tick(&mut self) -> Result<bool> {
        let now = Instant::now();
        let (state, over) = match std::mem::replace(&mut self.state, State::Calm(now)) {
            State::Down(nodes, until) if until <= now => (self.begin(nodes, None)?, false),
            State::Frozen(node, until) if until <= now => {
                self.cluster.thaw(node)?;
                (self.are_back(None), false)
            }
            State::Wired(node, until) if until <= now => {
                self.cluster.wire(node).mend();
                (self.are_back(None), false)
            }
            State::Stopping(round, until) => {
                if !self.cluster.runs(round.node) {
                    let until = now + round.pause;
                    (State::Stopped(round, until), false)
                } else if until <= now {
                    println!("node {} does not end, and is killed", round.node + 1);
                    self.cluster.kill(round.node);
                    (State::Stopped(round, now), false)
                } else {
                    (State::Stopping(round, until), false)
                }
            }
            State::Stopped(round, until) if until <= now => {
                (self.begin(vec![round.node], Some(round))?, false)
            }
            State::Starting(mut nodes, round, until) if now - self.looked >= LOOK => {
                self.looked = now;
                let mut waiting = Vec::new();
                for node in nodes.drain(..) {
                    let name = || format!("node {}", node + 1);
                    if !self.cluster.serves(node).with_context(name)? {
                        waiting.push(node);
                    }
                }
                if waiting.is_empty() {
                    (self.are_back(round), false)
                } else if until <= now {
                    bail!("nodes {waiting:?} do not serve after {BACK:?}");
                } else {
                    (State::Starting(waiting, round, until), false)
                }
            }
            State::Healing(round, since) => match (self.whole.since(since), round) {
                (Err(missing), round) => {
                    if now - since > BACK {
                        bail!("not whole after {BACK:?}: {missing}");
                    }
                    (State::Healing(round, since), false)
                }
                (Ok(()), Some(round)) => self.next(round, now)?,
                (Ok(()), None) => self.over(now),
            },
            other => (other, false),
        };
        self.state = state;
        Ok(over)
    }

    fn next(&mut self, mut round: Round, now: Instant) -> Result<(State, bool)> {
        let Some(node) = round.left.pop() else {
            return Ok(self.over(now));
        };
        round.node = node;
        self.cluster.ask_to_stop(node)?;
        Ok((State::Stopping(round, now + GOODBYE), false))
    }

    fn begin(&mut self, nodes: Vec<usize>, round: Option<Round>) -> Result<State> {
        for node in &nodes {
            self.cluster.begin(*node)?;
        }
        Ok(State::Starting(nodes, round, Instant::now() + BACK))
    }

    fn are_back(&mut self, round: Option<Round>) -> State {
        if let Some(deed) = self.deeds.last_mut() {
            deed.back = Some(wall());
        }
        State::Healing(round, Instant::now())
    }

    fn over(&mut self, now: Instant) -> (State, bool) {
        if let Some(deed) = self.deeds.last_mut() {
            deed.over = Some(wall());
        }
        (State::Calm(now), true)
    }

    /// Whether all is whole.
    pub fn are_calm(&self) -> bool {
        matches!(self.state, State::Calm(_))
    }

    /// All faults so far.
    pub fn deeds(&self) -> &[Deed] {
        &self.deeds
    }
}

#[derive(Default)]
struct Seen {
    /// When the last look began that found all whole.
    whole: Option<Instant>,
    missing: String,
}

/// Looks from time to time whether the cluster is whole.
struct Whole {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Whole {
    fn watch(bootstrap: &str) -> Result<Self> {
        let look = Look::at(bootstrap)?;
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (shared, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                let missing = look.missing();
                let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match missing {
                    Ok(None) => seen.whole = Some(began),
                    Ok(Some(missing)) => (seen.whole, seen.missing) = (None, missing),
                    Err(error) => (seen.whole, seen.missing) = (None, error.to_string()),
                }
                drop(seen);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        Ok(Self { seen, stop })
    }

    /// A look that began after that moment found all whole; else what is missing.
    fn since(&self, moment: Instant) -> Result<(), String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.whole {
            Some(whole) if whole > moment => Ok(()),
            Some(_) => Err("nobody has looked yet".to_owned()),
            None => Err(seen.missing.clone()),
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
