//! An app whose topics have keys and records of many types, and one of everything that commands list. For tests of
//! `send`, `tail`, `tables`, `functions`, `describe`.

use stream_runtime::prelude::*;
use stream_runtime::web::Path;

#[record(key = card)]
struct Transaction {
    card: String,
    #[field(min = 1)]
    amount: i64,
}

#[table(value = i64, ttl = "30d")]
struct Spent;

#[agent(topic = "transactions")]
async fn spend(transaction: Event<Transaction>, mut spent: Table<Spent>) {
    spent.update(transaction.key(), |sum| *sum += transaction.amount);
}

/// One a sensor; integers of both signs as keys.
#[record(timestamp = at)]
struct Reading {
    at: DateTime<Utc>,
    sensor: i64,
    value: f64,
}

#[topic("readings", value = Reading, key = i64, partitions = 2)]
struct Readings;

#[table(key = i64, tumbling = "1m")]
#[derive(Clone, Default)]
struct Minute {
    highest: f64,
}

#[topic("peaks", value = String, key = i64)]
struct Peaks;

#[agent(topic = Readings)]
async fn measure(reading: Event<Reading, i64>, mut minutes: Table<Minute>) {
    minutes.update(reading.key(), |minute| {
        minute.highest = minute.highest.max(reading.value);
    });
}

#[agent(on_close = Minute, sink = Peaks)]
async fn peak(minute: Closed<Minute>) -> (i64, String) {
    (*minute.key(), minute.highest.to_string())
}

#[record]
#[derive(Clone, Default)]
struct Customer {
    name: String,
}

#[topic("customers", value = Customer, key = i64, compact)]
struct Customers;

#[table(global, source = Customers)]
struct CustomerById;

/// Nobody reads it.
#[table(global, source = Customers)]
struct CustomerForNobody;

/// A change, as a database tells it.
#[record]
struct Envelope<T> {
    after: T,
}

#[topic("customer_changes", value = Envelope<Customer>, key = (String, i32))]
struct CustomerChanges;

#[agent(topic = CustomerChanges)]
async fn customers(_: Event<Envelope<Customer>, (String, i32)>, known: GlobalTable<CustomerById>) {
    known.read(&1, |customer| customer.name.len());
}

#[agent(topic = "word_changes", concurrency = 4)]
async fn words(_: Envelope<String>) {}

#[topic("notes", value = String, key = String, compact)]
struct Notes;

#[timer("1h")]
async fn hourly(notes: Producer<Notes>) -> Result<()> {
    notes.send("hour", "passed".to_owned()).await?;
    Ok(())
}

#[crontab("0 12 1 1 *", timezone = "Europe/Paris", on_leader)]
async fn yearly(spent: TableReader<Spent>) -> Result<()> {
    spent.get("card").await?;
    Ok(())
}

#[task]
async fn begin() {}

#[page("/spent/{card}")]
async fn spent_by(Path(card): Path<String>, spent: TableReader<Spent>) -> Result<String> {
    Ok(spent.get(&card).await?.unwrap_or_default().to_string())
}

fn main() -> ExitCode {
    App::new("typed").topic_partitions(1).main()
}
