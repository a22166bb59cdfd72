use stream_runtime::prelude::*;

#[table]
#[derive(Clone, Default)]
struct Rows {
    n: u64,
}

#[topic("words", value = String)]
struct Words;

#[agent(topic = Words)]
async fn count(word: String, mut rows: Table<Rows>) {
    rows.update(&word, |row| row.n += 1);
}

#[timer("10s")]
async fn number(_: u64) {}

#[timer("10s")]
async fn table(_: State<u8>, _: &mut Table<Rows>) {}

#[crontab("0 * * * *")]
async fn topic(_: Topic<Words>) {}

#[task(on = "stop")]
async fn handle(_: AppHandle) {}

#[timer("10s", per = "partition")]
async fn producer(_: Table<Rows>, _: Producer<Words>) {}

#[crontab("@daily", per = "partition")]
async fn key(_: Table<Rows>, _: Key<String>) {}

fn main() {}
