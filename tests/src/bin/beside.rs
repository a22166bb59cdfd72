//! An app with everything that runs beside the streams. For tests of timers, crontabs, tasks, leaders.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use stream_runtime::prelude::*;
use stream_runtime::web::{Json, Path, StatusCode};

#[table(value = u64)]
struct Counts;

#[agent(topic = "beside_words")]
async fn count(word: String, mut counts: Table<Counts>) {
    counts.update(&word, |n| *n += 1);
}

/// What was seen: a word for it, and the process that saw it.
#[record]
struct Seen {
    what: String,
    process: u32,
}

#[topic("beside_seen", value = Seen, key = String)]
struct Sightings;

#[topic("beside_ticks", value = Seen, key = String)]
struct Ticks;

struct Greeting(&'static str);

#[state]
async fn greeting() -> Greeting {
    Greeting("hello")
}

fn seen(what: impl Into<String>) -> Seen {
    Seen {
        what: what.into(),
        process: std::process::id(),
    }
}

#[task]
async fn begin(greeting: State<Greeting>, to: Producer<Sightings>) -> Result<()> {
    to.send("begin", seen(greeting.0)).await?;
    Ok(())
}

#[task(on = "start", on_leader)]
async fn crowned(to: &Producer<Sightings>) -> Result<()> {
    to.send("crowned", seen("")).await?;
    // As long as it leads, and longer.
    std::future::pending().await
}

#[task(on = "stop")]
async fn end(to: Producer<Sightings>, counts: TableReader<Counts>) -> Result<()> {
    let read = match counts.get("the").await {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string(),
    };
    to.send("end", seen(read)).await?;
    Ok(())
}

#[timer("100ms")]
async fn read(counts: TableReader<Counts>, to: Producer<Sightings>) -> Result<()> {
    let what = match counts.get("the").await {
        Ok(Some(n)) => n.to_string(),
        Ok(None) => "none".to_owned(),
        Err(error) if error.is_stopped() => error.to_string(),
        Err(error) => Err(error)?,
    };
    to.send("read", seen(what)).await?;
    Ok(())
}

#[timer("100ms", on_leader)]
async fn lead(to: Producer<Sightings>) -> Result<()> {
    to.send("lead", seen("")).await?;
    Ok(())
}

/// Fails, panics, then works; with `FATAL` it stops the worker.
#[timer("100ms")]
async fn trouble(to: Producer<Sightings>) -> Result<()> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    match CALLS.fetch_add(1, Ordering::Relaxed) {
        0 => Err("no luck")?,
        1 => panic!("worse luck"),
        2 if std::env::var_os("FATAL").is_some() => Err("enough").fatal()?,
        _ => {}
    }
    to.send("trouble", seen("over")).await?;
    Ok(())
}

#[crontab("* * * * *", timezone = "Europe/Berlin")]
async fn minute(to: Producer<Sightings>) -> Result<()> {
    to.send("minute", seen(Utc::now().format("%S").to_string()))
        .await?;
    Ok(())
}

#[timer("100ms", per = "partition")]
async fn tick(mut counts: Table<Counts>, at: TaskContext, to: Topic<Ticks>) -> Result<()> {
    let key = format!("tick-{}", at.partition());
    let n = counts.update(&key, |n| {
        *n += 1;
        *n
    });
    to.send(&key, seen(n.to_string())).await?;
    Ok(())
}

#[topic("beside_calls", value = Seen, key = String)]
struct Calls;

/// Every minute in each partition: the time it is called for, and the how manieth call that is.
#[crontab("* * * * *", per = "partition")]
async fn call(
    due: Due,
    mut counts: Table<Counts>,
    at: TaskContext,
    to: Topic<Calls>,
) -> Result<()> {
    let key = format!("tick-call-{}", at.partition());
    let n = counts.update(&key, |n| {
        *n += 1;
        *n
    });
    let what = format!("{} {n}", due.timestamp() / 60);
    to.send(&format!("partition-{}", at.partition()), seen(what))
        .await?;
    Ok(())
}

/// Every minute, on one worker of all.
#[crontab("* * * * *", on_leader)]
async fn led_minute(due: Due, to: Producer<Sightings>) -> Result<()> {
    to.send("led", seen((due.timestamp() / 60).to_string()))
        .await?;
    Ok(())
}

#[topic("beside_words", value = String, key = String)]
struct Words;

#[page("/count/{word}")]
async fn show(Path(word): Path<String>, counts: TableReader<Counts>) -> Result<Json<Option<u64>>> {
    Ok(Json(counts.get(&word).await?))
}

#[page("/count/{word}", method = "post")]
async fn more(
    words: Producer<Words>,
    greeting: State<Greeting>,
    Path(word): Path<String>,
    times: String,
) -> Result<(StatusCode, String)> {
    for _ in 0..times.trim().parse::<u32>()? {
        words.send(&word, word.clone()).await?;
    }
    words.flush().await?;
    Ok((StatusCode::ACCEPTED, format!("{}, {word}", greeting.0)))
}

#[page("/note/{word}", method = "put")]
async fn place(Path(word): Path<String>, text: String) -> String {
    format!("put {word} {text}")
}

#[page("/note/{word}", method = "patch")]
async fn mend(Path(word): Path<String>, text: String) -> String {
    format!("patch {word} {text}")
}

#[page("/note/{word}", method = "delete")]
async fn strike(Path(word): Path<String>) -> String {
    format!("delete {word}")
}

/// All words of all workers.
#[page("/all")]
async fn all(counts: TableReader<Counts>) -> Result<Json<BTreeMap<String, u64>>> {
    let (mut rows, mut found) = (counts.all(), BTreeMap::new());
    while let Some((word, n)) = rows.next().await? {
        found.insert(word, n);
    }
    Ok(Json(found))
}

/// How many words all workers have counted
#[command]
async fn total(counts: TableReader<Counts>) -> Result<()> {
    let (mut rows, mut total) = (counts.all(), 0);
    while let Some((word, n)) = rows.next().await? {
        if !word.starts_with("tick-") {
            total += n;
        }
    }
    println!("{total}");
    Ok(())
}

#[page("/panic")]
async fn panics() -> &'static str {
    panic!("on purpose")
}

fn main() -> ExitCode {
    App::new("beside").topic_partitions(2).main()
}
