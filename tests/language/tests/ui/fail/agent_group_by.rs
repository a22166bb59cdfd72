use stream_runtime::prelude::*;

#[record]
struct Place {
    country: String,
}

#[record]
struct View {
    place: Place,
    page: String,
    day: u32,
    seconds: f64,
    country: Option<String>,
}

#[table(tumbling = "1h")]
#[derive(Clone, Default)]
struct Hour {
    n: u64,
}

// A field that does not exist.
#[agent(topic = "views", group_by = pag)]
async fn missing(_: Stream<View>) {}

// A field of a field that does not exist.
#[agent(topic = "views", group_by = place.city)]
async fn missing_below(_: View) {}

// The stream's keys are of another type.
#[agent(topic = "views", group_by = day)]
async fn another_type(_: Stream<View>) {}

// No key type.
#[agent(topic = "views", group_by = seconds)]
async fn no_key(_: View) {}

// A closure that makes another key than the stream has.
#[agent(topic = "views", name = "another", group_by = |view: &View| (view.page.clone(), view.day))]
async fn another_closure(_: Stream<View>) {}

// A field that may be missing makes a key that may be missing.
#[agent(topic = "views", group_by = country)]
async fn may_be_missing(_: Event<View>) {}

// No key type, and an event that names its own.
#[agent(topic = "views", group_by = seconds)]
async fn no_key_of_event(_: Event<View>) {}

#[agent(topic = "views", group_by = seconds)]
async fn no_key_of_stream(_: Stream<View, u32>) {}

fn main() {}
