//! What the examples' `demo` commands share: broker, producer, worker and consumer in one process.

use stream_runtime::prelude::*;
use stream_runtime::{Record, TopicSpec};

/// Sends records to the topic `S` of a broker that is gone afterwards, and runs the app until it has caught up.
///
/// # Errors
///
/// When the broker or the worker cannot start.
pub async fn process<S: TopicSpec>(
    app: AppHandle,
    records: impl IntoIterator<Item = S::Value>,
) -> Result<AppHandle> {
    let app = app.scratch()?;
    send::<S>(&app, records).await?;
    app.worker().until_caught_up().run().await?;
    Ok(app)
}

/// Sends records under their own keys.
///
/// # Errors
///
/// When the broker refuses.
pub async fn send<S: TopicSpec>(
    app: &AppHandle,
    records: impl IntoIterator<Item = S::Value>,
) -> Result<()> {
    let producer = app.producer::<S>()?;
    let mut sent = 0;
    for record in records {
        producer.message(record).send().await?;
        sent += 1;
    }
    producer.flush().await?;
    println!("sent {sent} records to {}", S::DESCRIPTOR.name);
    Ok(())
}

/// Prints the committed records of a topic, one a line.
///
/// # Errors
///
/// When the broker refuses, or a record does not decode.
pub async fn print<S: TopicSpec>(app: &AppHandle) -> Result<()> {
    println!("\n{}:", S::DESCRIPTOR.name);
    for record in app.all_records::<S>().await? {
        let mut text = Vec::new();
        record.value.encode(&mut text)?;
        println!("  {}", String::from_utf8_lossy(&text));
    }
    Ok(())
}
