#![forbid(unsafe_code)]
#![deny(warnings)]

use stream_runtime::prelude::*;

#[record(timestamp = at, key = id)]
struct Order {
    id: String,
    #[field(coerce)]
    at: DateTime<Utc>,
    r#type: u32,
}

#[record(timestamp = at)]
struct Payment {
    order: Place,
    #[field(coerce)]
    at: DateTime<Utc>,
    r#type: u32,
}

#[record]
struct Place {
    id: String,
}

#[record]
struct Shipment {
    paid: bool,
}

#[topic("orders", value = Order)]
struct Orders;

#[topic("payments", value = Payment)]
struct Payments;

#[topic("shipments", value = Shipment)]
struct Shipments;

#[table]
#[derive(Clone, Default)]
struct Seen {
    n: u64,
}

#[join(left = Orders, right = Payments, within = "10m")]
async fn inner(_order: Order, _payment: Payment) {}

#[join(left = Orders, right = "payments", within = "10m", grace = "1m", idle = "5s", sink = Shipments)]
async fn left(order: &Order, payment: Option<Payment>) -> Result<Shipment> {
    let _ = order;
    Ok(Shipment {
        paid: payment.is_some(),
    })
}

#[join(left = "orders", right = Payments, within = "0ms", on = (id, order.id), sink = "shipments")]
async fn right(order: &Option<Order>, payment: &Payment) -> (String, Shipment) {
    (
        payment.order.id.clone(),
        Shipment {
            paid: order.is_some(),
        },
    )
}

#[join(left = Orders, right = Payments, within = "1s", on = (r#type, r#type), name = "both", retries = 1)]
async fn outer(
    order: Option<Order>,
    payment: Option<Payment>,
    Key(_key): Key<u32>,
    mut seen: Table<Seen>,
    shipments: Topic<Shipments>,
) -> Result<()> {
    seen.update("all", |row| row.n += 1);
    let paid = order.is_some() && payment.is_some();
    shipments.send("all", Shipment { paid }).await?;
    Ok(())
}

fn main() {}
