//! Every window, every option and every method of a windowed table; `iter`, `range` and `ttl` of a plain one.
use std::time::Duration;

use stream_runtime::InWindow;
use stream_runtime::prelude::*;
use stream_runtime::testing::at;

#[topic("late-views", value = View)]
struct LateViews;

#[record(timestamp = time)]
struct View {
    time: DateTime<Utc>,
    user: String,
}

#[table(session = "30m", grace = "1m", idle = "5s", retention = "1d", late = LateViews)]
#[derive(Clone, Default)]
struct Visit {
    pages: u64,
}

impl Merge for Visit {
    fn merge(&mut self, later: Self) {
        self.pages += later.pages;
    }
}

#[table(sliding = "10m", late = "late-views", value = u64)]
struct Lately;

#[table(hopping = "1h", step = "10m", value = u64, retention = "1h")]
struct Hopping;

#[table(tumbling = "1h", value = u64)]
struct Hourly;

#[table(ttl = "1d", value = String)]
struct LastUser;

#[agent(topic = "views")]
async fn collect(
    mut views: Stream<View>,
    mut visits: Table<Visit>,
    mut lately: Table<Lately>,
    mut hopping: Table<Hopping>,
    mut hourly: Table<Hourly>,
    mut last: Table<LastUser>,
) {
    while let Some(view) = views.next().await {
        let pages: Option<u64> = visits.update(&view.user, |visit| {
            visit.pages += 1;
            visit.pages
        });
        lately.update(&view.user, |n| *n += 1);
        hopping.update(&view.user, |n| *n += 1);
        let at: Option<()> = hourly.update_at(&view.user, view.time, |n| *n += 1);
        let now: Option<u64> = lately.current(&view.user);
        let before: Option<u64> = hopping.delta(&view.user, Duration::from_secs(3600));
        let then: Option<Visit> = visits.at(&view.user, view.time);
        let all: Vec<InWindow<u64>> = hopping.windows(&view.user);
        for InWindow { start, end, value } in all {
            assert!(start < end && value > 0);
        }
        let _ = (pages, at, now, before, then);
        last.insert(&view.user, view.user.clone());
        let sorted: Vec<(String, String)> = last.iter().collect();
        let some = last.range("a".to_owned().."b".to_owned()).count();
        let _ = (sorted, some);
    }
}

#[agent(on_close = Visit, sink = "visits")]
async fn visit_over(visit: Closed<Visit>) -> View {
    View {
        time: visit.end(),
        user: visit.key().clone(),
    }
}

#[agent(on_close = Visit)]
async fn into_hours(visit: Closed<Visit>, mut days: Table<Days>) {
    days.update("all", |n| *n += visit.pages);
}

#[table(tumbling = "1d", grace = "1m", value = u64)]
struct Days;

fn main() {
    let closed = Closed::<Visit>::new(
        "ann".to_owned(),
        at("2026-01-01T00:00:00Z"),
        Visit::default(),
    )
    .until(at("2026-01-01T00:40:00Z"));
    assert_eq!((closed.end() - closed.start()).num_minutes(), 40);
}
