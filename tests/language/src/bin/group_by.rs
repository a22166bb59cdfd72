#![forbid(unsafe_code)]
#![deny(warnings)]

use stream_runtime::prelude::*;

mod model {
    use stream_runtime::prelude::*;

    #[record]
    pub struct Place {
        pub country: String,
    }

    #[record]
    pub struct View {
        pub place: Place,
        pub page: String,
        pub r#type: String,
        pub day: u32,
        pub user: Option<u64>,
    }
}
use model::View;

#[table]
#[derive(Clone, Default)]
struct Seen {
    n: u64,
}

#[agent(topic = "views", group_by = page)]
async fn stream(mut views: Stream<View>, mut seen: Table<Seen>) {
    while let Some(view) = views.next().await {
        seen.update(view.key(), |row| row.n += 1);
    }
}

#[agent(topic = "views", group_by = place.country)]
async fn record(view: &View, country: Key<String>) {
    assert_eq!(view.place.country, *country);
}

#[agent(topics = ["views", "more-views"], group_by = day)]
async fn event(view: Event<View, u32>) {
    assert_eq!(*view.key(), view.day);
}

#[agent(topic = "views", group_by = user)]
async fn optional(view: Event<View, Option<u64>>) {
    assert_eq!(*view.key(), view.user);
}

#[agent(topic = "views", group_by = r#type)]
async fn raw(_view: View) {}

#[agent(topic = "views", group_by = page)]
async fn tombstones(_view: Option<View>) {}

#[agent(topic = "views", name = "daily", group_by = |view: &View| (view.page.clone(), view.day))]
async fn closure(view: Event<View, (String, u32)>) {
    let _ = view.key();
}

#[agent(topic = "views", name = "inferred", group_by = |view| view.day)]
async fn inferred(_view: View) {}

fn main() {}
