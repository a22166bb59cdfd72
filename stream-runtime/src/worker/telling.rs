//! Workers tell each other what they have, through a topic of the app.

use super::backoff::Backoff;
use super::handle::WorkerHandle;
use super::settings::WorkerSettings;
use super::shutdown_signal::ShutdownSignal;
use super::workers::FORMAT;
use super::workers::Held;
use super::workers::SILENT;
use super::workers::Told;
use super::workers::Workers;
use super::workers::{HOP, WATERMARKS};
use crate::error::{Error, Kind};
use crate::kafka::{
    Admin, Batch, Fault, Fetched, Isolation, Outgoing, PartitionQueue, Properties, Reader, Sender,
    TopicPartitionOffset, TopicSettings, Wake,
};
use crate::topology::Plan;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How often a worker tells what it has, changed or not.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// Least time between two words: partitions come and go together.
const LEAST_TELL_INTERVAL: Duration = Duration::from_millis(50);

/// How long the last word may take.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(2);

/// Records read at once.
const BATCH_RECORDS: usize = 256;

/// How long a start waits for what others have told.
const HEARING_TIMEOUT: Duration = Duration::from_secs(10);

/// Follows the topic until its stop is asked for.
struct Follower {
    topic: Arc<str>,
    app: String,
    properties: Properties,
    workers: Workers,
    wake: Wake,
    reading: Option<Reading>,
    next: Option<i64>,
    target: i64,
    backoff: Backoff,
    batch: Batch,
}

struct Reading {
    // Field order is drop order: the queue before the client.
    queue: PartitionQueue,
    reader: Reader,
}

impl Follower {
    fn new(app: &str, topic: &str, properties: &Properties, workers: &Workers) -> Self {
        let mut properties = properties.clone();
        // The broker answers when there is something: until then nobody needs to wake.
        let _ = properties.set("fetch.wait.max.ms", "5000");
        let _ = properties.set("queued.min.messages", "1000");
        Follower {
            topic: topic.into(),
            app: app.to_owned(),
            properties,
            workers: workers.clone(),
            wake: Wake::new(),
            reading: None,
            next: None,
            target: 0,
            backoff: Backoff::default(),
            batch: Batch::new(BATCH_RECORDS),
        }
    }

    fn open(&self, admin: &Admin) -> Result<(Reading, i64, i64), Fault> {
        let partition = [(Arc::clone(&self.topic), 0)];
        let (low, end) = (admin.starts(&partition)?[0], admin.ends(&partition)?[0]);
        let next = self.next.filter(|next| (low..=end).contains(next));
        let next = next.unwrap_or(low);
        let reader = Reader::new(
            &self.properties,
            &self.app,
            Isolation::Uncommitted,
            &self.wake,
        )?;
        let mut queues =
            reader.add(&[TopicPartitionOffset::new(Arc::clone(&self.topic), 0, next)])?;
        let queue = queues.pop().ok_or_else(|| {
            Fault::new(
                crate::kafka::FaultKind::Other,
                "follow the workers",
                "no queue",
            )
        })?;
        Ok((Reading { queue, reader }, next, end))
    }

    /// Takes what has come.
    fn turn(&mut self, admin: &Admin) {
        if self.reading.is_none() && self.backoff.waits(Instant::now()).is_none() {
            match self.open(admin) {
                Ok((reading, next, end)) => {
                    self.backoff.succeed();
                    (self.reading, self.next, self.target) = (Some(reading), Some(next), end);
                }
                Err(fault) => self.failed(&fault),
            }
        }
        let Some(reading) = &self.reading else { return };
        let (mut next, mut fault) = (self.next.unwrap_or(0), None);
        if let Err(error) = reading.reader.serve() {
            fault = Some(error);
        }
        let workers = &self.workers;
        reading
            .queue
            .read(&mut self.batch, |fetched| match fetched {
                Fetched::Record(record) => {
                    next = next.max(record.offset + 1);
                    workers.take(&record);
                }
                Fetched::End { offset } => next = next.max(offset),
                Fetched::Error { code, text } => {
                    fault.get_or_insert(Fault::of_code("follow the workers", code).because(&text));
                }
            });
        self.next = Some(next);
        match fault {
            Some(fault) => self.failed(&fault),
            None if next >= self.target => {
                let mut known = self.workers.lock();
                (known.filled, known.trouble) = (true, None);
                known.next = Some(next);
            }
            None => {}
        }
    }

    fn failed(&mut self, fault: &Fault) {
        if fault.is_out_of_range() {
            self.next = None;
        }
        self.reading = None;
        let wait = self.backoff.fail(Instant::now());
        tracing::debug!("{}: {fault}; again in {wait:?}", self.topic);
        let text = format!("topic `{}` cannot be read: {fault}", self.topic);
        self.workers.lock().trouble = Some(text);
    }
}

/// How the topic is made: one partition, of each worker the last word, and nothing for longer than an hour.
pub(crate) fn topic_settings(name: &str, replication: Option<i32>) -> TopicSettings {
    let config = [
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "3600000"),
        ("segment.ms", "600000"),
    ];
    let config = config.map(|(name, value)| (name.to_owned(), value.to_owned()));
    TopicSettings {
        name: name.to_owned(),
        partitions: Some(1),
        replication,
        config: config.into(),
    }
}

/// What a worker tells of itself, and when it did last.
struct Teller {
    topic: Arc<str>,
    worker: String,
    address: String,
    sender: Sender,
    last: Option<(Instant, Held)>,
}

impl Teller {
    /// Tells what has changed, or that nothing has.
    fn turn(&mut self, handle: &WorkerHandle) {
        self.sender.serve();
        let held = handle.held();
        let since = self.last.as_ref().map(|(at, _)| at.elapsed());
        let changed = self.last.as_ref().is_none_or(|(_, last)| *last != held);
        let due = since.is_none_or(|since| {
            since >= TELL_INTERVAL || (changed && since >= LEAST_TELL_INTERVAL)
        });
        if !due {
            return;
        }
        let told = Told {
            format: FORMAT,
            address: self.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: held.generation,
            tables: held.tables.clone(),
            at: crate::clock::wall_ms(),
            knows: vec![WATERMARKS.to_owned(), HOP.to_owned()],
        };
        self.last = Some((Instant::now(), held));
        match serde_json::to_vec(&told) {
            Ok(value) => self.send(Some(&value)),
            Err(error) => tracing::warn!("{}: {error}", self.topic),
        }
    }

    fn send(&self, value: Option<&[u8]>) {
        let sent = self.sender.send(Outgoing {
            topic: &self.topic,
            partition: Some(0),
            key: Some(self.worker.as_bytes()),
            value,
            timestamp: None,
            headers: None,
            slot: 0,
        });
        if let Err(fault) = sent {
            tracing::debug!("{}: {fault}", self.topic);
        }
    }

    /// Takes the entry away.
    fn end(&self, patience: Duration) {
        self.send(None);
        if let Err(fault) = self.sender.flush(patience) {
            tracing::debug!("{}: {fault}", self.topic);
        }
    }
}

/// A thread that follows the workers, and tells of this one.
pub(crate) struct Crew {
    stop: ShutdownSignal,
    /// Closed when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Drop for Crew {
    /// Waits for the last word. A thread that stands in a call to a broker that is away is left to end by itself.
    fn drop(&mut self) {
        self.stop.ask();
        if let Err(mpsc::RecvTimeoutError::Timeout) = self
            .ended
            .recv_timeout(LAST_WORD_TIMEOUT + LEAST_TELL_INTERVAL)
        {
            tracing::debug!("the thread that follows the workers waits for the broker and is left");
        }
    }
}

/// Tells of a worker, and follows the others until this is dropped. `None` when there is nothing to tell: the app keeps
/// no tables, or the worker has no address.
pub(super) fn start(
    plan: &Plan,
    settings: &WorkerSettings,
    worker: uuid::Uuid,
    admin: &Arc<Admin>,
    handle: &Arc<WorkerHandle>,
) -> std::io::Result<Option<Crew>> {
    let keeps = plan.topologies.iter().any(|one| !one.tables.is_empty());
    let Some(address) = settings.address.clone().filter(|_| keeps) else {
        return Ok(None);
    };
    let (topic, app) = (plan.workers_topic(), plan.app.clone());
    let (settings, admin, handle) = (settings.clone(), Arc::clone(admin), Arc::clone(handle));
    let told = (worker.to_string(), address);
    let (own, hops) = (worker.to_string(), plan.has_hops());
    crew(move |stop, runtime| {
        let mut follower = Follower::new(&app, &topic, &settings.properties, &handle.workers);
        handle.tells(follower.wake.clone());
        stop.wakes(&follower.wake);
        let mut teller = make_topic(&topic, &settings, &admin, stop, &handle.workers)
            .and_then(|()| Sender::new(&settings.properties).ok())
            .map(|sender| Teller {
                topic: topic.as_str().into(),
                worker: told.0,
                address: told.1,
                sender,
                last: None,
            });
        let mut found: Vec<String> = Vec::new();
        while !stop.is_asked() {
            follower.turn(&admin);
            if hops {
                say_without_watermarks(&handle.workers, &own, &mut found);
            }
            let mut rest = Duration::from_millis(500);
            if let Some(teller) = &mut teller {
                teller.turn(&handle);
                // A change that came within the pause is told after it.
                let (at, last) = match &teller.last {
                    Some(last) => last,
                    None => continue,
                };
                if at.elapsed() < LEAST_TELL_INTERVAL && *last != handle.held() {
                    rest = LEAST_TELL_INTERVAL;
                }
            }
            handle.workers.forget_the_gone();
            let wake = follower.wake.clone();
            let _ = runtime.block_on(async { tokio::time::timeout(rest, wake.wait()).await });
        }
        if let Some(teller) = teller {
            teller.end(LAST_WORD_TIMEOUT);
        }
    })
    .map(Some)
}

/// Says of each worker once that it makes dead letters of watermarks: it has joined after this one.
fn say_without_watermarks(workers: &Workers, own: &str, found: &mut Vec<String>) {
    for other in workers.without_watermarks(own) {
        if !found.contains(&other.worker) {
            tracing::error!(
                worker = other.worker,
                address = other.address,
                "a worker of a version that takes watermarks for bad records is in the group: stop it, and start it with this \
                 version"
            );
            found.push(other.worker);
        }
    }
}

/// Looks, before a worker of an app with hops joins the group, for workers of a version without watermarks.
///
/// # Errors
/// There is one: watermarks would be bad records to it, and the times of its own sources would hold this worker's
/// tables without end.
pub(super) fn refuse_others_without_watermarks(
    plan: &Plan,
    own: uuid::Uuid,
    handle: &WorkerHandle,
) -> Result<(), Error> {
    if !plan.has_hops() {
        return Ok(());
    }
    let (workers, start) = (&handle.workers, Instant::now());
    while !workers.is_filled() && start.elapsed() < HEARING_TIMEOUT && !handle.stop.is_asked() {
        if let Some(trouble) = workers.trouble()
            && start.elapsed() >= HEARING_TIMEOUT / 5
        {
            tracing::debug!("{trouble}; workers of other versions are not looked for");
            return Ok(());
        }
        std::thread::sleep(LEAST_TELL_INTERVAL / 5);
    }
    match workers.without_watermarks(&own.to_string()).first() {
        None => Ok(()),
        Some(other) => Err(Error::new(
            Kind::Configuration,
            format!(
                "worker {} at {} was heard of {} s ago and is of a version that takes watermarks for bad records: stop all \
                 workers of app `{}` before the first one of this version starts (one that was killed counts for {} s)",
                other.worker,
                other.address,
                other.silent.unwrap_or(0),
                plan.app,
                SILENT.as_secs()
            ),
        )),
    }
}

/// Follows the workers of an app from outside, until the crew is dropped.
pub(crate) fn follow(
    app: &str,
    topic: &str,
    properties: &Properties,
    admin: Admin,
    workers: &Workers,
) -> std::io::Result<Crew> {
    let (app, topic) = (app.to_owned(), topic.to_owned());
    let (properties, workers) = (properties.clone(), workers.clone());
    crew(move |stop, runtime| {
        let mut follower = Follower::new(&app, &topic, &properties, &workers);
        stop.wakes(&follower.wake);
        while !stop.is_asked() {
            follower.turn(&admin);
            let (wake, rest) = (follower.wake.clone(), Duration::from_millis(500));
            let _ = runtime.block_on(async { tokio::time::timeout(rest, wake.wait()).await });
        }
    })
}

fn crew(
    work: impl FnOnce(&ShutdownSignal, &tokio::runtime::Runtime) + Send + 'static,
) -> std::io::Result<Crew> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let stop = ShutdownSignal::new();
    let asked = stop.clone();
    let (ends, ended) = mpsc::channel::<()>();
    std::thread::Builder::new()
        .name("workers".to_owned())
        .spawn(move || {
            work(&asked, &runtime);
            drop(ends);
        })?;
    Ok(Crew { stop, ended })
}

/// Makes the topic if it is not there. `None`: it cannot be had, and this worker goes on without the others.
fn make_topic(
    topic: &str,
    settings: &WorkerSettings,
    admin: &Admin,
    stop: &ShutdownSignal,
    workers: &Workers,
) -> Option<()> {
    let mut backoff = Backoff::default();
    loop {
        let made = admin.topic(topic).and_then(|found| match found {
            Some(_) => Ok(()),
            None => admin.create(&[topic_settings(
                topic,
                settings.new_topics.replication_factor,
            )]),
        });
        let fault = match made {
            Ok(()) => return Some(()),
            Err(fault) => fault,
        };
        if stop.is_asked() {
            return None;
        }
        if fault.kind() != crate::kafka::FaultKind::Retriable {
            let text = format!(
                "topic `{topic}` cannot be made: {fault}; without it rows of other workers' partitions cannot be read: make it (one partition, cleanup.policy=compact,delete), or give the key the right to"
            );
            tracing::warn!("{text}");
            workers.lock().trouble = Some(text);
            return None;
        }
        std::thread::sleep(backoff.fail(Instant::now()).min(Duration::from_secs(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::workers::Entry;
    use super::*;

    fn entry(generation: i32, offset: i64, silent: u64) -> Entry {
        Entry {
            told: Told {
                format: FORMAT,
                address: format!("host:{offset}"),
                version: "1".into(),
                generation,
                tables: [("sold".to_owned(), vec![0, 2])].into(),
                at: 0,
                knows: Vec::new(),
            },
            offset,
            heard: Instant::now() - Duration::from_secs(silent),
        }
    }

    #[test]
    fn who_is_asked_first_is_of_the_newest_generation_and_spoke_last() {
        let workers = Workers::default();
        for (name, one) in [
            ("old", entry(3, 9, 0)),
            ("zombie", entry(4, 5, 30)),
            ("first", entry(4, 6, 0)),
            ("last", entry(4, 7, 0)),
        ] {
            workers.lock().entries.insert(name.to_owned(), one);
        }
        let names: Vec<String> = workers
            .owners("sold", 2)
            .into_iter()
            .map(|owner| owner.worker)
            .collect();
        assert_eq!(names, ["last", "first", "old", "zombie"]);
        assert_eq!(workers.owners("sold", 1), []);
        assert_eq!(workers.owners("other", 0), []);
        assert_eq!(workers.count(), 3);
        assert_eq!(workers.owners("sold", 0)[3].silent, Some(30));
    }
}
