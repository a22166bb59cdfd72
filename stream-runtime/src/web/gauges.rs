//! `/metrics`: what the worker has counted, and how its partitions are at this moment.

use std::fmt::Write;
use std::sync::OnceLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::background::BackgroundContext;
use crate::kafka::TopicPartition;
use crate::worker::{PartitionState, PartitionView, Progress};

/// Seconds that a commit takes: the buckets' upper bounds.
const COMMIT: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
];

/// The process's recorder; `None` when the app has one of its own.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Counts from now on, once a process. Without it nothing is counted, and nothing is paid for that.
pub(super) fn install() {
    RECORDER.get_or_init(|| {
        let bucketed = PrometheusBuilder::new().set_buckets(COMMIT).ok()?;
        let recorder = bucketed.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        Some(handle)
    });
}

fn describe() {
    use metrics::{describe_counter as counter, describe_histogram as histogram};
    counter!("stream_records_total", "Records that were processed");
    counter!(
        "stream_late_records_total",
        "Pairs of record and window that came too late"
    );
    counter!(
        "stream_dead_letters_total",
        "Records that went to a dead-letter topic"
    );
    counter!(
        "stream_handler_failures_total",
        "Attempts of a handler that failed"
    );
    counter!(
        "stream_misplaced_rows_total",
        "New rows whose key belongs to another partition"
    );
    counter!(
        "stream_misplaced_reads_total",
        "Lookups of keys that belong to another partition"
    );
    counter!("stream_commits_total", "Commits that succeeded");
    counter!(
        "stream_commit_failures_total",
        "Commits that did not succeed and are done again"
    );
    counter!(
        "stream_beside_failures_total",
        "Calls of timers, crontabs, tasks and pages that failed"
    );
    histogram!("stream_commit_seconds", "How long commits took");
}

/// Gauges of the moment: names and what they are. They are written at each request and kept nowhere, so that a
/// partition that another worker has now leaves nothing behind.
const LAG: (&str, &str) = (
    "stream_lag_records",
    "Offsets between what is committed and the end of the input; NaN where the broker does not say",
);
const STATE: (&str, &str) = (
    "stream_partition_state",
    "1 for the state that a partition is in, 0 for the others",
);
const RESTORED: (&str, &str) = (
    "stream_restored_records",
    "Changelog offsets passed by a recovery",
);
const RESTORE: (&str, &str) = (
    "stream_restore_records",
    "Changelog offsets that a recovery has to pass",
);
const HELD: (&str, &str) = (
    "stream_time_held_seconds",
    "Seconds for which a source behind `group_by`, or a join's `on`, has held back the time of a partition",
);
const READY: (&str, &str) = (
    "stream_ready",
    "1 when `/ready` answers 200, 0 when it answers 503",
);

/// The text that Prometheus reads.
pub(super) async fn metrics(State(cx): State<BackgroundContext>) -> Response {
    let Some(Some(handle)) = RECORDER.get() else {
        let text = "the app has a recorder of its own\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let worker = cx.worker();
    let mut text = handle.render();
    let views = worker.status.snapshot();
    text += &states(&views);
    text += &family(
        READY,
        [(String::new(), f64::from(u8::from(worker.is_ready())))],
    );
    // The broker is asked on a thread that may wait.
    let lags = tokio::task::spawn_blocking(move || worker.lags()).await;
    text += &family(LAG, lags.unwrap_or_default().into_iter().map(lag));
    handle.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], text).into_response()
}

fn lag(((topic, partition), lag): (TopicPartition, Option<i64>)) -> (String, f64) {
    let labels = format!("{{topic=\"{topic}\",partition=\"{partition}\"}}");
    (labels, lag.map_or(f64::NAN, |lag| lag as f64))
}

/// The states of the partitions that this worker has, and how far those are that recover.
fn states(views: &[PartitionView]) -> String {
    let own = || {
        let here = |view: &&PartitionView| view.state != PartitionState::Revoked;
        views.iter().filter(here)
    };
    let labels = |view: &PartitionView, more: &str| {
        let (task, partition) = view.task;
        format!("{{task=\"{task}\",partition=\"{partition}\"{more}}}")
    };
    let each = own().flat_map(|view| {
        PartitionState::NAMES.iter().map(move |name| {
            let is = f64::from(u8::from(view.state.name() == *name));
            (labels(view, &format!(",state=\"{name}\"")), is)
        })
    });
    let mut text = family(STATE, each);
    let recovery = |of: fn(&Progress) -> u64| {
        own().filter_map(move |view| match &view.state {
            PartitionState::Recovering(progress) => Some((labels(view, ""), of(progress) as f64)),
            _ => None,
        })
    };
    text += &family(RESTORED, recovery(|progress| progress.done));
    text += &family(RESTORE, recovery(|progress| progress.total));
    let held = own().filter_map(|view| Some((labels(view, ""), view.held.as_ref()?.1 as f64)));
    text += &family(HELD, held);
    text
}

/// One gauge in Prometheus' text format: labels in braces, as they are written, and values. Nothing without any.
fn family((name, help): (&str, &str), series: impl IntoIterator<Item = (String, f64)>) -> String {
    let mut text = String::new();
    for (labels, value) in series {
        if text.is_empty() {
            text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        }
        let _ = writeln!(text, "{name}{labels} {value}");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_lag_that_is_not_known_is_neither_left_out_nor_a_number() {
        let place = |partition| ((Arc::from("orders"), partition), Some(7));
        let lags = [place(0), ((Arc::from("orders"), 1), None)];
        let text = family(LAG, lags.map(lag));
        assert!(
            text.ends_with(
                "# TYPE stream_lag_records gauge\n\
                 stream_lag_records{topic=\"orders\",partition=\"0\"} 7\n\
                 stream_lag_records{topic=\"orders\",partition=\"1\"} NaN\n\n"
            ),
            "{text}"
        );
        assert_eq!(family(LAG, []), "");
    }

    #[test]
    fn a_partition_that_went_to_another_worker_has_no_series_left() {
        let view = |partition, state| PartitionView {
            task: (0, partition),
            label: String::new(),
            state,
            held: (partition == 0).then(|| ("a[1]".to_owned(), 7)),
        };
        let recovering = PartitionState::Recovering(Progress {
            done: 3,
            total: 9,
            rate: 1.0,
        });
        let text = states(&[view(0, recovering), view(1, PartitionState::Revoked)]);
        for line in [
            "stream_partition_state{task=\"0\",partition=\"0\",state=\"recovering\"} 1\n",
            "stream_partition_state{task=\"0\",partition=\"0\",state=\"running\"} 0\n",
            "stream_restored_records{task=\"0\",partition=\"0\"} 3\n",
            "stream_restore_records{task=\"0\",partition=\"0\"} 9\n",
            "stream_time_held_seconds{task=\"0\",partition=\"0\"} 7\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("partition=\"1\""), "{text}");
    }
}
