//! `/metrics`: what the worker has counted, and how its partitions are at this moment.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::beside::BesideCx;
use crate::worker::{PartitionState, WorkerHandle};

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
    use metrics::{
        describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram,
    };
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
    counter!("stream_commits_total", "Commits that came about");
    counter!(
        "stream_commit_failures_total",
        "Commits that did not come about and are done again"
    );
    counter!(
        "stream_beside_failures_total",
        "Calls of timers, crontabs, tasks and pages that failed"
    );
    histogram!("stream_commit_seconds", "How long commits took");
    gauge!(
        "stream_lag_records",
        "Offsets between what is committed and the end of the input"
    );
    gauge!(
        "stream_partition_state",
        "1 for the state that a partition is in, 0 for the others"
    );
    gauge!(
        "stream_restored_records",
        "Changelog offsets passed by a recovery"
    );
    gauge!(
        "stream_restore_records",
        "Changelog offsets that a recovery has to pass"
    );
}

/// The text that Prometheus reads.
pub(super) async fn metrics(State(cx): State<BesideCx>) -> Response {
    let Some(Some(handle)) = RECORDER.get() else {
        let text = "the app has a recorder of its own\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let worker = cx.worker();
    states(&worker);
    // The broker is asked on a thread that may wait.
    let lags = tokio::task::spawn_blocking(move || worker.lags()).await;
    for ((topic, partition), lag) in lags.unwrap_or_default() {
        let (topic, partition) = (topic.to_string(), partition.to_string());
        metrics::gauge!("stream_lag_records", "topic" => topic, "partition" => partition)
            .set(lag as f64);
    }
    handle.run_upkeep();
    (
        [("content-type", "text/plain; version=0.0.4")],
        handle.render(),
    )
        .into_response()
}

fn states(worker: &WorkerHandle) {
    for view in worker.status.snapshot() {
        let (task, state) = (view.task, view.state);
        let labels = [
            ("task", task.0.to_string()),
            ("partition", task.1.to_string()),
        ];
        for name in PartitionState::NAMES {
            let mut labels = labels.to_vec();
            labels.push(("state", name.to_owned()));
            let is = f64::from(u8::from(state.name() == name));
            metrics::gauge!("stream_partition_state", &labels).set(is);
        }
        if let PartitionState::Recovering(progress) = state {
            metrics::gauge!("stream_restored_records", &labels).set(progress.done as f64);
            metrics::gauge!("stream_restore_records", &labels).set(progress.total as f64);
        }
    }
}
