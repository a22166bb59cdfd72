//! A fixture: groups on a disk of their own, with a clock of their own, and clients' usual moves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::groups::{Commit, CommitItem, Groups, Join, Joined, NotJoined, Sync, Synced, Who};
use crate::wire::Code;

pub(super) type JoinAnswer = oneshot::Receiver<Result<Joined, NotJoined>>;
pub(super) type SyncAnswer = oneshot::Receiver<Result<Synced, Code>>;

pub(super) struct House {
    pub(super) directory: tempfile::TempDir,
    pub(super) groups: Groups,
    pub(super) now: Instant,
}

impl House {
    pub(super) fn new(initial_delay: Duration) -> Self {
        let (directory, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let groups = Groups::open(directory.path(), initial_delay, now).unwrap();
        Self {
            directory,
            groups,
            now,
        }
    }

    pub(super) fn restart(&mut self) {
        self.groups = Groups::open(self.directory.path(), Duration::ZERO, self.now).unwrap();
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.groups.tick(self.now);
    }

    pub(super) fn ask(
        &mut self,
        member: &str,
        instance: Option<&str>,
        protocols: &[&str],
    ) -> JoinAnswer {
        let join = Join {
            group: "g".into(),
            member: member.into(),
            instance: instance.map(str::to_owned),
            client: "c".into(),
            host: "/127.0.0.1".into(),
            session_timeout: Duration::from_secs(6),
            rebalance_timeout: Duration::from_secs(10),
            protocol_type: "consumer".into(),
            protocols: protocols
                .iter()
                .map(|it| ((*it).to_owned(), Bytes::from_static(b"topics")))
                .collect(),
            id_first: true,
            may_skip_assignment: false,
        };
        let (reply, answer) = oneshot::channel();
        self.groups.join(join, reply, self.now);
        answer
    }

    /// Joins under the id it is given first.
    pub(super) fn join(&mut self) -> (String, JoinAnswer) {
        let refused = self
            .ask("", None, &["range"])
            .try_recv()
            .unwrap()
            .unwrap_err();
        assert_eq!(refused.code, Code::MemberIdRequired);
        let answer = self.ask(&refused.member, None, &["range"]);
        (refused.member, answer)
    }

    pub(super) fn sync(
        &mut self,
        joined: &Joined,
        assignments: &[(&str, &'static str)],
    ) -> SyncAnswer {
        let assignments = assignments
            .iter()
            .map(|(id, it)| ((*id).to_owned(), Bytes::from_static(it.as_bytes())));
        let sync = Sync {
            group: "g".into(),
            who: who(joined),
            protocol_type: None,
            protocol: None,
            assignments: assignments.collect(),
        };
        let (reply, answer) = oneshot::channel();
        self.groups.sync(sync, reply, self.now);
        answer
    }

    /// A stable group of one member.
    pub(super) fn of_one(&mut self) -> Joined {
        let joined = self.join().1.try_recv().unwrap().unwrap();
        let id = joined.member.clone();
        self.sync(&joined, &[(&id, "all")])
            .try_recv()
            .unwrap()
            .unwrap();
        joined
    }

    /// A stable group of two members, leader first.
    pub(super) fn of_two(&mut self) -> (Joined, Joined) {
        let first = self.of_one();
        let (second, mut second_answer) = self.join();
        assert!(second_answer.try_recv().is_err(), "it waits for the other");
        assert_eq!(self.beat(&first), Err(Code::RebalanceInProgress));
        let first = self
            .ask(&first.member, None, &["range"])
            .try_recv()
            .unwrap()
            .unwrap();
        let second_joined = second_answer.try_recv().unwrap().unwrap();
        assert_eq!((first.generation, second_joined.generation), (2, 2));
        assert_eq!((&first.leader, first.members.len()), (&first.member, 2));
        assert_eq!(
            (&second_joined.leader, second_joined.members.len()),
            (&first.member, 0)
        );
        let mut waits = self.sync(&second_joined, &[]);
        assert!(
            waits.try_recv().is_err(),
            "it waits for the leader's assignment"
        );
        let own = self
            .sync(&first, &[(&first.member, "a"), (&second, "b")])
            .try_recv()
            .unwrap()
            .unwrap();
        assert_eq!(
            (
                &own.assignment[..],
                &waits.try_recv().unwrap().unwrap().assignment[..]
            ),
            (&b"a"[..], &b"b"[..])
        );
        (first, second_joined)
    }

    pub(super) fn beat(&mut self, joined: &Joined) -> Result<(), Code> {
        self.groups.heartbeat("g", &who(joined), self.now)
    }

    pub(super) fn commit(&mut self, who: Who, offset: i64) -> Result<(), Code> {
        self.groups.commit(commit(who, offset), self.now)
    }

    pub(super) fn committed(&self, stable: bool) -> (i64, Option<Code>) {
        let fetched = self
            .groups
            .fetch("g", Some(vec![("t".into(), vec![0])]), stable);
        (fetched[0].1[0].offset, fetched[0].1[0].code)
    }

    pub(super) fn state(&self) -> &'static str {
        self.groups
            .describe("g")
            .map_or("none", |group| group.state)
    }
}

pub(super) fn who(joined: &Joined) -> Who {
    Who {
        member: joined.member.clone(),
        instance: None,
        generation: joined.generation,
    }
}

pub(super) fn nobody() -> Who {
    Who {
        generation: -1,
        ..Who::default()
    }
}

pub(super) fn commit(who: Who, offset: i64) -> Commit {
    let item = CommitItem {
        topic: "t".into(),
        partition: 0,
        offset,
        leader_epoch: 0,
        metadata: "meta".into(),
    };
    Commit {
        group: "g".into(),
        who,
        items: vec![item],
    }
}
