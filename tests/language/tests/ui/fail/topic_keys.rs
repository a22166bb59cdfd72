use stream_runtime::prelude::*;

#[record]
struct Order {
    customer: String,
}

#[topic("orders", value = Order, key = i64)]
struct Orders;

#[topic("payments", value = Order)]
struct Payments;

// String is the key of an `Event` that names none.
#[agent(topic = Orders)]
async fn event(_: Event<Order>) {}

#[agent(topic = Orders)]
async fn stream(_: Stream<Order, u64>) {}

#[agent(topics = [Payments, Orders])]
async fn second(_: &Event<Order>) {}

#[agent(topic = Orders)]
async fn key(_: Order, Key(_key): Key<String>) {}

// What is right.
#[agent(topic = Orders)]
async fn same(_: Event<Order, i64>, _: Key<Option<i64>>) {}

#[agent(topic = Orders)]
async fn raw(_: Event<Order, bytes::Bytes>) {}

#[agent(topic = Orders, group_by = customer)]
async fn grouped(_: Event<Order>) {}

fn main() {}
