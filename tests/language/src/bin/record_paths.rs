use stream_runtime::prelude::*;

/// A key three fields deep, of another module.
#[record(key = customer.address.city, timestamp = meta.at)]
struct Order {
    customer: crate::people::Customer,
    meta: Meta,
}

#[record]
struct Meta {
    at: DateTime<Utc>,
}

#[record(key = of.r#type)]
enum Event {
    Opened { of: Door },
    Closed { of: Door, by: String },
}

#[record]
struct Door {
    r#type: u32,
}

#[record(key = inner.id)]
struct Outer<T> {
    inner: Inner<T>,
}

#[record]
struct Inner<T> {
    id: u64,
    of: T,
}

mod people {
    use stream_runtime::prelude::*;

    #[record]
    pub struct Customer {
        pub address: Address,
        secret: Hidden,
    }

    #[record]
    pub struct Address {
        pub city: String,
        #[cfg(any())]
        pub gone: Missing,
    }

    #[record]
    struct Hidden {
        n: u8,
    }
}

fn main() {
    let order = br#"{"customer":{"address":{"city":"Ulm"},"secret":{"n":1}},"meta":{"at":"2006-12-16T17:24:00Z"}}"#;
    let order = Order::decode(Some(order)).unwrap();
    assert_eq!(order.key().as_deref(), Some("Ulm"));
    let event = Event::Closed {
        of: Door { r#type: 7 },
        by: String::new(),
    };
    assert_eq!(event.key(), Some(7));
    let _ = Event::Opened {
        of: Door { r#type: 1 },
    };
}
