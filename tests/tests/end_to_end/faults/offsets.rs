//! Offsets that are not what the tables or the log say.

use super::*;

/// Offsets moved back by hand, without the tables: that partition refuses and names both offsets and the cure, the
/// others are worked off, the exit code says that something is left.
#[test]
fn offsets_reset_by_hand_are_refused_until_the_tables_are_reset_too() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    counted(&broker, &app);
    client::set_committed(&bootstrap, GROUP, INPUT, 0, 5).unwrap();
    orders::send_one(&bootstrap, "0-0", 7, 0);
    orders::send_one(&bootstrap, "1-0", 7, 1);
    let output = ends_badly(&app);
    names(&output, &["orders[0]", "offset is 5", "at 20", "reset"]);
    assert!(has_total(&broker, "1-0", (21, 217)), "the other goes on");
    assert!(has_total(&broker, "0-0", (20, 210)), "nothing twice");
    is_cured_by_reset(&broker, &app, (21, 217));
}

/// Offsets moved forward by hand, or by a consumer that took the app's group id: that partition refuses until somebody
/// says that it is meant, and then goes on behind what was skipped.
#[test]
fn offsets_moved_forward_are_taken_when_that_is_said() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    counted(&broker, &app);
    orders::send(&bootstrap, orders::records(2, 1, 10));
    client::set_committed(&bootstrap, GROUP, INPUT, 0, 29).unwrap();
    let output = ends_badly(&app);
    names(
        &output,
        &["orders[0]", "offset 29", "--on-foreign-commit take"],
    );
    assert!(has_total(&broker, "0-0", (20, 210)));
    assert!(has_total(&broker, "1-0", (30, 265)), "the other goes on");
    let take = [
        &app.until_caught_up()[..],
        &["--on-foreign-commit", "take"].map(str::to_owned),
    ];
    app.run(&take.concat(), MINUTE).unwrap();
    assert!(has_total(&broker, "0-0", (21, 220)), "the last one only");
    assert!(has_total(&broker, "1-0", (30, 265)));
}

/// Records deleted before they were read: by default that partition stops, names both offsets and how many are lost;
/// with `on_gap(Skip)` it goes on behind them.
#[test]
fn a_gap_in_the_input_stops_its_partition_unless_it_may_be_skipped() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    counted(&broker, &app);
    orders::send(&bootstrap, orders::records(2, 1, 20));
    client::delete_records(&bootstrap, INPUT, 0, 30).unwrap();
    let output = ends_badly(&app);
    let all = [
        "orders[0]",
        "read is 20",
        "begins at 30",
        "10 offsets were deleted",
        "on_gap",
    ];
    names(&output, &all);
    assert!(has_total(&broker, "1-0", (40, 420)), "the other goes on");
    assert!(has_total(&broker, "0-0", (20, 210)));

    let mut skips = app.command(&app.until_caught_up());
    skips.env("FAULTY_SKIPS_GAPS", "1");
    let mut worker = app.start_command(&skips);
    assert!(
        worker.wait(MINUTE).unwrap().success(),
        "{}",
        worker.output()
    );
    names(&worker.output(), &["10 offsets were deleted"]);
    assert!(has_total(&broker, "0-0", (30, 365)), "behind the gap");
}

/// The same while the worker runs: it sleeps, and wakes to find its next offset gone.
#[test]
fn a_gap_that_opens_under_a_running_worker_is_noticed() {
    for skips in [false, true] {
        let broker = Broker::embedded();
        let bootstrap = broker.bootstrap();
        let app = app(&broker);
        counted(&broker, &app);
        let mut command = app.command(&["worker", "--kafka", "session.timeout.ms=45000"]);
        if skips {
            command.env("FAULTY_SKIPS_GAPS", "1");
        }
        let mut worker = app.start_command(&command);
        orders::send(&bootstrap, orders::records(2, 1, 20));
        wait_until("the totals", MINUTE, || {
            has_total(&broker, "0-0", (40, 420)) && has_total(&broker, "1-0", (40, 420))
        });
        worker.signal("STOP").unwrap();
        orders::send(&bootstrap, orders::records(2, 1, 20));
        client::delete_records(&bootstrap, INPUT, 0, 50).unwrap();
        worker.signal("CONT").unwrap();
        // What the broker was asked for before may still come: then it is not a gap.
        wait_until("a word about the gap", MINUTE, || {
            worker
                .output()
                .contains("were deleted before they were read")
                || has_total(&broker, "0-0", (60, 630))
        });
        if has_total(&broker, "0-0", (60, 630)) {
            tests::skip::skip("the records were on their way before they were deleted");
            stop(&mut worker);
            continue;
        }
        wait_until("the other's total", MINUTE, || {
            has_total(&broker, "1-0", (60, 630))
        });
        if skips {
            wait_until("what is behind the gap", MINUTE, || {
                has_total(&broker, "0-0", (50, 575))
            });
            stop(&mut worker);
        } else {
            names(&worker.output(), &["orders[0]", "begins at 50", "failed"]);
            worker.signal("TERM").unwrap();
            let status = worker.wait(MINUTE).unwrap();
            assert_eq!(status.code(), Some(1), "{}", worker.output());
        }
    }
}

/// The input made again, shorter than it was: its offsets mean other records now.
#[test]
fn an_input_that_was_made_again_is_refused() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = app(&broker);
    counted(&broker, &app);
    client::delete_topics(&bootstrap, &[INPUT]).unwrap();
    orders::create(&bootstrap, 2);
    orders::send(&bootstrap, orders::records(2, 1, 5));
    let output = ends_badly(&app);
    names(&output, &["orders[0]", "read is 20", "ends at 5", "reset"]);
    is_cured_by_reset(&broker, &app, (5, 15));
}
