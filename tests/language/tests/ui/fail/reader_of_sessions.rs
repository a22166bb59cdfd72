use stream_runtime::prelude::*;

#[table(sliding = "1h")]
#[derive(Clone, Default)]
struct Lately {
    n: u64,
}

#[agent(topic = "words")]
async fn count(word: String, mut rows: Table<Lately>) {
    rows.update(&word, |row| row.n += 1);
}

#[timer("10s")]
async fn read(rows: TableReader<Lately>) -> Result<()> {
    rows.at("a", Utc::now()).await?;
    Ok(())
}

fn main() {}
