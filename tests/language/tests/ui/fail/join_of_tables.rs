use stream_runtime::prelude::*;

#[record]
#[derive(Clone, Default)]
struct Order {
    id: u64,
    customer_id: u64,
}

#[record]
#[derive(Clone, Default)]
struct Customer {
    id: u64,
}

#[topic("orders", value = Order, key = u64)]
struct Orders;

#[topic("customers", value = Customer, key = u64)]
struct Customers;

#[table(source = Orders)]
struct OrderTable;

#[table(source = Customers)]
struct CustomerTable;

#[join(left = OrderTable, right = CustomerTable, on = (customer_id, id))]
async fn of_tables(_: Order, _: Customer) {}

#[join(left = Orders, right = CustomerTable)]
async fn of_one_table(_: Order, _: Customer) {}

#[join(left = Orders, right = Customers)]
async fn without_within(_: Order, _: Customer) {}

fn main() {}
