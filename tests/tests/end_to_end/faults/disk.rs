//! A disk without room.

use super::*;
use std::process::Command;
use tests::progress::Progress;

/// The command with files that may not grow beyond so many bytes: to the worker that is a disk without room, and it can
/// be lifted while it runs. `None`: no `prlimit` here.
fn with_little_room(command: &Command, bytes: u64) -> Option<Command> {
    if Command::new("prlimit").arg("--version").output().is_err() {
        tests::skip::skip("prlimit is not installed: no test of a full disk");
        return None;
    }
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--fsize={bytes}:unlimited"));
    // SIGXFSZ ignored, so that a write fails as on a full disk instead of killing.
    limited.args(["--", "sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        limited.current_dir(dir);
    }
    Some(limited)
}

fn make_room(worker: &Leashed) {
    let pid = worker.pid().to_string();
    let mut command = Command::new("prlimit");
    let status = command
        .args(["--pid", &pid, "--fsize=unlimited:unlimited"])
        .status();
    assert!(status.unwrap().success());
}

/// Many keys, so that the store grows: three rounds of orders.
fn round(broker: &Broker) {
    orders::send(&broker.bootstrap(), orders::records(2, 20_000, 1));
}

/// Full while it runs: said so, everything goes on from memory and changelog, and the store catches up when there is
/// room. Killed while it was full, the next worker has it all the same.
#[test]
fn a_disk_that_is_full_costs_the_store_and_nothing_else() {
    for killed in [false, true] {
        let broker = Broker::embedded();
        let bootstrap = broker.bootstrap();
        let app = app(&broker);
        orders::create(&bootstrap, 2);
        let Some(command) = with_little_room(&app.command(&app.impatient()), 600_000) else {
            return;
        };
        let mut worker = app.start_command(&command);
        for _ in 0..2 {
            round(&broker);
            Progress::of(&bootstrap, GROUP, INPUT).wait_for_all();
        }
        let line = worker.line_with("cannot", MINUTE).unwrap();
        assert!(line.contains("store"), "{line}");
        round(&broker);
        Progress::of(&bootstrap, GROUP, INPUT).wait_for_all();
        if killed {
            worker.kill();
        } else {
            make_room(&worker);
            stop(&mut worker);
        }
        round(&broker);
        app.run(&app.until_caught_up(), 2 * MINUTE).unwrap();
        assert_eq!(orders::assert_each_counted_once(&bootstrap), 160_000);
    }
}

/// Stores that were set aside as corrupt.
fn set_aside(app: &App) -> usize {
    let slot = app.dir().join(".stream").join(GROUP).join("worker-0");
    let names = std::fs::read_dir(slot).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".bad-")).count()
}

/// Full before there is anything in a store: as while it runs, all goes on from memory and changelog, and it is said.
#[test]
fn a_disk_that_is_full_before_the_first_start_costs_the_store_and_nothing_else() {
    let broker = Broker::embedded();
    let app = app(&broker);
    orders::create(&broker.bootstrap(), 2);
    round(&broker);
    let Some(command) = with_little_room(&app.command(&app.until_caught_up()), 50_000) else {
        return;
    };
    let mut worker = app.start_command(&command);
    assert!(worker.wait(2 * MINUTE).unwrap().success());
    names(
        &worker.output(),
        &["cannot", "store", "make room on that disk"],
    );
    round(&broker);
    app.run(&app.until_caught_up(), 2 * MINUTE).unwrap();
    assert_eq!(
        orders::assert_each_counted_once(&broker.bootstrap()),
        80_000
    );
    assert_eq!(set_aside(&app), 0);
}

/// Full when a worker starts that has a store, which cannot be opened then: it ends, says what to do, and the store is
/// not taken for a corrupt one. With room it goes on.
#[test]
fn a_store_on_a_disk_that_is_full_at_the_start_is_named_and_kept() {
    let broker = Broker::embedded();
    let app = app(&broker);
    orders::create(&broker.bootstrap(), 2);
    round(&broker);
    app.run(&app.until_caught_up(), 2 * MINUTE).unwrap();
    round(&broker);
    let Some(command) = with_little_room(&app.command(&app.until_caught_up()), 50_000) else {
        return;
    };
    let output = app.fails(&command, 2 * MINUTE).unwrap();
    names(
        &output,
        &["cannot open the store", "make room on that disk"],
    );
    assert!(!output.contains("corrupt"), "{output}");
    let ends: Vec<&str> = output
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(
        ends.concat().matches("make room").count(),
        1,
        "said twice: {output}"
    );
    app.run(&app.until_caught_up(), 2 * MINUTE).unwrap();
    assert_eq!(
        orders::assert_each_counted_once(&broker.bootstrap()),
        80_000
    );
    assert_eq!(set_aside(&app), 0);
}
