//! An app under random faults.

use std::cell::Cell;
use std::rc::Rc;

use super::app::TestApp;
use super::random::Random;

/// Steps of a simulation unless it says otherwise.
const STEPS: u32 = 200;
/// What a failure shows of what came before it.
const SHOWN: usize = 12;

/// An app that is about to run under random faults; made by [`TestApp::simulate`].
#[must_use = "a simulation runs with `check`"]
pub struct Simulation<F = fn(&mut TestApp, &mut Random)> {
    seed: u64,
    app: TestApp,
    steps: u32,
    input: Option<F>,
}

/// What happens in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Input,
    Work,
    WorkAll,
    Crash,
    CrashWorker(usize),
    Rebalance,
    FailCommit,
    Store,
    EmptyDisks,
}

impl Step {
    fn by_chance(random: &mut Random, workers: usize) -> Step {
        match random.u8(..100) {
            0..50 => Step::Input,
            50..74 => Step::Work,
            74..79 => Step::WorkAll,
            79..83 => Step::Crash,
            83..87 => Step::CrashWorker(random.usize(..workers)),
            87..91 => Step::Rebalance,
            91..95 => Step::FailCommit,
            95..98 => Step::Store,
            _ => Step::EmptyDisks,
        }
    }
}

impl TestApp {
    /// Runs an app through random faults: crashes of all or of one worker, rebalances, commits that are aborted, stores
    /// that are written now and then, disks that are empty; all in an order that the seed decides. Between them come
    /// inputs of the test's, and each partition works as far as chance has it. At the end everything is worked off, and
    /// the test says what must hold.
    ///
    /// A failure names the seed and shows the last steps. The same seed does the same again; with
    /// `STREAM_SEED` in the environment, [`seeds`] yields that one alone.
    ///
    /// ```
    /// # use stream_runtime::prelude::*;
    /// # use stream_runtime::testing::TestApp;
    /// # use stream_runtime::testing::seeds;
    /// #[table]
    /// #[derive(Clone, Default)]
    /// struct Total { sum: u64 }
    ///
    /// #[record]
    /// struct Balance { sum: u64 }
    ///
    /// #[agent(topic = "deposits", sink = "balances")]
    /// async fn add(amount: Event<serde_json::Value>, mut totals: Table<Total>) -> Balance {
    ///     let amount_ = amount.as_u64().unwrap_or(0);
    ///     let sum = totals.update(amount.key(), |total| { total.sum += amount_; total.sum });
    ///     Balance { sum }
    /// }
    ///
    /// for seed in seeds(20) {
    ///     let sent = std::cell::Cell::new(0);
    ///     TestApp::simulate(seed)
    ///         .app(TestApp::only((add,)).partitions(3).workers(2))
    ///         .input(|app, random| {
    ///             let amount = random.u64(1..100);
    ///             sent.set(sent.get() + amount);
    ///             app.send("deposits", format!("account-{}", random.u8(..5)), serde_json::json!(amount));
    ///         })
    ///         .check(|app| {
    ///             // The largest balance of each account is its last: nothing was lost, nothing counted twice.
    ///             let mut last = std::collections::BTreeMap::new();
    ///             for balance in app.sent::<Balance>("balances") {
    ///                 let best = last.entry(balance.key::<String>()).or_insert(0);
    ///                 *best = balance.sum.max(*best);
    ///             }
    ///             assert!(sent.get() > 0);
    ///             assert_eq!(last.values().sum::<u64>(), sent.get());
    ///         });
    /// }
    /// ```
    pub fn simulate(seed: u64) -> Simulation {
        Simulation {
            seed,
            app: TestApp::new(),
            steps: STEPS,
            input: None,
        }
    }
}

impl<F: FnMut(&mut TestApp, &mut Random)> Simulation<F> {
    /// Sets the app, with its partitions and workers. Default: all agents of the process, one partition, one worker.
    pub fn app(mut self, app: TestApp) -> Self {
        self.app = app;
        self
    }

    /// Sets the number of steps: about half of them are inputs. Default 200.
    pub fn steps(mut self, steps: u32) -> Self {
        self.steps = steps;
        self
    }

    /// Sets what an input is: sends records, moves the clock.
    pub fn input<G: FnMut(&mut TestApp, &mut Random)>(self, input: G) -> Simulation<G> {
        Simulation {
            seed: self.seed,
            app: self.app,
            steps: self.steps,
            input: Some(input),
        }
    }

    /// Runs it, works everything off, and then asks the test whether all is well: a panic says that it is not.
    ///
    /// # Panics
    /// When the check does, or a partition would stop.
    #[track_caller]
    pub fn check(mut self, check: impl FnOnce(&mut TestApp)) {
        let Some(mut input) = self.input.take() else {
            panic!("a simulation needs inputs: `.input(|app, random| app.send(..))`");
        };
        let mut random = Random::with_seed(self.seed);
        let story = Story::new(self.seed, self.steps);
        let workers = self.app.worker_count();
        for _ in 0..self.steps {
            let step = Step::by_chance(&mut random, workers);
            story.tell(step);
            match step {
                Step::Input => input(&mut self.app, &mut random),
                Step::Work => self.app.work_by_chance(&mut random),
                Step::WorkAll => self.app.settle(),
                Step::Crash => self.app.crash_now(),
                Step::CrashWorker(worker) => self.app.crash_worker(worker),
                Step::Rebalance => self.app.rebalance(),
                Step::FailCommit => self.app.fail_next_commit(),
                Step::Store => self.app.store_now(),
                Step::EmptyDisks => self.app.lose_disks_now(),
            }
        }
        self.app.settle();
        story.ended();
        check(&mut self.app);
    }
}

/// Returns the seeds 0 to `count`, or the one in the environment's `STREAM_SEED`.
///
/// # Panics
/// When `STREAM_SEED` is not a number.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("STREAM_SEED")
        .ok()
        .map(|seed| match seed.trim().parse::<u64>() {
            Ok(seed) => seed,
            Err(e) => panic!("STREAM_SEED={seed}: {e}"),
        });
    match one {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    }
}

/// What has happened, told when the test panics.
struct Story {
    seed: u64,
    steps: u32,
    told: Rc<std::cell::RefCell<Vec<Step>>>,
    ended: Cell<bool>,
}

impl Story {
    fn new(seed: u64, steps: u32) -> Self {
        Story {
            seed,
            steps,
            told: Rc::default(),
            ended: Cell::new(false),
        }
    }

    fn tell(&self, step: Step) {
        self.told.borrow_mut().push(step);
    }

    fn ended(&self) {
        self.ended.set(true);
    }

    fn text(&self) -> String {
        let told = self.told.borrow();
        let place = match self.ended.get() {
            true => format!("after all its {} steps", self.steps),
            false => format!("in step {} of {}", told.len(), self.steps),
        };
        let faults: Vec<Step> = told
            .iter()
            .copied()
            .filter(|step| !matches!(step, Step::Input | Step::Work | Step::WorkAll))
            .collect();
        let last = &faults[faults.len().saturating_sub(SHOWN)..];
        format!(
            "simulation with seed {seed} failed {place}; its last faults: {last:?}\n\
             the same again: TestApp::simulate({seed}), or with `seeds(..)` STREAM_SEED={seed} cargo test",
            seed = self.seed
        )
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_names_the_seed_and_the_faults() {
        let story = Story::new(17, 200);
        story.tell(Step::Input);
        story.tell(Step::CrashWorker(1));
        let text = story.text();
        for part in [
            "seed 17 failed in step 2 of 200",
            "[CrashWorker(1)]",
            "TestApp::simulate(17)",
            "STREAM_SEED=17",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        story.ended();
        assert!(story.text().contains("after all its 200 steps"));
    }

    #[test]
    fn every_kind_of_step_comes() {
        let mut random = Random::with_seed(1);
        let steps: Vec<Step> = (0..1_000)
            .map(|_| Step::by_chance(&mut random, 1))
            .collect();
        for kind in [
            Step::Input,
            Step::Work,
            Step::WorkAll,
            Step::Crash,
            Step::CrashWorker(0),
            Step::Rebalance,
            Step::FailCommit,
            Step::Store,
            Step::EmptyDisks,
        ] {
            assert!(steps.contains(&kind), "{kind:?}");
        }
    }
}
