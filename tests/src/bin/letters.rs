//! An app that cannot handle some orders until it is repaired: for tests of dead letters.

use stream_runtime::prelude::*;

/// An order; `bad` ones fail until the environment says `LETTERS_REPAIRED`.
#[record(timestamp = at)]
struct Order {
    #[field(coerce)]
    at: DateTime<Utc>,
    amount: i64,
    #[serde(default)]
    bad: bool,
}

/// An order that was handled.
#[record]
struct Handled {
    amount: i64,
    trace: Option<String>,
}

/// The orders of a second.
#[table(key = String, tumbling = "1s")]
#[derive(Clone, Default)]
struct Seconds {
    count: u64,
}

#[agent(topic = "orders", sink = "handled", retries = 1, backoff = "1ms")]
async fn handle(order: Order, headers: Headers) -> Result<Handled> {
    if order.bad && !is_repaired() {
        Err(format!("order of {} is bad", order.amount))?;
    }
    let trace = headers.get("trace");
    let trace = trace.map(|trace| String::from_utf8_lossy(trace).into_owned());
    Ok(Handled {
        amount: order.amount,
        trace,
    })
}

#[agent(topic = "orders")]
async fn audit(order: Event<Order>, mut seconds: Table<Seconds>) {
    seconds.update(order.key(), |second| second.count += 1);
}

/// Takes no second that had more than two orders, until it is repaired.
#[agent(on_close = Seconds, sink = "seconds")]
async fn close(second: Closed<Seconds>) -> Result<String> {
    if second.count > 2 && !is_repaired() {
        Err(format!("{} orders in a second", second.count)).reject()?;
    }
    Ok(format!(
        "{} from {}",
        second.count,
        second.start().to_rfc3339()
    ))
}

/// A page was seen.
#[record]
struct View {
    page: String,
    #[serde(default)]
    bad: bool,
}

/// Comes to it by page.
#[agent(topic = "views", group_by = page, sink = "viewed", retries = 0)]
async fn view(view: Event<View>) -> Result<String> {
    if view.bad && !is_repaired() {
        Err(format!("the view of {} is bad", view.page))?;
    }
    Ok(view.page.clone())
}

/// Something was noted, and may be deleted.
#[topic("notes", value = String)]
struct Notes;

/// Prints the notes, read both ways, with those that were deleted
#[command]
async fn print_notes(app: AppHandle) -> Result<()> {
    let all = app.all_records::<Option<Notes>>().await?;
    let mut coming = app.records::<Option<Notes>>()?;
    for note in &all {
        let same = coming.next().await?;
        let text = |note: &Option<String>| note.clone().unwrap_or_else(|| "deleted".into());
        println!(
            "{}: {} = {}",
            note.key,
            text(&note.value),
            text(&same.value)
        );
    }
    Ok(())
}

fn is_repaired() -> bool {
    std::env::var_os("LETTERS_REPAIRED").is_some()
}

fn main() -> ExitCode {
    App::new("letters").main()
}
