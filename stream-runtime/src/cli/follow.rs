//! Reading a topic from one place on, for `tail` and for commands of the app.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use super::error::{CliError, CliResult};
use super::known::no_topic;
use crate::kafka::{
    Admin, Batch, Fault, Fetched, Isolation, Place, Properties, Reader, RecordView, Wake,
};

/// How often a topic that does not exist is looked for.
const LOOK: Duration = Duration::from_millis(300);
/// Without a record for so long, a pause is reported.
const QUIET: Duration = Duration::from_millis(100);

/// What to read.
pub(crate) struct Follow {
    pub(crate) topic: String,
    /// Empty: all.
    pub(crate) partitions: Vec<i32>,
    pub(crate) from_beginning: bool,
    /// End at what is the end when it begins.
    pub(crate) until_end: bool,
    pub(crate) isolation: Isolation,
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
        let ends = admin.ends_as(self.isolation, &asked)?;
        let from = if self.from_beginning {
            admin.starts(&asked)?
        } else {
            ends.clone()
        };
        let wake = Wake::new();
        let reader = Reader::new(properties, &self.group, self.isolation, &wake)?;
        let places: Vec<Place> = partitions
            .iter()
            .zip(&from)
            .map(|(p, offset)| Place::new(self.topic.as_str(), *p, *offset))
            .collect();
        let queues = reader.add(&places)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| CliError::failure(format_args!("cannot start: {error}")))?;

        // Queues whose end has not been reached.
        let mut open: BTreeSet<usize> = (0..queues.len())
            .filter(|ix| from[*ix] < ends[*ix])
            .collect();
        let mut batch = Batch::new(1_000);
        while !(self.until_end && open.is_empty()) {
            let mut seen = 0;
            for (ix, queue) in queues.iter().enumerate() {
                let (partition, end) = (partitions[ix], ends[ix]);
                let mut result: CliResult<_> = Ok(ControlFlow::Continue(()));
                let count = queue.read(&mut batch, |fetched| match fetched {
                    Fetched::Record(record) => {
                        let past = self.until_end && record.offset >= end;
                        if !past && matches!(result, Ok(ControlFlow::Continue(()))) {
                            result = see(Step::Record(partition, &record));
                        }
                        if record.offset + 1 >= end {
                            open.remove(&ix);
                        }
                    }
                    // Past the markers of transactions, which are no records.
                    Fetched::End { offset } if offset >= end => {
                        open.remove(&ix);
                    }
                    Fetched::End { .. } => {}
                    Fetched::Error { code, text } => {
                        let fault =
                            Fault::of_code(format!("read {}-{partition}", self.topic), code);
                        if result.is_ok() {
                            result = Err(fault.because(&text).into());
                        }
                    }
                });
                if result?.is_break() {
                    return Ok(());
                }
                seen += count;
            }
            reader.serve()?;
            if seen > 0 {
                continue;
            }
            if see(Step::Quiet(reader.trouble()))?.is_break() {
                return Ok(());
            }
            if !(self.until_end && open.is_empty()) {
                runtime.block_on(async {
                    let _ = tokio::time::timeout(QUIET, wake.wait()).await;
                });
            }
        }
        Ok(())
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
            std::thread::sleep(LOOK);
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
