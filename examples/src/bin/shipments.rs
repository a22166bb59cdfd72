//! Orders meet their payments: what is paid within ten minutes is shipped, what is not is told.
//!
//! ```text
//! cargo run --bin shipments -- demo
//! ```
use stream_runtime::prelude::*;

/// Somebody has ordered.
#[record(timestamp = at, key = id)]
struct Order {
    id: String,
    item: String,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("orders", value = Order)]
struct Orders;

/// The bank has been paid. It counts payments by numbers of its own.
#[record(timestamp = at, key = number)]
struct Payment {
    number: String,
    order: String,
    cents: u64,
    #[field(coerce)]
    at: DateTime<Utc>,
}

#[topic("payments", value = Payment)]
struct Payments;

/// What is to be done about an order.
#[record(key = order)]
struct Shipment {
    order: String,
    item: String,
    paid: Option<u64>,
}

#[topic("shipments", value = Shipment)]
struct Shipments;

/// An order and its payment, or after ten minutes the order alone: the `Option` says that it is a left join. Payments
/// come under numbers of the bank's, so they go to the partition of their order first.
#[join(left = Orders, right = Payments, within = "10m", grace = "30m", idle = "1s", on = (id, order), sink = Shipments)]
async fn ship(order: Order, payment: Option<Payment>) -> Shipment {
    Shipment {
        order: order.id,
        item: order.item,
        paid: payment.map(|payment| payment.cents),
    }
}

/// Shows it at once: broker, producer, worker and consumer in one process
#[command]
async fn demo(app: AppHandle) -> Result<()> {
    let (orders, payments) = sample();
    let app = app.scratch()?;
    examples::send::<Orders>(&app, orders).await?;
    examples::send::<Payments>(&app, payments).await?;
    app.worker().until_caught_up().run().await?;
    examples::print::<Shipments>(&app).await
}

fn main() -> ExitCode {
    App::new("shipments").main()
}

/// Four orders; one is paid too late, one never.
fn sample() -> (Vec<Order>, Vec<Payment>) {
    let at = |minute: u64| DateTime::UNIX_EPOCH + std::time::Duration::from_secs(60 * minute);
    let order = |id: &str, minute, item: &str| Order {
        id: id.to_owned(),
        item: item.to_owned(),
        at: at(minute),
    };
    let payment = |number: u64, order: &str, minute, cents| Payment {
        number: number.to_string(),
        order: order.to_owned(),
        cents,
        at: at(minute),
    };
    (
        vec![
            order("a", 0, "lamp"),
            order("b", 1, "chair"),
            order("c", 2, "desk"),
            order("d", 3, "shelf"),
        ],
        vec![
            payment(1, "a", 1, 4_000),
            payment(2, "c", 12, 15_000),
            payment(3, "b", 12, 9_000),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream_runtime::testing::{TestApp, at};

    #[test]
    fn orders_are_shipped_with_their_payments_or_told_alone() {
        let mut app = TestApp::only((ship,)).partitions(3).workers(2);
        let (orders, payments) = sample();
        for order in orders {
            app.send("orders", order.id.clone(), order);
        }
        app.crash();
        for payment in payments {
            app.send("payments", payment.number.clone(), payment);
        }
        app.rebalance();
        app.close_until(at("1970-01-01T02:00:00Z"));
        let shipments = app.sent::<Shipment>("shipments");
        let mut found: Vec<_> = shipments
            .iter()
            .map(|shipment| (shipment.order.as_str(), shipment.paid))
            .collect();
        found.sort_unstable();
        // Eleven minutes are too long for b; the payment of c comes just in time.
        let expected = [
            ("a", Some(4_000)),
            ("b", None),
            ("c", Some(15_000)),
            ("d", None),
        ];
        assert_eq!(found, expected);
    }
}
