//! Recoveries that cannot go on.

use super::*;
use tests::client::OpenTransaction;

/// Somebody's transaction is open in a changelog, longer than it may be: the stalled partition is named with table and
/// offsets, tried again while the other runs, and comes back by itself once the transaction is over.
#[test]
fn a_stalled_recovery_names_its_place_and_comes_back_by_itself() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    counted(&broker, &app);
    let open = OpenTransaction::write(&bootstrap, CHANGELOG, 0, 5 * MINUTE).unwrap();
    // Their next orders: the one of partition 1 is counted at once, the other when its partition is back.
    orders::send_one(&bootstrap, "0-0", 7, 0);
    orders::send_one(&bootstrap, "1-0", 7, 1);
    let mut worker = app.start(&app.impatient());
    wait_until("the other partition's total", MINUTE, || {
        has_total(&broker, "1-0", (21, 217))
    });
    let line = worker.line_with("retrying", MINUTE).unwrap();
    names(
        &line,
        &[
            "orders[0]",
            "table `orders`",
            CHANGELOG,
            "at offset",
            "attempt 2",
        ],
    );
    assert!(!has_total(&broker, "0-0", (21, 217)));
    open.abort().unwrap();
    wait_until("the stalled partition's total", MINUTE, || {
        has_total(&broker, "0-0", (21, 217))
    });
    stop(&mut worker);
    assert_eq!(orders::assert_each_counted_once(&bootstrap), 42);
}
