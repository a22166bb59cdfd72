//! What other workers ask this one for.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::background::BackgroundContext;
use crate::background::wire::{self, Question};
use crate::worker::NotHere;

/// Answers a question for committed rows.
pub(super) async fn answer(State(cx): State<BackgroundContext>, body: Bytes) -> Response {
    let refuse = |status: StatusCode, text: String| (status, format!("{text}\n")).into_response();
    let question = match Question::from_bytes(&body) {
        Ok(question) => question,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let worker = cx.worker();
    let Question {
        app,
        table,
        partition,
        partitions,
        ..
    } = &question;
    if worker.name() != Some(question.worker.as_str()) || cx.app() != app {
        let text = "another worker is at this address now; workers on several machines need --web-bind and --advertise".to_owned();
        return refuse(StatusCode::MISDIRECTED_REQUEST, text);
    }
    let Some(ask) = question.ask() else {
        let text = "the question is of a later version than this worker".to_owned();
        return refuse(StatusCode::CONFLICT, text);
    };
    let count = worker.partitions_of(table);
    if let Some(count) = count.filter(|count| count != partitions) {
        let text = format!(
            "table `{table}` has {count} partitions here and {partitions} for who asks: restart the workers that do not know the topic's new ones"
        );
        return refuse(StatusCode::CONFLICT, text);
    }
    let shape = worker.table(table).map(wire::shape);
    if let Some(shape) = shape.filter(|own| *own != question.shape) {
        let text = format!(
            "table `{table}` is another one here ({shape}) than for who asks ({}): workers of two versions run side by side",
            question.shape
        );
        return refuse(StatusCode::CONFLICT, text);
    }
    match worker.read(table, *partition, ask).await {
        Ok(answer) => match wire::answer_to_bytes(answer) {
            Ok(bytes) => ([(CONTENT_TYPE, "application/msgpack")], bytes).into_response(),
            Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
        },
        Err(NotHere::Elsewhere) => {
            let text = format!("partition {partition} of table `{table}` is not with this worker");
            refuse(StatusCode::MISDIRECTED_REQUEST, text)
        }
        Err(NotHere::NotNow(text)) => refuse(StatusCode::SERVICE_UNAVAILABLE, text),
        Err(NotHere::Never(error)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
