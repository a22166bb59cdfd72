//! Payments that cannot be made are put aside, with the reason, and answered.
//!
//! ```text
//! cargo run --bin dead_letters -- demo
//! ```
use stream_runtime::prelude::*;

/// Somebody pays.
#[record(key = id)]
struct Payment {
    id: u64,
    #[field(min = 1, max = 1_000_000)]
    cents: i64,
    /// Never in a log, never in a message.
    #[field(sensitive)]
    card: String,
}

#[topic("payments", value = Payment)]
struct Payments;

/// Somebody has paid.
#[record(key = id)]
struct Receipt {
    id: u64,
    cents: i64,
}

#[topic("receipts", value = Receipt)]
struct Receipts;

/// What goes wrong for a while is tried again. What never goes well is rejected at once, and the payments behind it do
/// not wait.
#[agent(topic = Payments, sink = Receipts, retries = 2, backoff = "100ms", dead_letter_topic = "failed_payments")]
async fn charge(payment: Payment, bank: State<Bank>) -> Result<Receipt> {
    let Payment { id, cents, card } = payment;
    bank.charge(&card, cents).reject()?;
    Ok(Receipt { id, cents })
}

#[topic("answers", value = String, key = Option<u64>)]
struct Answers;

/// Dead letters are records like others: the bytes as they came, with headers that say what happened.
#[agent(topic = "failed_payments", sink = Answers)]
async fn answer(
    _payment: bytes::Bytes,
    Key(id): Key<Option<u64>>,
    headers: Headers,
) -> (Option<u64>, String) {
    let reason = headers.text("error").unwrap_or("no reason");
    let payment = id.map_or("A payment".to_owned(), |id| format!("Payment {id}"));
    (id, format!("{payment} was not made: {reason}"))
}

/// The bank, as far as this example needs one.
struct Bank;

impl Bank {
    fn charge(&self, card: &str, cents: i64) -> Result<(), String> {
        match card.strip_prefix("limit-").map(str::parse::<i64>) {
            Some(Ok(limit)) if cents > limit => {
                Err(format!("the card has a limit of {limit} cents"))
            }
            Some(_) => Ok(()),
            None => Err("the bank does not know this card".to_owned()),
        }
    }
}

#[state]
async fn bank() -> Bank {
    Bank
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let app = examples::process::<Payments>(app, sample()).await?;
    examples::print::<Receipts>(&app).await?;
    examples::print::<Answers>(&app).await
}

fn main() -> ExitCode {
    App::new("payments").main()
}

/// Six payments, of which three are not made.
fn sample() -> Vec<Payment> {
    let payment = |id, cents, card: &str| Payment {
        id,
        cents,
        card: card.to_owned(),
    };
    vec![
        payment(1, 1_250, "limit-5000"),
        payment(2, 7_000, "limit-5000"),
        payment(3, 400, "library card"),
        payment(4, -5, "limit-5000"),
        payment(5, 9_900, "limit-10000"),
        payment(6, 5_000, "limit-5000"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream_runtime::testing::TestApp;

    #[test]
    fn three_are_paid_and_three_are_answered() {
        let mut app = TestApp::only((charge, answer)).partitions(2);
        for payment in sample() {
            app.send("payments", payment.id, payment);
        }
        app.send_raw("payments", None, Some(b"{\"id\":7}"));
        let mut receipts: Vec<u64> = app
            .sent::<Receipt>("receipts")
            .iter()
            .map(|r| r.id)
            .collect();
        receipts.sort_unstable();
        assert_eq!(receipts, [1, 5, 6]);

        let answers = app.sent::<String>("answers");
        let mut answers: Vec<&str> = answers.iter().map(|answer| answer.as_str()).collect();
        answers.sort_unstable();
        assert_eq!(answers.len(), 4, "{answers:?}");
        assert!(answers[0].contains("missing field"), "{answers:?}");
        assert_eq!(
            answers[1],
            "Payment 2 was not made: the card has a limit of 5000 cents"
        );
        assert_eq!(
            answers[2],
            "Payment 3 was not made: the bank does not know this card"
        );
        assert!(answers[3].contains("at least 1"), "{answers:?}");
        let text = answers.concat();
        assert!(
            !text.contains("library card") && !text.contains("limit-"),
            "{text}"
        );
    }
}
