//! Histories of a hop, in the orders that seeds decide: partitions that stall, crashes, rebalances, commits that fail,
//! disks that are empty. One takes as long as twenty of the task's own simulation: a twentieth of
//! `STREAM_SIMULATION_SEEDS` is tried.

use std::cell::{Cell, RefCell};

use super::*;
use crate::testing::Random;

/// Number of seeds, unless the environment says otherwise.
const SEEDS: u64 = 40;

pub(in super::super) fn seeds() -> impl Iterator<Item = u64> {
    let given = std::env::var("STREAM_SIMULATION_SEEDS").ok();
    let count: Option<u64> = given.and_then(|text| text.parse().ok());
    crate::testing::seeds(count.map_or(SEEDS, |count| count.div_ceil(20)))
}

/// Returns a user for each partition.
pub(in super::super) fn users(partitions: i32) -> Vec<String> {
    let user = |partition| {
        let mut users = (0..).map(|i| format!("user-{i}"));
        let there =
            |user: &String| crate::key::partition_of(user.as_bytes(), partitions) == partition;
        users.find(there).expect("one of them")
    };
    (0..partitions).map(user).collect()
}

/// Partitions with an input, of which some hear nothing for a while.
pub(in super::super) struct Stalling {
    users: Vec<String>,
    /// The one that is silent, and for how many inputs more.
    silent: Cell<(usize, u32)>,
}

impl Stalling {
    pub(in super::super) fn new(partitions: i32) -> Self {
        Stalling {
            users: users(partitions),
            silent: Cell::new((usize::MAX, 0)),
        }
    }

    /// Returns who sends next.
    pub(in super::super) fn next(&self, random: &mut Random) -> String {
        let (mut silent, mut left) = self.silent.get();
        if left == 0 {
            (silent, left) = (random.usize(..self.users.len()), random.u32(1..40));
        }
        self.silent.set((silent, left - 1));
        let by = random.usize(..self.users.len());
        let by = match by == silent && self.users.len() > 1 {
            true => (by + 1) % self.users.len(),
            false => by,
        };
        self.users[by].clone()
    }
}

/// Returns the last time of the source that is furthest behind; `None` while one has not begun.
pub(in super::super) fn slowest(
    users: i32,
    sent: &[(String, DateTime<Utc>)],
) -> Option<DateTime<Utc>> {
    let last = self::users(users).into_iter().map(|user| {
        let own = sent.iter().filter(|(by, _)| *by == user);
        own.map(|(_, time)| *time).max()
    });
    last.min().flatten()
}

#[test]
fn a_hop_closes_what_is_over_by_its_slowest_source_once_and_whole() {
    for seed in seeds() {
        let partitions = [4, 1, 7, 2][seed as usize % 4];
        let workers = 1 + (seed / 4) as usize % 3;
        let app = App::new("test").only((count_views, page_hour));
        let app = TestApp::of(app.source_idle(Duration::MAX));
        let (sent, minute) = (RefCell::new(Vec::new()), Cell::new(0));
        let stalling = Stalling::new(partitions);
        TestApp::simulate(seed)
            .app(app.partitions(partitions).workers(workers))
            .input(|app, random| {
                minute.set(minute.get() + random.i64(0..25));
                let time = at(START) + chrono::TimeDelta::minutes(minute.get());
                let page = format!("page-{}", random.u8(..3));
                let (user, view) = (stalling.next(random), Seen { time, page });
                app.send("views", user.as_str(), view.clone());
                sent.borrow_mut().push((user, view));
            })
            .check(|app| {
                let sent = sent.borrow();
                let times: Vec<_> = sent
                    .iter()
                    .map(|(by, view)| (by.clone(), view.time))
                    .collect();
                let slowest = slowest(partitions, &times);
                let mut expect = Counts::new();
                for (_, view) in sent.iter() {
                    let start = view.time.timestamp().div_euclid(3600) * 3600;
                    let start = DateTime::from_timestamp(start, 0).expect("a time");
                    if slowest >= Some(start + chrono::TimeDelta::minutes(61)) {
                        let window = (view.page.clone(), start.to_rfc3339());
                        *expect.entry(window).or_default() += 1;
                    }
                }
                same(told(app), &expect);
                assert_eq!(app.late(), 0);
            });
    }
}
