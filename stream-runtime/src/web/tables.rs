//! `/tables/{name}/{key}`: what a table has under a key, wherever it lies.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::background::BackgroundContext;
use crate::background::lookup::{Home, Key, OfTopic, Tables, look_up};

/// A key may have slashes of its own.
const PATH: &str = "/tables/{name}/{*key}";
/// The empty text is a key too.
const EMPTY: &str = "/tables/{name}/";

/// The routes: with the rows, or with the word that they are not shown.
pub(super) fn routes(tables: &Arc<Tables>, shown: bool) -> Router<BackgroundContext> {
    if !shown {
        let hidden = || get(async || (StatusCode::FORBIDDEN, HIDDEN));
        return Router::new().route(PATH, hidden()).route(EMPTY, hidden());
    }
    let (some, none) = (Arc::clone(tables), Arc::clone(tables));
    let path = async move |State(cx): State<BackgroundContext>,
                           Path((name, key)): Path<(String, String)>| {
        answer(&cx, &some, &name, &key).await
    };
    let empty = async move |State(cx): State<BackgroundContext>, Path(name): Path<String>| {
        answer(&cx, &none, &name, "").await
    };
    Router::new()
        .route(PATH, get(path))
        .route(EMPTY, get(empty))
}

const HIDDEN: &str = "rows are not shown beyond this machine: start the worker with --web-tables\n";

/// The row or the windows of a key as JSON, each with its partition and the worker that has it.
async fn answer(cx: &BackgroundContext, tables: &Tables, name: &str, key: &str) -> Response {
    let say = |status: StatusCode, text: String| (status, format!("{text}\n")).into_response();
    let home = match tables.find(name) {
        Ok(home) => home,
        Err(why) => return say(StatusCode::NOT_FOUND, format!("{}: {}", why.text, why.next)),
    };
    let key = match Key::read(home.table(), key) {
        Ok(key) => key,
        Err(why) => return say(StatusCode::BAD_REQUEST, why),
    };
    let table = match &home {
        Home::Partitions(table) => table,
        Home::Topic { kept: false, .. } => {
            let text = format!(
                "no function of the app reads global table `{name}`, so that no worker keeps its rows: the command `tables {name} KEY` reads its topic"
            );
            return say(StatusCode::NOT_FOUND, text);
        }
        Home::Topic { global, .. } => {
            let rows = cx.replica_in_time(global.table.name).await;
            let found = rows.and_then(|rows| OfTopic::look_up(global, &*rows, &key));
            return match found {
                Ok(found) => match found.nothing(&key) {
                    Some(text) => say(StatusCode::NOT_FOUND, text),
                    None => Json(found.to_json(&key)).into_response(),
                },
                Err(error) => error.into_response(),
            };
        }
    };
    match look_up(cx.rows(), table, &key).await {
        Ok(found) => match found.nothing(table, &key) {
            Some(text) => say(StatusCode::NOT_FOUND, text),
            None => Json(found.to_json(table, &key)).into_response(),
        },
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests;
