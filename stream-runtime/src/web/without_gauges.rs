//! `/metrics` of a crate that is built without the feature `metrics`.

use axum::http::StatusCode;

/// Counts nothing.
pub(super) fn install() {}

/// Says what is missing.
pub(super) async fn metrics() -> (StatusCode, &'static str) {
    let text = "this program was built without the feature `metrics` of stream-runtime\n";
    (StatusCode::NOT_FOUND, text)
}
