use stream_runtime::prelude::*;

#[record(key = id)]
struct Order {
    id: String,
    item: u32,
}

#[record]
struct Payment {
    order_id: String,
    number: u64,
}

#[record]
struct Shipment {
    item: u32,
}

#[topic("orders", value = Order)]
struct Orders;

#[topic("payments", key = u64, value = Payment)]
struct Payments;

#[topic("shipments", value = Shipment)]
struct Shipments;

struct NoRecord;

// A field that does not exist, left and right.
#[join(left = Orders, right = Payments, within = "10m", on = (ids, order_id))]
async fn left_field(_: Order, _: Payment) {}

#[join(left = Orders, right = Payments, within = "10m", on = (id, order))]
async fn right_field(_: Order, _: Payment) {}

// Fields of two types.
#[join(left = Orders, right = Payments, within = "10m", on = (id, number))]
async fn two_types(_: Order, _: Payment) {}

// Topics whose keys are of two types.
#[join(left = Orders, right = Payments, within = "10m")]
async fn two_keys(_: Order, _: Payment) {}

// The sides in the other order.
#[join(left = Orders, right = Shipments, within = "10m")]
async fn other_order(_: Shipment, _: Order) {}

// No record.
#[join(left = "orders", right = "shipments", within = "10m")]
async fn no_record(_: Order, _: NoRecord) {}

// Another record than the sink's.
#[join(left = Orders, right = Shipments, within = "10m", sink = Shipments)]
async fn other_sink(order: Order, _: Shipment) -> Order {
    order
}

// What cannot be injected.
#[join(left = Orders, right = Shipments, within = "10m")]
async fn parameter(_: Order, _: Shipment, _: Vec<u8>) {}

fn main() {}
