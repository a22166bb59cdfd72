//! Three nodes of Apache Kafka on loopback, each broker and controller: three copies of everything, of which one may be
//! missing. Each has a second listener behind a [`Wire`], for a client whose connections are to be cut or slow.

use crate::leash::Leashed;
use crate::node::{Basics, Node, SMALLER};
use crate::wire::Wire;
use crate::{cache, client, coordinators, net, skip};
use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataPartition;
use std::time::{Duration, Instant};

pub const NODES: usize = 3;
/// How long a node that is silent counts as there.
pub const BROKER_SESSION: Duration = Duration::from_secs(4);
/// How long a copy that does not follow counts as in sync.
pub const REPLICA_LAG: Duration = Duration::from_secs(10);
/// How long questions to a node may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the cluster may take to be whole at its start.
const WHOLE: Duration = Duration::from_secs(90);

/// The running cluster; nodes are numbered from 0. Dropping it kills it and removes its data.
pub struct Cluster {
    nodes: Vec<Node>,
    wires: Vec<Wire>,
}

impl Cluster {
    /// The cluster, or `None` after saying why there is none.
    pub fn start_or_skip() -> Option<Self> {
        if let Some(reason) = cache::java_missing() {
            skip::skip_or_fail(reason);
            return None;
        }
        Some(Self::start().expect("three nodes of Apache Kafka start"))
    }

    /// Formats three directories, starts all nodes and waits until each partition that there is has all its copies.
    pub fn start() -> Result<Self> {
        cache::kafka_classpath()?;
        net::until_ports_are_free(Self::try_start)
    }

    fn try_start() -> Result<Self> {
        let ports = net::lasting_ports(4 * NODES);
        let (plain, rest) = ports.split_at(NODES);
        let (controllers, rest) = rest.split_at(NODES);
        let (behind, before) = rest.split_at(NODES);
        let voters: Vec<String> = (0..NODES)
            .map(|node| format!("{}@127.0.0.1:{}", node + 1, controllers[node]))
            .collect();
        let voters = voters.join(",");
        let make = |node: usize| {
            let dir = Node::dir()?;
            let basics = Basics {
                id: node + 1,
                voters: &voters,
                replicas: NODES,
                in_sync: NODES - 1,
            };
            let mut properties = basics.properties(dir.path());
            properties += &settings(plain[node], controllers[node], behind[node], before[node]);
            Node::format(dir, &properties, &[], plain[node], SMALLER)
        };
        let nodes = std::thread::scope(|scope| {
            let made: Vec<_> = (0..NODES)
                .map(|node| scope.spawn(move || make(node)))
                .collect();
            let made = made.into_iter().map(|made| made.join());
            made.map(|made| made.expect("formatting does not panic"))
                .collect::<Result<Vec<_>>>()
        })?;
        let wires = (0..NODES).map(|node| Wire::lay(before[node], behind[node]));
        let mut cluster = Self {
            nodes,
            wires: wires.collect::<Result<_>>()?,
        };
        // All before any is waited for: one alone is not a quorum.
        for node in &mut cluster.nodes {
            node.begin()?;
        }
        for node in &mut cluster.nodes {
            node.wait()?;
        }
        cluster.wait_until_whole(WHOLE)?;
        Ok(cluster)
    }

    /// `host:port` of each node.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(Node::address).collect();
        addresses.join(",")
    }

    /// The same behind the wires.
    pub fn wired(&self) -> String {
        let addresses: Vec<String> = self.wires.iter().map(Wire::address).collect();
        addresses.join(",")
    }

    /// The wire to a node.
    pub fn wire(&self, node: usize) -> &Wire {
        &self.wires[node]
    }

    /// SIGKILL; the data stays.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Asks a node to end, which hands its partitions over before.
    pub fn ask_to_stop(&mut self, node: usize) -> Result<()> {
        self.nodes[node].process().signal("TERM")
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self, node: usize, within: Duration) -> Result<()> {
        self.ask_to_stop(node)?;
        self.nodes[node].process().wait(within)?;
        Ok(())
    }

    /// SIGSTOP: it is silent and its connections stay.
    pub fn freeze(&mut self, node: usize) -> Result<()> {
        self.nodes[node].process().signal("STOP")
    }

    /// It goes on.
    pub fn thaw(&mut self, node: usize) -> Result<()> {
        self.nodes[node].process().signal("CONT")
    }

    /// Starts a node again with its data, without waiting for it.
    pub fn begin(&mut self, node: usize) -> Result<()> {
        self.nodes[node].begin()
    }

    /// Starts a node again, and waits until it serves.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        self.begin(node)?;
        self.nodes[node].wait()
    }

    /// Whether a node serves.
    ///
    /// # Errors
    /// Its process has ended.
    pub fn serves(&mut self, node: usize) -> Result<bool> {
        self.nodes[node].serves()
    }

    pub fn runs(&mut self, node: usize) -> bool {
        self.nodes[node].runs()
    }

    pub fn process(&mut self, node: usize) -> &mut Leashed {
        self.nodes[node].process()
    }

    /// The node that leads most partitions of the topics with this beginning.
    pub fn leads_most(&self, topics: &str) -> Result<usize> {
        let mut led = [0; NODES];
        Look::at(&self.bootstrap())?.each_partition(|topic, partition| {
            let leader = usize::try_from(partition.leader() - 1).ok();
            if topic.starts_with(topics)
                && let Some(led) = leader.and_then(|leader| led.get_mut(leader))
            {
                *led += 1;
            }
        })?;
        let most = (0..NODES).max_by_key(|node| led[*node]);
        most.filter(|node| led[*node] > 0)
            .with_context(|| format!("nobody leads a topic that begins with {topics:?}"))
    }

    /// The node that coordinates a group.
    pub fn coordinates_group(&self, group: &str) -> Result<usize> {
        let until = Instant::now() + ANSWER;
        loop {
            let mut last = None;
            for node in &self.nodes {
                match coordinators::of_group(&node.address(), group, ANSWER) {
                    Ok(id) => return Ok(usize::try_from(id - 1)?),
                    Err(error) => last = Some(error),
                }
            }
            if Instant::now() > until {
                let error = last.unwrap_or_else(|| anyhow::anyhow!("nobody was asked"));
                return Err(error.context(format!("the coordinator of {group}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The node that coordinates most of the transactional ids with this beginning.
    pub fn coordinates_transactions(&self, ids: &str) -> Result<usize> {
        let mut most = None;
        for (node, asked) in self.nodes.iter().enumerate() {
            let found = coordinators::transactional_ids(&asked.address(), ANSWER)?;
            let found = found.iter().filter(|id| id.starts_with(ids)).count();
            if found > most.map_or(0, |(_, most)| most) {
                most = Some((node, found));
            }
        }
        let (node, _) = most.with_context(|| format!("no transactional id {ids}.. is known"))?;
        Ok(node)
    }

    /// Waits until all nodes are there and each partition has all its copies in sync.
    pub fn wait_until_whole(&self, within: Duration) -> Result<()> {
        let (look, until) = (Look::at(&self.bootstrap())?, Instant::now() + within);
        loop {
            let missing = look.missing();
            match missing {
                Ok(None) => return Ok(()),
                _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(200)),
                Ok(Some(missing)) => bail!("not whole after {within:?}: {missing}"),
                Err(error) => return Err(error).context("nobody says whether it is whole"),
            }
        }
    }
}

/// A client that looks at the cluster's metadata.
pub struct Look(BaseConsumer);

impl Look {
    pub fn at(bootstrap: &str) -> Result<Self> {
        Ok(Self(client::config(bootstrap).create()?))
    }

    fn each_partition(&self, mut see: impl FnMut(&str, &MetadataPartition)) -> Result<usize> {
        let metadata = self.0.fetch_metadata(None, ANSWER)?;
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                see(topic.name(), partition);
            }
        }
        Ok(metadata.brokers().len())
    }

    /// The first thing that is missing for the cluster to be whole; `None` when it is.
    pub fn missing(&self) -> Result<Option<String>> {
        let mut missing = None;
        let nodes = self.each_partition(|topic, partition| {
            let (copies, in_sync) = (partition.replicas().len(), partition.isr().len());
            if partition.leader() < 0 || in_sync < copies {
                missing = Some(format!(
                    "{topic}[{}] has leader {} and {in_sync} of {copies} copies in sync",
                    partition.id(),
                    partition.leader()
                ));
            }
        })?;
        if nodes < NODES {
            missing = Some(format!("{nodes} nodes of {NODES} are there"));
        }
        Ok(missing)
    }
}

fn settings(plain: u16, controller: u16, behind: u16, before: u16) -> String {
    let (session, lag) = (BROKER_SESSION.as_millis(), REPLICA_LAG.as_millis());
    format!(
        "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},WIRED://127.0.0.1:{behind}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{plain},WIRED://127.0.0.1:{before}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,WIRED:PLAINTEXT\n\
         broker.session.timeout.ms={session}\nbroker.heartbeat.interval.ms=500\nreplica.lag.time.max.ms={lag}\n"
    )
}
