//! The sessions of a user: clicks at most half an hour apart belong together.
//!
//! ```text
//! cargo run --bin sessions -- demo
//! ```
use stream_runtime::prelude::*;

/// A user has clicked.
#[record(timestamp = at, key = user)]
struct Click {
    user: String,
    page: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("clicks", value = Click)]
struct Clicks;

/// The clicks of one session.
#[table(session = "30m", grace = "30m", idle = "1s")]
#[derive(Clone, Default)]
struct Visit {
    pages: Vec<String>,
}

/// A click between two sessions makes one of them.
impl Merge for Visit {
    fn merge(&mut self, later: Self) {
        self.pages.extend(later.pages);
    }
}

/// A session that is over.
#[record(key = user)]
struct Session {
    user: String,
    from: DateTime<Utc>,
    minutes: i64,
    pages: Vec<String>,
}

#[topic("sessions", value = Session)]
struct Sessions;

#[agent(topic = Clicks)]
async fn follow(click: Click, mut visits: Table<Visit>) {
    let Click { user, page, .. } = click;
    visits.update(&user, |visit| visit.pages.push(page));
}

#[agent(on_close = Visit, sink = Sessions)]
async fn leave(visit: Closed<Visit>) -> Session {
    // A session's window ends half an hour after its last click.
    let last = visit.end() - std::time::Duration::from_millis(30 * 60_000 + 1);
    Session {
        user: visit.key().clone(),
        from: visit.start(),
        minutes: (last - visit.start()).num_minutes(),
        pages: visit.pages.clone(),
    }
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let app = examples::process::<Clicks>(app, sample()).await?;
    examples::print::<Sessions>(&app).await
}

fn main() -> ExitCode {
    App::new("sessions").main()
}

/// A morning of two users; one click comes late, and makes one session of two.
fn sample() -> Vec<Click> {
    let click = |user: &str, minute: u64, page: &str| Click {
        user: user.to_owned(),
        page: page.to_owned(),
        at: DateTime::UNIX_EPOCH + std::time::Duration::from_secs(60 * minute),
    };
    vec![
        click("ann", 0, "/"),
        click("ann", 10, "/shoes"),
        click("bob", 12, "/"),
        click("bob", 60, "/hats"),
        click("bob", 36, "/socks"),
        click("ann", 75, "/"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream_runtime::testing::{TestApp, at};

    #[test]
    fn clicks_that_are_near_each_other_are_one_session() {
        let mut app = TestApp::only((follow, leave));
        for click in sample() {
            app.send("clicks", click.user.clone(), click);
        }
        app.crash();
        app.close_until(at("1970-01-01T03:00:00Z"));
        let sessions = app.sent::<Session>("sessions");
        let of = |user: &str| -> Vec<(i64, Vec<&str>)> {
            let sessions = sessions.iter().filter(|session| session.user == user);
            sessions
                .map(|s| (s.minutes, s.pages.iter().map(String::as_str).collect()))
                .collect()
        };
        assert_eq!(of("ann"), [(10, vec!["/", "/shoes"]), (0, vec!["/"])]);
        assert_eq!(of("bob"), [(48, vec!["/", "/hats", "/socks"])]);
    }
}
