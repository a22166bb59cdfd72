//! In which order the agents of a topic get an event.

use crate::prelude::*;
use crate::testing::{TestApp, at};

#[record]
#[derive(Clone, Default)]
struct Price {
    cents: u32,
}

#[record]
struct Said {
    cents: Option<u32>,
}

#[topic("order-prices", value = Price)]
struct Prices;

#[table(source = Prices)]
struct PriceOf;

/// Before the table by its name, and by its place.
#[agent(topic = Prices, name = "a_changes", sink = "order-a")]
async fn early(price: Event<Price>, prices: Table<PriceOf>) -> Said {
    assert!(price.cents > 0);
    Said {
        cents: prices.read(price.key(), |price| price.cents),
    }
}

/// Behind it by its name.
#[agent(topic = Prices, name = "z_changes", sink = "order-z")]
async fn late(price: Event<Price>, prices: Table<PriceOf>) -> Said {
    assert!(price.cents > 0);
    Said {
        cents: prices.read(price.key(), |price| price.cents),
    }
}

fn said(app: &mut TestApp, topic: &str) -> Vec<Option<u32>> {
    app.sent::<Said>(topic)
        .iter()
        .map(|said| said.cents)
        .collect()
}

#[test]
fn a_reader_of_a_topic_s_table_sees_the_row_of_its_own_event_whatever_it_is_called() {
    let mut app = TestApp::only((early, late)).partitions(2);
    for cents in [100, 90, 80] {
        app.send("order-prices", "a", Price { cents });
    }
    let expected = [Some(100), Some(90), Some(80)];
    assert_eq!(said(&mut app, "order-a"), expected);
    assert_eq!(said(&mut app, "order-z"), expected);
}

mod waits {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

    #[table]
    #[derive(Clone, Default)]
    struct Totals {
        cents: u32,
    }

    /// Reads what the next one writes.
    #[agent(topic = "order-wait", name = "a_reader", sink = "order-wait-out")]
    async fn read(price: Event<Price>, totals: Table<Totals>) -> Said {
        Said {
            cents: totals.read(price.key(), |row| row.cents),
        }
    }

    /// Takes its time, and fails once.
    #[agent(topic = "order-wait", name = "z_writer", backoff = "1s")]
    async fn write(price: Event<Price>, mut totals: Table<Totals>) -> Result {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        totals.update(price.key(), |row| row.cents += price.cents);
        if ATTEMPTS.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err("not yet".into());
        }
        Ok(())
    }

    #[test]
    fn a_reader_waits_for_a_writer_that_awaits_or_is_tried_again() {
        let mut app = TestApp::only((read, write)).partitions(1);
        app.send("order-wait", "a", Price { cents: 5 });
        assert_eq!(said(&mut app, "order-wait-out"), []);
        app.advance_to(at("1970-01-01T00:00:02Z"));
        assert_eq!(said(&mut app, "order-wait-out"), [Some(5)]);
        app.send("order-wait", "a", Price { cents: 2 });
        assert_eq!(said(&mut app, "order-wait-out"), [Some(5), Some(7)]);
    }
}

mod circle {
    use super::*;

    #[table]
    #[derive(Clone, Default)]
    struct Ins {
        n: u32,
    }

    #[table]
    #[derive(Clone, Default)]
    struct Outs {
        n: u32,
    }

    /// The first of the circle: it stands first.
    #[agent(topic = "order-circle", name = "z_first", sink = "order-circle-1")]
    async fn first(price: Event<Price>, mut ins: Table<Ins>, outs: Table<Outs>) -> Said {
        ins.update(price.key(), |row| row.n += 1);
        Said {
            cents: outs.read(price.key(), |row| row.n),
        }
    }

    #[agent(topic = "order-circle", name = "a_second", sink = "order-circle-2")]
    async fn second(price: Event<Price>, mut outs: Table<Outs>, ins: Table<Ins>) -> Said {
        outs.update(price.key(), |row| row.n += 1);
        Said {
            cents: ins.read(price.key(), |row| row.n),
        }
    }

    #[test]
    fn a_circle_goes_by_file_and_line() {
        let mut app = TestApp::only((second, first)).partitions(1);
        for _ in 0..2 {
            app.send("order-circle", "a", Price { cents: 1 });
        }
        assert_eq!(said(&mut app, "order-circle-1"), [None, Some(1)]);
        assert_eq!(said(&mut app, "order-circle-2"), [Some(1), Some(2)]);
    }
}
