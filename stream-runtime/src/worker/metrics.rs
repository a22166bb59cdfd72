//! What is counted for `/metrics`: brought up to date with each commit, never per record.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::task::Task;

/// Counters of one task. What they show is what the task has counted anyway.
pub(super) struct Meters {
    counters: [(Counter, Count); 7],
    seen: [u64; 7],
}

/// How much a task has counted of something.
type Count = fn(&Task) -> u64;

impl Meters {
    pub(super) fn new(task: usize, partition: i32) -> Self {
        let labels = [
            ("task", task.to_string()),
            ("partition", partition.to_string()),
        ];
        let of = |name: &'static str, count: Count| (counter!(name, &labels), count);
        Meters {
            counters: [
                of("stream_records_total", Task::processed),
                of("stream_late_records_total", Task::late),
                of("stream_dead_letters_total", Task::dead_letters),
                of("stream_handler_failures_total", Task::failures),
                of("stream_misplaced_rows_total", Task::misplaced),
                of("stream_misplaced_reads_total", Task::misplaced_reads),
                of("stream_sources_left_out_total", Task::left_out),
            ],
            seen: [0; 7],
        }
    }

    pub(super) fn read(&mut self, task: &Task) {
        for ((counter, count), seen) in self.counters.iter().zip(&mut self.seen) {
            let now = count(task);
            if now != *seen {
                counter.increment(now.saturating_sub(*seen));
                *seen = now;
            }
        }
    }
}

/// Counters of one stream thread's commits.
pub(super) struct CommitMeters {
    done: Counter,
    failed: Counter,
    took: Histogram,
}

impl CommitMeters {
    pub(super) fn new(thread: usize) -> Self {
        let labels = [("thread", thread.to_string())];
        CommitMeters {
            done: counter!("stream_commits_total", &labels),
            failed: counter!("stream_commit_failures_total", &labels),
            took: histogram!("stream_commit_seconds", &labels),
        }
    }

    pub(super) fn done(&self, took: Duration) {
        self.done.increment(1);
        self.took.record(took);
    }

    pub(super) fn failed(&self) {
        self.failed.increment(1);
    }
}
