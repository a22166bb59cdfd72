//! Input that keeps coming while faults happen.

use crate::client::Sender;
use crate::data::{self, Hours, Reading};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A record to send. Without a partition its key decides.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub key: String,
    pub value: String,
    pub partition: Option<i32>,
}

/// A feed that runs on a thread of its own. Dropping it, as a failing test does, stops it.
pub struct Feed {
    thread: Option<JoinHandle<Result<()>>>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Feed {
    /// Sends the records in their order, at most `per_second`.
    pub fn start<I>(bootstrap: &str, topic: &str, records: I, per_second: u64) -> Self
    where
        I: IntoIterator<Item = Outgoing, IntoIter: Send> + 'static,
    {
        let topic: Arc<str> = topic.into();
        let records = records
            .into_iter()
            .map(move |record| (Arc::clone(&topic), record));
        Self::start_all(bootstrap, records, per_second)
    }

    /// The same with records of several topics, which stay together: one client sends them all.
    pub fn start_all<I, T>(bootstrap: &str, records: I, per_second: u64) -> Self
    where
        I: IntoIterator<Item = (T, Outgoing), IntoIter: Send> + 'static,
        T: AsRef<str>,
    {
        let (bootstrap, records) = (bootstrap.to_owned(), records.into_iter());
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let send = move || send(&bootstrap, records, per_second, &stopped, &counted);
        Self {
            thread: Some(std::thread::spawn(send)),
            stop,
            sent,
        }
    }

    /// Records handed to the client so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

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

    /// Stops here, and waits until what was sent is delivered.
    pub fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish()
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

fn send<T: AsRef<str>>(
    bootstrap: &str,
    records: impl IntoIterator<Item = (T, Outgoing)>,
    per_second: u64,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> Result<()> {
    let (sender, start) = (Sender::one_by_one(bootstrap)?, Instant::now());
    for (sent, (topic, record)) in records.into_iter().enumerate() {
        let (key, value) = (record.key.as_bytes(), record.value.as_bytes());
        sender.send(topic.as_ref(), Some(key), Some(value), record.partition)?;
        count.store(sent as u64 + 1, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let due = Duration::from_micros(sent as u64 * 1_000_000 / per_second);
        let early = due.saturating_sub(start.elapsed());
        if early > Duration::from_millis(2) {
            std::thread::sleep(early);
        }
    }
    sender.finish()
}

/// The readings every meter sends; meter n reads n volts more.
pub struct Meters {
    pub readings: Vec<Reading>,
    pub meters: usize,
}

impl Meters {
    fn name(meter: usize) -> String {
        format!("meter-{meter}")
    }

    fn reading(reading: Reading, meter: usize) -> Reading {
        Reading {
            voltage: reading.voltage + meter as f64,
            ..reading
        }
    }

    /// What the hours of each meter must be.
    pub fn expected(&self) -> BTreeMap<String, Hours> {
        let readings = |meter| {
            self.readings
                .iter()
                .map(move |reading| Self::reading(*reading, meter))
        };
        (0..self.meters)
            .map(|meter| (Self::name(meter), data::hourly(readings(meter))))
            .collect()
    }

    /// All of them, in the order of time.
    pub fn records(&self) -> Vec<Outgoing> {
        let of = |reading: &Reading, meter| Outgoing {
            key: Self::name(meter),
            value: Self::reading(*reading, meter).json(),
            partition: None,
        };
        self.readings
            .iter()
            .flat_map(|reading| (0..self.meters).map(move |meter| of(reading, meter)))
            .collect()
    }

    /// Feeds all of them within about `seconds`.
    pub fn feed(&self, bootstrap: &str, topic: &str, seconds: u64) -> Feed {
        let records = self.records();
        let per_second = records.len() as u64 / seconds;
        Feed::start(bootstrap, topic, records, per_second.max(1))
    }

    /// Sends all of them as fast as it goes.
    pub fn send(&self, bootstrap: &str, topic: &str) -> Result<()> {
        Feed::start(bootstrap, topic, self.records(), u64::MAX).finish()
    }
}
