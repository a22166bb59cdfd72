//! Which fault happens when: a pure function of the seed.

use crate::chaos::Chaos;
use crate::cluster::NODES;
use std::time::Duration;

/// How much longer the pauses between workers' faults are on a cluster: what its nodes do shall be seen alone too.
const SLOWLY: u64 = 3;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL of a worker, which starts again.
    Kill,
    /// A worker stopped past its session, then continued: a zombie that must not write.
    Freeze,
    /// The same, stopped between two commits of one closing: its next commit would have no new offset.
    Amid,
    /// One more worker that comes and leaves in order.
    Join,
    /// SIGKILL of the broker, and its restart.
    Broker,
    /// SIGKILL of a node of the cluster.
    NodeKill,
    /// A node stopped for less than the sessions of broker and workers.
    NodePause,
    /// A node stopped for longer than them.
    NodeFreeze,
    /// SIGTERM of each node, one after the other, each when the one before is in sync again.
    Rolling,
    /// SIGKILL of the node that leads most partitions.
    Leader,
    /// SIGKILL of the node that coordinates the group.
    Coordinator,
    /// SIGKILL of the node that coordinates most of the workers' transactions.
    Transactions,
    /// SIGKILL of two nodes at once: nothing can be written until one is back.
    Two,
    /// Worker 0's connections to a node end, and none are made.
    Cut,
    /// All that goes between worker 0 and a node takes longer.
    Slow,
}

impl Kind {
    /// Faults of workers.
    pub const WORKERS: [Kind; 4] = [Kind::Kill, Kind::Freeze, Kind::Amid, Kind::Join];
    /// Those, and that of a single broker.
    pub const SINGLE: [Kind; 5] = [
        Kind::Kill,
        Kind::Freeze,
        Kind::Amid,
        Kind::Join,
        Kind::Broker,
    ];
    /// Faults of a cluster's nodes, of which there is one at a time.
    pub const NODES: [Kind; 10] = [
        Kind::NodeKill,
        Kind::NodePause,
        Kind::NodeFreeze,
        Kind::Rolling,
        Kind::Leader,
        Kind::Coordinator,
        Kind::Transactions,
        Kind::Two,
        Kind::Cut,
        Kind::Slow,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Kind> {
        Kind::SINGLE.into_iter().chain(Kind::NODES)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Freeze => "freeze",
            Kind::Amid => "amid",
            Kind::Join => "join",
            Kind::Broker => "broker",
            Kind::NodeKill => "node-kill",
            Kind::NodePause => "node-pause",
            Kind::NodeFreeze => "node-freeze",
            Kind::Rolling => "rolling",
            Kind::Leader => "leader",
            Kind::Coordinator => "coordinator",
            Kind::Transactions => "transactions",
            Kind::Two => "two",
            Kind::Cut => "cut",
            Kind::Slow => "slow",
        }
    }

    /// All names.
    pub fn names() -> String {
        Kind::all().map(Kind::name).collect::<Vec<_>>().join(", ")
    }

    /// A fault of a cluster's node, or of the way to it.
    pub fn is_of_nodes(self) -> bool {
        Kind::NODES.contains(&self)
    }

    /// How often it is drawn, relative to the others.
    fn weight(self) -> usize {
        match self {
            Kind::Kill => 4,
            Kind::Freeze | Kind::Amid | Kind::Join => 2,
            _ => 1,
        }
    }

    /// From and to: since the fault before. A worker that is killed has had time to keep something.
    fn pause(self) -> (u64, u64) {
        match self {
            Kind::Kill => (4_200, 4_900),
            _ => (1_800, 3_800),
        }
    }

    /// From and to: until what was taken comes back.
    fn lasts(self, on_cluster: bool) -> (u64, u64) {
        match self {
            // Past the session of fifteen seconds that workers have there.
            Kind::Freeze | Kind::Amid if on_cluster => (15_300, 17_500),
            Kind::Kill | Kind::Broker => (0, 1_500),
            // Past the session of two seconds.
            Kind::Freeze | Kind::Amid => (2_300, 4_500),
            Kind::Join => (2_000, 5_000),
            Kind::NodePause => (700, 1_700),
            // Past the broker's session of four seconds and the workers' of fifteen.
            Kind::NodeFreeze => (15_300, 17_500),
            Kind::Cut | Kind::Slow => (3_000, 6_000),
            // Of one node each; with the others gone the last one may take long to end.
            Kind::Rolling => (0, 500),
            Kind::NodeKill | Kind::Leader | Kind::Coordinator | Kind::Transactions | Kind::Two => {
                (0, 3_000)
            }
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Since the start.
    pub at: Duration,
    pub kind: Kind,
    /// The worker, or the node where the kind does not say which; by number.
    pub victim: usize,
    /// Until the victim is back, or the guest leaves.
    pub lasts: Duration,
}

/// Each kind once before any comes again, never more than five seconds apart. On a cluster its nodes have a schedule of
/// their own, and the workers' faults come more slowly.
pub fn schedule(seed: u64, length: Duration, kinds: &[Kind], workers: usize) -> Vec<Fault> {
    let (nodes, others): (Vec<Kind>, Vec<Kind>) = kinds.iter().partition(|kind| kind.is_of_nodes());
    if nodes.is_empty() {
        return one_by_one(seed, length, &others, (workers, 1), false);
    }
    let mut faults = one_by_one(seed, length, &others, (workers, SLOWLY), true);
    faults.extend(one_by_one(!seed, length, &nodes, (NODES, 1), true));
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn one_by_one(
    seed: u64,
    length: Duration,
    kinds: &[Kind],
    (victims, slowly): (usize, u64),
    on_cluster: bool,
) -> Vec<Fault> {
    let mut chaos = Chaos::seeded(seed);
    let mut between = |from: u64, to: u64| from + chaos.below(to - from);
    let bag: Vec<Kind> = kinds
        .iter()
        .flat_map(|kind| std::iter::repeat_n(*kind, kind.weight()))
        .collect();
    let mut first: Vec<Kind> = kinds.to_vec();
    let (mut faults, mut at) = (Vec::new(), 0);
    let end = (length.as_millis() as u64).saturating_sub(1_000);
    while !bag.is_empty() {
        let kind = if first.is_empty() {
            bag[between(0, bag.len() as u64) as usize]
        } else {
            first.swap_remove(between(0, first.len() as u64) as usize)
        };
        let (from, to) = kind.pause();
        at += between(from, to) * slowly;
        if at >= end {
            break;
        }
        let (from, to) = kind.lasts(on_cluster);
        faults.push(Fault {
            at: Duration::from_millis(at),
            kind,
            victim: between(0, victims as u64) as usize,
            lasts: Duration::from_millis(between(from, to)),
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule_of_a_hundred_faults_in_ten_minutes() {
        let ten = Duration::from_secs(600);
        let faults = schedule(1, ten, &Kind::SINGLE, 3);
        assert_eq!(faults, schedule(1, ten, &Kind::SINGLE, 3));
        assert_ne!(faults, schedule(2, ten, &Kind::SINGLE, 3));
        assert!(faults.len() >= 140, "{}", faults.len());
        for kind in Kind::SINGLE {
            assert!(faults[..5].iter().any(|fault| fault.kind == kind));
            assert!(faults.iter().filter(|fault| fault.kind == kind).count() > 3);
        }
        assert!(
            faults
                .windows(2)
                .all(|pair| pair[1].at - pair[0].at <= Duration::from_secs(5))
        );
    }

    #[test]
    fn faults_of_nodes_have_a_schedule_beside_that_of_the_workers() {
        let ten = Duration::from_secs(600);
        let kinds: Vec<Kind> = Kind::WORKERS.into_iter().chain(Kind::NODES).collect();
        let faults = schedule(1, ten, &kinds, 2);
        assert_eq!(faults, schedule(1, ten, &kinds, 2));
        let of_nodes = faults.iter().filter(|fault| fault.kind.is_of_nodes());
        let of_nodes: Vec<Kind> = of_nodes.map(|fault| fault.kind).collect();
        for kind in Kind::NODES {
            assert!(of_nodes[..10].contains(&kind));
        }
        let workers = faults.len() - of_nodes.len();
        assert!((30..80).contains(&workers), "{workers}");
        assert!(faults.is_sorted_by_key(|fault| fault.at));
    }
}
