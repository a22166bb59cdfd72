//! What each account withdraws in ten minutes, and an alert at once when it is too much.
//!
//! ```text
//! cargo run --bin withdrawals -- demo
//! ```
use stream_runtime::prelude::*;

/// More than this in ten minutes is an alert: 1 000.00.
const LIMIT: u64 = 100_000;

/// Money that left an account.
#[record(timestamp = at, key = account)]
struct Withdrawal {
    account: String,
    #[field(coerce)]
    at: DateTime<Utc>,
    #[field(min = 1)]
    cents: u64,
}

#[topic("withdrawals", value = Withdrawal)]
struct Withdrawals;

/// An account's withdrawals of ten minutes.
#[table(tumbling = "10m", grace = "30s", idle = "1s")]
#[derive(Clone, Default)]
struct TenMinutes {
    count: u32,
    cents: u64,
    alerted: bool,
}

/// Somebody should look at this account now.
#[record(key = account)]
struct Alert {
    account: String,
    cents: u64,
}

#[topic("alerts", value = Alert)]
struct Alerts;

/// The withdrawals of ten minutes that are over.
#[record(key = account)]
struct Sum {
    account: String,
    start: DateTime<Utc>,
    count: u32,
    cents: u64,
}

#[topic("withdrawal_sums", value = Sum)]
struct Sums;

/// Alerts with the withdrawal that passes the limit, and once in a window.
#[agent(topic = Withdrawals, sink = Alerts)]
async fn watch(withdrawal: Withdrawal, mut sums: Table<TenMinutes>) -> Option<Alert> {
    let Withdrawal { account, cents, .. } = withdrawal;
    let cents = sums.update(&account, |sum| {
        sum.count += 1;
        sum.cents += cents;
        let alert = sum.cents > LIMIT && !sum.alerted;
        sum.alerted |= alert;
        alert.then_some(sum.cents)
    })??;
    Some(Alert { account, cents })
}

#[agent(on_close = TenMinutes, sink = Sums)]
async fn report(window: Closed<TenMinutes>) -> Sum {
    Sum {
        account: window.key().clone(),
        start: window.start(),
        count: window.count,
        cents: window.cents,
    }
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let app = examples::process::<Withdrawals>(app, sample()).await?;
    examples::print::<Alerts>(&app).await?;
    examples::print::<Sums>(&app).await
}

fn main() -> ExitCode {
    App::new("withdrawals").main()
}

/// Half an hour of three accounts; one of them is in a hurry.
fn sample() -> Vec<Withdrawal> {
    let at = |minute: u64| DateTime::UNIX_EPOCH + std::time::Duration::from_secs(60 * minute);
    let one = |account: &str, minute, cents| Withdrawal {
        account: account.to_owned(),
        at: at(minute),
        cents,
    };
    vec![
        one("ann", 1, 5_000),
        one("bob", 2, 60_000),
        one("bob", 3, 30_000),
        one("cleo", 4, 20_000),
        one("bob", 6, 20_000),
        one("bob", 7, 40_000),
        one("ann", 12, 7_500),
        one("bob", 15, 90_000),
        one("cleo", 25, 20_000),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream_runtime::testing::{TestApp, at};

    #[test]
    fn bob_is_told_of_once_and_every_window_is_summed() {
        let mut app = TestApp::only((watch, report)).partitions(3);
        for withdrawal in sample() {
            app.send("withdrawals", withdrawal.account.clone(), withdrawal);
        }
        let alerts = app.sent::<Alert>("alerts");
        assert_eq!(alerts.len(), 1);
        assert_eq!(
            (alerts[0].account.as_str(), alerts[0].cents),
            ("bob", 110_000)
        );

        app.close_until(at("1970-01-01T01:00:00Z"));
        let sums = app.sent::<Sum>("withdrawal_sums");
        let of = |account: &str| -> Vec<(u32, u64)> {
            let sums = sums.iter().filter(|sum| sum.account == account);
            sums.map(|sum| (sum.count, sum.cents)).collect()
        };
        assert_eq!(of("ann"), [(1, 5_000), (1, 7_500)]);
        assert_eq!(of("bob"), [(4, 150_000), (1, 90_000)]);
        assert_eq!(of("cleo"), [(1, 20_000), (1, 20_000)]);
    }
}
