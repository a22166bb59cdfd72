//! Page views that come by user and are counted by page, then by quarters and by thirds of a day over all pages, and
//! orders that meet their payments by a field: what `group_by` and a join's `on` make of a backlog.

use std::time::Duration;

use stream_runtime::prelude::*;

#[record(timestamp = at, key = user)]
struct View {
    user: String,
    page: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("views", value = View)]
struct Views;

#[table(tumbling = "1h", grace = "1m")]
#[derive(Clone, Default)]
struct PageHour {
    views: u64,
}

#[record(key = page)]
struct PageViews {
    page: String,
    /// Hours since 1970.
    hour: i64,
    views: u64,
}

#[topic("page_hours", value = PageViews)]
struct PageHours;

#[agent(topic = Views, group_by = page)]
async fn count(view: Event<View>, mut hours: Table<PageHour>) {
    hours.update(view.key(), |hour| hour.views += 1);
}

#[agent(on_close = PageHour, sink = PageHours)]
async fn report(hour: Closed<PageHour>) -> PageViews {
    PageViews {
        page: hour.key().clone(),
        hour: hour.start().timestamp() / 3_600,
        views: hour.views,
    }
}

#[table(tumbling = "6h")]
#[derive(Clone, Default)]
struct Quarter {
    views: u64,
}

#[record]
struct AllViews {
    /// Hours since 1970 at its beginning.
    from: i64,
    views: u64,
}

#[agent(on_close = PageHour, name = "all_pages", group_by = |_: &Closed<PageHour>| "all".to_owned())]
async fn add(hour: Closed<PageHour>, Key(all): Key<String>, mut quarters: Table<Quarter>) {
    quarters.update(&all, |quarter| quarter.views += hour.views);
}

#[agent(on_close = Quarter, sink = "quarters")]
async fn publish(quarter: Closed<Quarter>) -> AllViews {
    AllViews {
        from: quarter.start().timestamp() / 3_600,
        views: quarter.views,
    }
}

/// The same by way of a topic.
#[record(key = of)]
struct HourViews {
    of: String,
    views: u64,
}

#[topic("hours_between", value = HourViews, internal)]
struct HoursBetween;

#[agent(on_close = PageHour, sink = HoursBetween)]
async fn tell(hour: Closed<PageHour>) -> HourViews {
    HourViews {
        of: "all".to_owned(),
        views: hour.views,
    }
}

#[table(tumbling = "8h")]
#[derive(Clone, Default)]
struct Third {
    views: u64,
}

#[agent(topic = HoursBetween)]
async fn add_hour(hour: Event<HourViews>, mut thirds: Table<Third>) {
    thirds.update(hour.key(), |third| third.views += hour.views);
}

#[agent(on_close = Third, sink = "thirds")]
async fn publish_third(third: Closed<Third>) -> AllViews {
    AllViews {
        from: third.start().timestamp() / 3_600,
        views: third.views,
    }
}

#[record(timestamp = at, key = id)]
struct Order {
    id: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("orders", value = Order)]
struct Orders;

#[record(timestamp = at, key = payer)]
struct Payment {
    payer: String,
    order: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("payments", value = Payment)]
struct Payments;

#[join(left = Orders, right = Payments, within = "10m", grace = "1m", on = (id, order), sink = "paid")]
async fn pay(order: Order, _: Payment) -> String {
    order.id
}

fn main() -> ExitCode {
    let mut app = App::new("clicks");
    if std::env::var_os("CLICKS_SOURCES_ARE_NEVER_IDLE").is_some() {
        app = app.source_idle(Duration::MAX);
    }
    let hold = std::env::var("CLICKS_HOLD_MS").ok();
    if let Some(hold) = hold.and_then(|ms| ms.parse().ok()) {
        app = app.hold(Duration::from_millis(hold));
    }
    app.main()
}
