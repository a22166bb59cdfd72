//! Random histories of a group: members come, leave, are killed and stopped, the broker is restarted. When that is
//! over, those who are left share one generation.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{House, JoinAnswer, SyncAnswer, who};
use crate::groups::{Joined, Who};
use crate::wire::Code;

#[derive(Debug, Clone)]
enum Step {
    Come,
    /// Which member, and what happens to it.
    Leave(usize),
    Kill(usize),
    /// Stopped for so many tenths of a second, then it goes on as if nothing had been.
    Stop(usize, u64),
    Restart,
    /// Tenths of a second.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Come),
        1 => (0usize..5).prop_map(Step::Leave),
        2 => (0usize..5).prop_map(Step::Kill),
        1 => (0usize..5, 1u64..150).prop_map(|(member, tenths)| Step::Stop(member, tenths)),
        1 => Just(Step::Restart),
        6 => (1u64..30).prop_map(Step::Pass),
    ]
}

/// Where a client stands, as librdkafka goes about it.
enum State {
    Out,
    Joining(String, JoinAnswer),
    Syncing(Joined, SyncAnswer),
    In(Joined),
}

struct Client {
    state: State,
    stopped: u64,
}

impl Client {
    /// A tenth of a second of its life.
    fn live(&mut self, house: &mut House) {
        if self.stopped > 0 {
            self.stopped -= 1;
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Out);
        self.state = match state {
            State::Out => match house.ask("", None, &["range"]).try_recv() {
                Ok(Err(refused)) if refused.code == Code::MemberIdRequired => {
                    join(house, refused.member)
                }
                _ => State::Out,
            },
            State::Joining(id, mut answer) => match answer.try_recv() {
                Ok(Ok(joined)) => {
                    let all: Vec<_> = joined
                        .members
                        .iter()
                        .map(|(id, _, _)| (id.clone(), "part"))
                        .collect();
                    let all: Vec<_> = all.iter().map(|(id, part)| (id.as_str(), *part)).collect();
                    let answer = house.sync(&joined, &all);
                    State::Syncing(joined, answer)
                }
                Ok(Err(refused)) if refused.code == Code::RebalanceInProgress => join(house, id),
                Ok(Err(_)) => State::Out,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => State::Joining(id, answer),
                Err(_) => join(house, id),
            },
            State::Syncing(joined, mut answer) => match answer.try_recv() {
                Ok(Ok(synced)) => {
                    assert_eq!(synced.assignment, "part", "everybody has a part");
                    State::In(joined)
                }
                Ok(Err(Code::RebalanceInProgress)) => join(house, joined.member),
                Ok(Err(_)) => State::Out,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {
                    State::Syncing(joined, answer)
                }
                Err(_) => join(house, joined.member),
            },
            State::In(joined) => match house.beat(&joined) {
                Ok(()) => State::In(joined),
                Err(Code::RebalanceInProgress) => join(house, joined.member),
                Err(_) => State::Out,
            },
        };
    }

    fn id(&self) -> Option<Who> {
        match &self.state {
            State::In(joined) | State::Syncing(joined, _) => Some(who(joined)),
            State::Joining(id, _) => Some(Who {
                member: id.clone(),
                ..Who::default()
            }),
            State::Out => None,
        }
    }
}

fn join(house: &mut House, id: String) -> State {
    let answer = house.ask(&id, None, &["range"]);
    State::Joining(id, answer)
}

fn pass(house: &mut House, clients: &mut [Client], tenths: u64) {
    for _ in 0..tenths {
        house.pass(100);
        clients.iter_mut().for_each(|client| client.live(house));
    }
}

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut house = House::new(Duration::ZERO);
    let mut clients: Vec<Client> = Vec::new();
    // Answers that nobody will read, for the connection of a killed client is not noticed while it waits.
    let mut forgotten = Vec::new();
    for step in steps {
        match *step {
            Step::Come if clients.len() < 5 => clients.push(Client {
                state: State::Out,
                stopped: 0,
            }),
            Step::Leave(at) if at < clients.len() => {
                if let Some(who) = clients.remove(at).id() {
                    let _ = house.groups.leave("g", &who, house.now);
                }
            }
            Step::Kill(at) if at < clients.len() => forgotten.push(clients.remove(at)),
            Step::Stop(at, tenths) if at < clients.len() => clients[at].stopped = tenths,
            Step::Restart => house.restart(),
            Step::Pass(tenths) => pass(&mut house, &mut clients, tenths),
            Step::Come | Step::Leave(_) | Step::Kill(_) | Step::Stop(..) => {}
        }
    }
    clients.iter_mut().for_each(|client| client.stopped = 0);
    pass(&mut house, &mut clients, 600);
    let expected = if clients.is_empty() {
        ["Empty", "none"]
    } else {
        ["Stable", "Stable"]
    };
    prop_assert!(
        expected.contains(&house.state()),
        "{} with {} members",
        house.state(),
        clients.len()
    );
    let mut generations = BTreeSet::new();
    let mut members = BTreeSet::new();
    for client in &clients {
        let State::In(joined) = &client.state else {
            return Err(TestCaseError::fail(
                "a member is not in the group a minute after the last event",
            ));
        };
        generations.insert(joined.generation);
        members.insert(joined.member.clone());
    }
    prop_assert!(generations.len() <= 1, "{:?}", generations);
    let known = house
        .groups
        .describe("g")
        .map(|group| group.members)
        .unwrap_or_default();
    prop_assert_eq!(
        known.into_iter().map(|it| it.id).collect::<BTreeSet<_>>(),
        members
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn those_who_are_left_share_one_generation(steps in proptest::collection::vec(step(), 1..40)) {
        run(&steps)?;
    }
}
