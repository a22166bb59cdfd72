//! The benchmarks' plain table: each record is a row. Its name comes from `BENCH_APP`.

use bytes::Bytes;
use stream_runtime::prelude::*;
use tests::bench::worker::mark_start;

/// A row, as it came.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Row(Bytes);

/// The newest row of each key.
#[table(key = u64, value = Row)]
struct Rows;

#[agent(topic = "bench_rows")]
async fn put(mut records: Stream<Bytes, u64>, mut rows: Table<Rows>) -> Result<()> {
    while let Some(record) = records.next().await {
        mark_start();
        rows.insert(record.key(), Row((*record).clone()));
    }
    Ok(())
}

fn main() -> ExitCode {
    let name = std::env::var("BENCH_APP").unwrap_or_else(|_| "rows".into());
    App::new(&name).main()
}
