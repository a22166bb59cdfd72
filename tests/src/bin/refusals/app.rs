//! Agents whose outputs and rows a broker may refuse, as their input says.

use std::time::Duration;

use stream_runtime::prelude::*;

/// Takes no record without a key.
#[topic("compacted", value = String, key = Option<String>, compact)]
pub struct Compacted;

/// Passes on key and value; the app says that the sink is compacted.
#[agent(topic = "declared", sink = Compacted)]
pub async fn declared(value: String, Key(key): Key<Option<String>>) -> (Option<String>, String) {
    (key, value)
}

/// The same by hand.
#[agent(topic = "by_hand")]
pub async fn by_hand(
    value: Event<String, Option<String>>,
    compacted: Topic<Compacted>,
) -> Result<()> {
    let key = value.key().clone();
    compacted.send(&key, format!("by hand {}", *value)).await?;
    Ok(())
}

/// Passes on key and value to a topic of which only the broker says that it is compacted.
#[agent(topic = "found", sink = "found_out")]
pub async fn found(value: String, Key(key): Key<Option<String>>) -> (Option<String>, String) {
    (key, value)
}

/// A thing that happened.
#[record(timestamp = at)]
pub struct Happened {
    at: DateTime<Utc>,
    #[serde(default)]
    count: u64,
}

#[table(key = String)]
#[derive(Clone, Default)]
pub struct Counted {
    count: u64,
}

/// Counts what happened. What is refused is not counted.
#[agent(topic = "happened", sink = "recent")]
pub async fn recent(event: Event<Happened>, mut counted: Table<Counted>) -> Happened {
    let count = counted.update(event.key(), |row| {
        row.count += 1;
        row.count
    });
    let at = event.at;
    Happened { at, count }
}

/// Sends as many bytes as it is told to.
#[agent(topic = "sizes", sink = "narrow")]
pub async fn sized(size: String) -> Result<String> {
    Ok("x".repeat(size.parse()?))
}

#[table(key = String)]
#[derive(Clone, Default)]
pub struct Text {
    text: String,
}

/// Makes a text longer, and says how long it is.
#[agent(topic = "grow", sink = "lengths")]
pub async fn grow(more: Event<String>, mut texts: Table<Text>) -> Result<String> {
    let more_bytes: usize = more.parse()?;
    let length = texts.update(more.key(), |row| {
        row.text.push_str(&"x".repeat(more_bytes));
        row.text.len()
    });
    Ok(length.to_string())
}

/// Passes on to a topic that takes nothing of its time.
#[agent(topic = "old", sink = "only_new")]
pub async fn old(event: Happened) -> Happened {
    event
}

#[topic("gathered", value = Happened, key = String)]
pub struct Gathered;

#[topic("sums", value = String, key = String)]
pub struct Sums;

/// Takes four at once, and sends each on, and what they come to together.
#[agent(topic = "gather")]
pub async fn gather(
    mut all: Stream<Happened>,
    gathered: Topic<Gathered>,
    sums: Topic<Sums>,
) -> Result<()> {
    while let Some(four) = all.take(4, Duration::from_secs(20)).await {
        let mut sum = 0;
        for event in &four {
            sum += event.count;
            let (at, count) = (event.at, event.count);
            gathered.send(event.key(), Happened { at, count }).await?;
        }
        sums.send("sum", sum.to_string()).await?;
    }
    Ok(())
}
