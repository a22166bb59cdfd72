//! Page views of each country, minute by minute, although they come in by user.
//!
//! ```text
//! cargo run --bin page_views -- demo
//! ```
use stream_runtime::prelude::*;

/// A user has opened a page.
#[record(timestamp = at, key = user)]
struct View {
    user: String,
    page: String,
    from: Place,
    #[field(coerce)]
    at: DateTime<Utc>,
}

/// Where the user is.
#[record]
struct Place {
    country: String,
}

#[topic("page_views", value = View)]
struct Views;

/// A minute of a country. Views of several partitions meet here: the one that is furthest behind makes the time.
#[table(tumbling = "1m", grace = "10s", idle = "1s")]
#[derive(Clone, Default)]
struct Minute {
    views: u64,
}

/// How often pages were opened in a country in a minute.
#[record(key = country)]
struct CountryViews {
    country: String,
    minute: DateTime<Utc>,
    views: u64,
}

#[topic("views_by_country", value = CountryViews)]
struct ByCountry;

/// Views come by user and are counted by country: `group_by` sends each to the partition that counts its country.
#[agent(topic = Views, group_by = from.country)]
async fn count(view: Event<View>, mut minutes: Table<Minute>) {
    minutes.update(view.key(), |minute| minute.views += 1);
}

#[agent(on_close = Minute, sink = ByCountry)]
async fn report(minute: Closed<Minute>) -> CountryViews {
    CountryViews {
        country: minute.key().clone(),
        minute: minute.start(),
        views: minute.views,
    }
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let app = examples::process::<Views>(app, sample()).await?;
    examples::print::<ByCountry>(&app).await
}

fn main() -> ExitCode {
    App::new("page-views").main()
}

/// Three minutes of ten users in four countries.
fn sample() -> Vec<View> {
    let view = |n: u64| View {
        user: format!("user-{}", n % 10),
        page: format!("/{}", n % 4),
        from: Place {
            country: ["at", "de", "fr", "it"][(n % 10 % 4) as usize].to_owned(),
        },
        at: DateTime::UNIX_EPOCH + std::time::Duration::from_secs(3 * n),
    };
    (0..60).map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream_runtime::testing::{TestApp, at};

    #[test]
    fn every_view_counts_in_its_country_whatever_its_user_s_partition() {
        let mut app = TestApp::only((count, report)).partitions(4).workers(2);
        for (n, view) in sample().into_iter().enumerate() {
            app.send("page_views", view.user.clone(), view);
            if n == 31 {
                app.crash();
            }
        }
        app.close_until(at("1970-01-01T00:03:10Z"));
        let minutes = app.sent::<CountryViews>("views_by_country");
        let mut found: Vec<_> = minutes
            .iter()
            .map(|m| (m.minute.timestamp() / 60, m.country.as_str(), m.views))
            .collect();
        found.sort_unstable();
        let minute = |n| [(n, "at", 6), (n, "de", 6), (n, "fr", 4), (n, "it", 4)];
        assert_eq!(found, [minute(0), minute(1), minute(2)].concat());
    }
}
