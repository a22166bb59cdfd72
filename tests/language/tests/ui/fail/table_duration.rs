use stream_runtime::prelude::*;

#[table(tumbling = "1x")]
#[derive(Clone, Default)]
struct Unit {
    n: u64,
}

#[table(tumbling = "10")]
#[derive(Clone, Default)]
struct NoUnit {
    n: u64,
}

#[table(tumbling = "1h", grace = 30)]
#[derive(Clone, Default)]
struct NoText {
    n: u64,
}

#[table(tumbling = "0.5ms")]
#[derive(Clone, Default)]
struct HalfMillisecond {
    n: u64,
}

#[table(tumbling = "0s")]
#[derive(Clone, Default)]
struct Nothing {
    n: u64,
}

#[record]
struct View {
    page: String,
}

#[agent(topic = "views")]
async fn count(mut views: Stream<View>, mut units: Table<Unit>) {
    while let Some(view) = views.next().await {
        units.update(&view.page, |row| row.n += 1);
    }
}

#[agent(on_close = Unit)]
async fn close(_: Closed<Unit>) {}

fn main() {}
