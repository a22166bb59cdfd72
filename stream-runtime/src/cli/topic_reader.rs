//! Reading a topic from one place on, for `tail` and for commands of the app.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::error::{CliError, CliResult, no_topic};
use crate::kafka::{
    Admin, Batch, Fault, Fetched, Isolation, Properties, Reader, RecordView, TopicPartition,
    TopicPartitionOffset, Wake, again_saying,
};
use crate::task::watermark::{Word, words_of};

/// How often a topic that does not exist is looked for.
const TOPIC_CHECK_INTERVAL: Duration = Duration::from_millis(300);
/// Without a record for so long, a pause is reported.
const QUIET_AFTER: Duration = Duration::from_millis(100);
/// Longest wait for a cluster in which a node has gone, where an end is waited for.
const BROKER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time until a line says what is waited for, and between two of them.
const SAY_INTERVAL: Duration = Duration::from_secs(5);

/// How often the ends of partitions that have brought nothing are asked for.
const LOOK_AT_ENDS: Duration = Duration::from_secs(10);

/// What to read.
pub(crate) struct Follow {
    pub(crate) topic: String,
    /// Empty: all.
    pub(crate) partitions: Vec<i32>,
    pub(crate) from_beginning: bool,
    /// End at what is the end when it begins.
    pub(crate) until_end: bool,
    pub(crate) isolation: Isolation,
    /// Show what says something of time alone, in repartition topics.
    pub(crate) watermarks: bool,
    /// Whose rights are used.
    pub(crate) group: String,
}

/// What the reader sees.
pub(crate) enum Step<'a> {
    /// The topic does not exist yet.
    NoTopic,
    /// A record of this partition.
    Record(i32, &'a RecordView<'a>),
    /// Nothing at the moment; perhaps for this reason.
    Quiet(Option<String>),
}

/// Returns the words of a watermark; `None` for any other record.
pub(crate) fn watermark(record: &RecordView<'_>) -> Option<Vec<Word>> {
    words_of(record.key, record.value, record.headers.iter().next())
}

impl Follow {
    /// Calls `see` for every step, on this thread, until it breaks or the end is reached.
    pub(crate) fn run(
        &self,
        properties: &Properties,
        admin: &Admin,
        see: &mut dyn FnMut(Step<'_>) -> CliResult<ControlFlow<()>>,
    ) -> CliResult {
        let Some(partitions) = self.find(admin, see)? else {
            return Ok(());
        };
        let asked: Vec<_> = partitions
            .iter()
            .map(|p| (self.topic.as_str().into(), *p))
            .collect();
        let ends = patiently(|| admin.ends_as(self.isolation, &asked))?;
        let from = if self.from_beginning {
            patiently(|| admin.starts(&asked))?
        } else {
            ends.clone()
        };
        let wake = Wake::new();
        let read_from = |offsets: &[i64]| -> CliResult<_> {
            let reader = Reader::new(properties, &self.group, self.isolation, &wake)?;
            let places: Vec<TopicPartitionOffset> = partitions
                .iter()
                .zip(offsets)
                .map(|(p, offset)| TopicPartitionOffset::new(self.topic.as_str(), *p, *offset))
                .collect();
            let queues = reader.add(&places)?;
            Ok((reader, queues))
        };
        let (mut reader, mut queues) = read_from(&from)?;
        let mut progress = Progress::at(&from);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;

        // Queues whose end has not been reached.
        let mut open: BTreeSet<usize> = (0..queues.len())
            .filter(|ix| from[*ix] < ends[*ix])
            .collect();
        let mut batch = Batch::new(1_000);
        let mut lost: Option<Lost> = None;
        while !(self.until_end && open.is_empty()) {
            let mut seen = 0;
            for (ix, queue) in queues.iter().enumerate() {
                let (partition, end) = (partitions[ix], ends[ix]);
                let mut result: CliResult<_> = Ok(ControlFlow::Continue(()));
                let count = queue.read(&mut batch, |fetched| match fetched {
                    Fetched::Record(record) => {
                        progress.reached(ix, record.offset + 1);
                        let past = self.until_end && record.offset >= end;
                        let shown = self.watermarks || watermark(&record).is_none();
                        if !past && shown && matches!(result, Ok(ControlFlow::Continue(()))) {
                            result = see(Step::Record(partition, &record));
                        }
                        if record.offset + 1 >= end {
                            open.remove(&ix);
                        }
                    }
                    // Past the markers of transactions, which are not records.
                    Fetched::End { offset } => {
                        progress.reached(ix, offset);
                        if offset >= end {
                            open.remove(&ix);
                        }
                    }
                    Fetched::Error { code, text } => {
                        let fault =
                            Fault::of_code(format!("read {}-{partition}", self.topic), code);
                        match fault.passes() {
                            true => Lost::note(&mut lost, fault.because(&text)),
                            false if result.is_ok() => result = Err(fault.because(&text).into()),
                            false => {}
                        }
                    }
                });
                if result?.is_break() {
                    return Ok(());
                }
                seen += count;
            }
            if progress.is_due() {
                let ends = self.ends(admin, &asked, &progress);
                if let Some(ix) = progress.stands(ends.as_deref()) {
                    let why = format!(
                        "{}-{} has brought nothing after offset {} for {} s although there is more; reading it with another client",
                        self.topic,
                        partitions[ix],
                        progress.next[ix],
                        LOOK_AT_ENDS.as_secs()
                    );
                    if see(Step::Quiet(Some(why)))?.is_break() {
                        return Ok(());
                    }
                    (reader, queues) = read_from(&progress.next)?;
                }
            }
            match reader.serve() {
                Err(fault) if fault.passes() => Lost::note(&mut lost, fault),
                result => result?,
            }
            if seen > 0 {
                lost = None;
                continue;
            }
            if self.until_end
                && let Some(over) = lost.take_if(|lost| lost.since.elapsed() >= BROKER_TIMEOUT)
            {
                return Err(over.fault.into());
            }
            let trouble = reader.trouble();
            let trouble = trouble.or_else(|| lost.as_ref().map(|lost| lost.fault.to_string()));
            if see(Step::Quiet(trouble))?.is_break() {
                return Ok(());
            }
            if !(self.until_end && open.is_empty()) {
                runtime.block_on(async {
                    let _ = tokio::time::timeout(QUIET_AFTER, wake.wait()).await;
                });
            }
        }
        Ok(())
    }

    /// The ends for a look at the progress; `None`: the broker does not say. What may be read is asked for only where
    /// there is more than was read, because that takes a client of its own.
    fn ends(
        &self,
        admin: &Admin,
        asked: &[TopicPartition],
        progress: &Progress,
    ) -> Option<Vec<i64>> {
        let ends = admin.ends(asked).ok()?;
        match progress.is_behind(&ends) {
            true => admin.ends_as(self.isolation, asked).ok(),
            false => Some(ends),
        }
    }

    /// The partitions to read; waits for the topic unless the end is asked for. `None`: told to break.
    fn find(
        &self,
        admin: &Admin,
        see: &mut dyn FnMut(Step<'_>) -> CliResult<ControlFlow<()>>,
    ) -> CliResult<Option<Vec<i32>>> {
        let count = loop {
            if let Some(topic) = admin.topic(&self.topic)? {
                break topic.partitions;
            }
            if self.until_end {
                let others = admin.topics()?;
                let names = others.keys().map(String::as_str);
                let next = "`topics --all` lists those there are";
                return Err(no_topic(&self.topic, names, next));
            }
            if see(Step::NoTopic)?.is_break() {
                return Ok(None);
            }
            std::thread::sleep(TOPIC_CHECK_INTERVAL);
        };
        if let Some(partition) = self.partitions.iter().find(|p| !(0..count).contains(*p)) {
            return Err(CliError::usage(format_args!(
                "topic {} has no partition {partition}",
                self.topic
            ))
            .next(format_args!("its partitions are 0 to {}", count - 1)));
        }
        Ok(Some(
            (0..count)
                .filter(|p| self.partitions.is_empty() || self.partitions.contains(p))
                .collect(),
        ))
    }
}

/// How far the partitions are read. A client that has lost a node has been seen to fetch nothing any more, without an
/// error and for good.
struct Progress {
    /// Offset of the next record, by partition.
    next: Vec<i64>,
    /// The same at the last look, and the ends that were found then.
    before: Option<(Vec<i64>, Vec<i64>)>,
    looked: Instant,
}

impl Progress {
    fn at(from: &[i64]) -> Self {
        Progress {
            next: from.to_vec(),
            before: None,
            looked: Instant::now(),
        }
    }

    fn reached(&mut self, ix: usize, offset: i64) {
        self.next[ix] = self.next[ix].max(offset);
    }

    fn is_behind(&self, ends: &[i64]) -> bool {
        self.next.iter().zip(ends).any(|(next, end)| next < end)
    }

    fn is_due(&self) -> bool {
        self.looked.elapsed() >= LOOK_AT_ENDS
    }

    /// Takes a look at the ends, if the broker has said them. Returns a partition that was not at its end at the look
    /// before, and is where it was then.
    fn stands(&mut self, ends: Option<&[i64]>) -> Option<usize> {
        self.looked = Instant::now();
        let before = self.before.take();
        let ends = ends?;
        let stands = before.and_then(|(next, ends)| {
            let stood = |ix: &usize| next[*ix] == self.next[*ix] && next[*ix] < ends[*ix];
            (0..next.len()).find(stood)
        });
        if stands.is_none() {
            self.before = Some((self.next.clone(), ends.to_vec()));
        }
        stands
    }
}

/// Reason that passes, for which no records come.
struct Lost {
    since: Instant,
    fault: Fault,
}

impl Lost {
    fn note(lost: &mut Option<Self>, fault: Fault) {
        let since = lost.as_ref().map_or_else(Instant::now, |lost| lost.since);
        *lost = Some(Lost { since, fault });
    }
}

/// Asks again for up to [`BROKER_TIMEOUT`]: a broker that has answered before is there, and a node may have gone since.
fn patiently<T>(call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let say = |fault: &Fault, _| tracing::warn!("{fault}; trying again");
    again_saying(
        |spent| spent < BROKER_TIMEOUT,
        (SAY_INTERVAL, SAY_INTERVAL),
        say,
        call,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::FaultKind;

    fn away(why: &str) -> Fault {
        Fault::new(FaultKind::Retriable, "read in-0", why)
    }

    #[test]
    fn a_partition_stands_that_is_where_it_was_a_look_ago_and_had_more_then() {
        let mut progress = Progress::at(&[0, 5]);
        assert_eq!(progress.stands(Some(&[3, 5])), None, "the first look");
        progress.reached(0, 3);
        assert_eq!(
            progress.stands(Some(&[4, 9])),
            None,
            "one has moved, one had no more"
        );
        assert_eq!(
            progress.stands(None),
            None,
            "nobody says where the ends are"
        );
        assert_eq!(progress.stands(Some(&[4, 9])), None, "since then");
        progress.reached(0, 4);
        assert_eq!(progress.stands(Some(&[4, 9])), Some(1));
        assert_eq!(progress.stands(Some(&[4, 9])), None, "it is read again");
    }

    #[test]
    fn the_time_without_records_is_counted_from_the_first_reason() {
        let mut lost = None;
        Lost::note(&mut lost, away("a node has gone"));
        let since = lost.as_ref().unwrap().since;
        Lost::note(&mut lost, away("no answer"));
        let lost = lost.unwrap();
        assert_eq!(lost.since, since);
        assert!(lost.fault.to_string().contains("no answer"));
    }
}
