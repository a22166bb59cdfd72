//! A worker that has little to do, and the share of a core that it takes all the same.

use super::measure::{cpu_seconds, peak_memory_mib};
use super::race::READINGS;
use super::worker;
use crate::client::{self, Committed, Sender};
use crate::leash::Leashed;
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Where means go.
const MEANS: &str = "bench_means";
/// Time that a worker may take for its first records, and to end.
const MINUTES: Duration = Duration::from_secs(180);
/// Until what a start and first records bring is over.
const SETTLE: Duration = Duration::from_secs(15);

/// The topics that readings come from and means go to, with so many partitions each.
pub fn make_topics(bootstrap: &str, partitions: i32) -> Result<()> {
    client::create_topic(bootstrap, READINGS, partitions, &[("retention.ms", "-1")])?;
    client::create_topic(bootstrap, MEANS, partitions, &[])
}

/// A worker that has taken a reading of each partition, and has come to rest.
pub struct Idle {
    process: Leashed,
    sender: Sender,
    partitions: i32,
    _dir: TempDir,
}

impl Idle {
    /// Starts `program`, of this build or of the one in `programs`, as `app`.
    pub fn start(
        programs: Option<&Path>,
        program: &str,
        app: &str,
        bootstrap: &str,
        partitions: i32,
        more: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let mut command = worker::command(programs, program, app, bootstrap, &data);
        more(&mut command);
        let idle = Self {
            process: Leashed::start(&command, dir.path().join("log"))?,
            sender: Sender::new(bootstrap)?,
            partitions,
            _dir: dir,
        };
        idle.rest(app, bootstrap)?;
        Ok(idle)
    }

    fn rest(&self, app: &str, bootstrap: &str) -> Result<()> {
        let until = Instant::now() + MINUTES;
        let patient = |what: &str| {
            ensure!(Instant::now() < until, "{what}:\n{}", self.process.output());
            std::thread::sleep(Duration::from_millis(200));
            Ok(())
        };
        let committed = loop {
            // The group is there once the worker is.
            match Committed::of(bootstrap, app, READINGS) {
                Ok(committed) => break committed,
                Err(_) => patient("no group")?,
            }
        };
        let before = client::end_offsets(bootstrap, READINGS, client::Isolation::Uncommitted)?;
        let all = before.iter().sum::<i64>() + i64::from(self.partitions);
        self.one_each()?;
        while committed.total()? < all {
            patient("not read")?;
        }
        std::thread::sleep(SETTLE);
        Ok(())
    }

    /// Returns the share of a core that it takes while nothing comes, in percent.
    pub fn without_input(&self, seconds: u64) -> Result<f64> {
        self.share(|| {
            std::thread::sleep(Duration::from_secs(seconds));
            Ok(())
        })
    }

    /// Returns the share of a core that it takes with a record a second in each partition, in percent.
    pub fn with_one_a_second(&self, seconds: u64) -> Result<f64> {
        self.share(|| {
            let began = Instant::now();
            for second in 1..=seconds {
                self.one_each()?;
                let next = Duration::from_secs(second);
                std::thread::sleep(next.saturating_sub(began.elapsed()));
            }
            Ok(())
        })
    }

    fn share(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let (began, cpu) = (Instant::now(), cpu_seconds(self.process.pid())?);
        work()?;
        let spent = cpu_seconds(self.process.pid())? - cpu;
        Ok(spent / began.elapsed().as_secs_f64() * 100.0)
    }

    /// Its largest resident size so far, in MiB.
    pub fn peak_mib(&self) -> u64 {
        peak_memory_mib(self.process.pid()).unwrap_or(0)
    }

    /// Ends it in order.
    pub fn end(mut self) -> Result<()> {
        self.process.signal("TERM")?;
        self.process.wait(MINUTES)?;
        self.sender.finish()
    }

    /// Sends a reading of now to each partition.
    fn one_each(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        for partition in 0..self.partitions {
            let value = format!("{{\"datetime\":{now},\"voltage\":{}.5}}", 200 + partition);
            let key = format!("meter-{partition}");
            self.sender.send(
                READINGS,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                Some(partition),
            )?;
        }
        Ok(())
    }
}
