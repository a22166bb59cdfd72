//! Input that keeps coming while faults happen: the readings of several meters.

use crate::client::Sender;
use crate::data::{self, Hours, Reading};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The readings every meter sends; meter n reads n volts more.
pub struct Meters {
    pub readings: Vec<Reading>,
    pub meters: usize,
}

impl Meters {
    fn name(meter: usize) -> String {
        format!("meter-{meter}")
    }

    fn reading(&self, ix: usize, meter: usize) -> Reading {
        let reading = self.readings[ix];
        Reading {
            voltage: reading.voltage + meter as f64,
            ..reading
        }
    }

    /// How many records that makes.
    pub fn len(&self) -> usize {
        self.readings.len() * self.meters
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the hours of each meter must be.
    pub fn expected(&self) -> BTreeMap<String, Hours> {
        let hours =
            |meter| data::hourly((0..self.readings.len()).map(|ix| self.reading(ix, meter)));
        (0..self.meters)
            .map(|meter| (Self::name(meter), hours(meter)))
            .collect()
    }

    /// Sends everything in the order of time, at most `per_second` records.
    pub fn send(&self, bootstrap: &str, topic: &str, per_second: u64) -> Result<()> {
        self.send_until(bootstrap, topic, per_second, &AtomicBool::new(false))
    }

    fn send_until(
        &self,
        bootstrap: &str,
        topic: &str,
        per_second: u64,
        stop: &AtomicBool,
    ) -> Result<()> {
        let (sender, start) = (Sender::new(bootstrap)?, Instant::now());
        let mut sent = 0;
        for ix in 0..self.readings.len() {
            for meter in 0..self.meters {
                let value = self.reading(ix, meter).json();
                sender.send(
                    topic,
                    Some(Self::name(meter).as_bytes()),
                    Some(value.as_bytes()),
                    None,
                )?;
                sent += 1;
            }
            let due = Duration::from_micros(sent * 1_000_000 / per_second);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        sender.finish()
    }

    /// The same on a thread of its own.
    pub fn feed(self: &Arc<Self>, bootstrap: &str, topic: &str, per_second: u64) -> Feed {
        let (meters, bootstrap, topic) = (self.clone(), bootstrap.to_owned(), topic.to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let send = move || meters.send_until(&bootstrap, &topic, per_second, &stopped);
        Feed {
            thread: Some(std::thread::spawn(send)),
            stop,
        }
    }
}

/// A feed that runs. Dropping it, as a failing test does, stops it.
pub struct Feed {
    thread: Option<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
}

impl Feed {
    /// Whether more is to come.
    pub fn goes_on(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until all is sent and delivered.
    pub fn finish(mut self) -> Result<()> {
        self.thread
            .take()
            .expect("joined once")
            .join()
            .expect("the feed panicked")
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
