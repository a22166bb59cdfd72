use stream_runtime::prelude::*;

#[record]
struct Order {
    id: String,
}

#[record]
struct Payment {
    order_id: String,
}

#[join(left = "orders", within = "10m")]
async fn no_right(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments")]
async fn no_within(_: Order, _: Payment) {}

#[join(left = "orders", right = "orders", within = "10m")]
async fn same(_: Order, _: Order) {}

#[join(left = "orders", right = "payments", within = "10x")]
async fn duration(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", on = (id))]
async fn one_field(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", on = (id, order_id, id))]
async fn three_fields(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", on = id)]
async fn bare_field(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", on = ("id", "order_id"))]
async fn quoted(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", kind = "outer")]
async fn kind(_: Order, _: Payment) {}

#[join(topic = "orders", within = "10m")]
async fn topic(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m")]
async fn one_parameter(_: Order) {}

#[join(left = "orders", right = "payments", within = "10m")]
fn not_async(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", sink = "shipments")]
async fn nothing_for_the_sink(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m")]
async fn changed(_: &mut Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m", backoff = "61s")]
async fn patience(_: Order, _: Payment) {}

#[join(left = "orders", right = "payments", within = "10m")]
struct Join;

fn main() {}
