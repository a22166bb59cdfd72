//! Everything a timer, a crontab, a task and a page may ask for and return.
#![forbid(unsafe_code)]

use stream_runtime::prelude::*;
use stream_runtime::web::axum::body::Bytes;
use stream_runtime::web::{
    HeaderMap, Html, Json, Method, Path, Query, Redirect, Request, Response, StatusCode, Uri,
};

#[record]
#[derive(Clone, Default)]
struct Count {
    n: u64,
}

#[topic("counts", value = Count, key = String)]
struct Counts;

#[table]
#[derive(Clone, Default)]
struct Seen {
    n: u64,
}

#[table(hopping = "1h", step = "10m", value = u64)]
struct Hours;

#[table(global, source = Counts)]
struct AllCounts;

struct Greeting(String);

#[agent(topic = "words")]
async fn count(word: Event<String>, mut seen: Table<Seen>, mut hours: Table<Hours>) {
    seen.update(word.key(), |row| row.n += 1);
    hours.update(word.key(), |n| *n += 1);
}

#[timer("90s")]
async fn everything(
    greeting: &State<Greeting>,
    counts: &mut Producer<Counts>,
    seen: TableReader<Seen>,
    hours: TableReader<Hours>,
) -> Result<(), std::io::Error> {
    let _ = (greeting.0.len(), counts, seen, hours);
    Ok(())
}

#[timer("1h", per = "worker", on_leader)]
async fn on_leader() -> anyhow::Result<()> {
    Ok(())
}

#[timer("500ms", per = "partition")]
async fn tick(
    seen: &mut Table<Seen>,
    hours: &Table<Hours>,
    all: GlobalTable<AllCounts>,
    counts: Topic<Counts>,
    greeting: State<Greeting>,
    at: TaskContext,
) -> Result<()> {
    seen.remove("the");
    let _ = (hours.windows("the"), all.len(), greeting.0.len());
    counts.send(at.app(), Count::default()).await?;
    Ok(())
}

#[crontab("*/5 8-17 * * MON-FRI", timezone = "America/New_York")]
async fn in_the_office(_: State<Greeting>, _: Producer<Counts>, _: TableReader<Seen>) {}

#[crontab("@daily", on_leader)]
async fn daily() -> Result<()> {
    Ok(())
}

#[task]
async fn begin(_: State<Greeting>, _: Producer<Counts>, _: TableReader<Seen>) {}

#[task(on = "start", on_leader)]
async fn crowned() -> Result<()> {
    std::future::pending().await
}

#[task(on = "stop")]
async fn end(counts: Producer<Counts>) -> Result<()> {
    counts.delete("the").await?;
    counts.flush().await?;
    Ok(())
}

#[page("/")]
async fn nothing() {}

#[allow(clippy::too_many_arguments)]
#[page("/all/{word}", method = "put")]
async fn all_of_it(
    Path(word): Path<String>,
    query: Query<Vec<(String, String)>>,
    headers: HeaderMap,
    method: Method,
    uri: Uri,
    greeting: State<Greeting>,
    counts: Producer<Counts>,
    seen: TableReader<Seen>,
    Json(n): Json<u64>,
) -> Result<(StatusCode, Json<u64>)> {
    let _ = (query.0.len(), headers.len(), method, uri, greeting.0.len());
    let old = seen.get(&word).await?.unwrap_or_default();
    counts.send(&word, Count { n: old.n + n }).await?;
    Ok((StatusCode::CREATED, Json(n)))
}

#[page("/last/{of}", method = "patch")]
async fn worker_s_own_last(Path(_of): Path<String>, _: TableReader<Seen>) -> StatusCode {
    StatusCode::NO_CONTENT
}

#[page("/text", method = "post")]
async fn text(body: String) -> Html<String> {
    Html(body)
}

#[page("/bytes", method = "post")]
async fn bytes(body: Bytes) -> Vec<u8> {
    body.to_vec()
}

#[page("/request/{*rest}", method = "delete")]
async fn request(request: Request) -> Result<Redirect, Response> {
    let _ = request.uri();
    Ok(Redirect::to("/"))
}

fn main() {
    // A function stays a function.
    assert_eq!(
        now(text("a".to_owned())).map(|html| html.0),
        Some("a".to_owned())
    );
}

/// The output of a future that does not wait.
fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::noop();
    match future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker))
    {
        std::task::Poll::Ready(out) => Some(out),
        std::task::Poll::Pending => None,
    }
}
