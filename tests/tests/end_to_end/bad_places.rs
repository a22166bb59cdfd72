//! A broker that is not there, goes away or refuses; directories that are no good: a clear message, nothing lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::apache::{ApacheKafka, Options};
use tests::broker::Broker;
use tests::data::{self, Reading};
use tests::feed::Meters;
use tests::progress::Progress;
use tests::voltage::App;
use tests::{cache, client, net, sasl, skip};

const MINUTE: Duration = Duration::from_secs(60);
const INPUT: &str = "voltage_input";
/// The readings are of 2006: a broker that keeps a week would delete them at once.
const FOREVER: &[(&str, &str)] = &[("retention.ms", "-1")];

fn sample() -> Vec<Reading> {
    data::readings(&data::sample()).unwrap()
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let [port] = net::free_ports();
    let address = format!("127.0.0.1:{port}");
    let app = App::voltage(&address);
    for args in [
        &["topics"][..],
        &["tail", "voltage_avg", "--until-end"],
        &["send", INPUT, "{}"],
    ] {
        let output = app.fails(&app.command(args), MINUTE).unwrap();
        assert!(
            output.contains(&address),
            "{args:?} names the broker:\n{output}"
        );
    }
    let mut worker = app.start(&["worker"]);
    worker.line_with(&address, MINUTE).unwrap();
}

#[test]
fn without_a_broker_send_and_tail_say_how_to_start_one() {
    let app = App::voltage("");
    for args in [
        &["tail", "voltage_avg", "--until-end"][..],
        &["send", INPUT, "{}"],
    ] {
        let output = app.fails(&app.bare(args), MINUTE).unwrap();
        assert!(
            output.contains("broker"),
            "{args:?} names the command:\n{output}"
        );
    }
}

/// Away for 20 s in the middle of the input, longer than every session: the worker says so, waits, and goes on.
#[test]
fn a_broker_that_is_away_for_twenty_seconds() {
    let mut broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = App::voltage(&bootstrap);
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let meters = std::sync::Arc::new(Meters {
        readings: sample(),
        meters: 8,
    });
    let feed = meters.feed(&bootstrap, INPUT, 10);
    let mut worker = app.start(&app.impatient());
    Progress::of(&bootstrap, "voltage", INPUT).wait_for_more();
    std::thread::sleep(Duration::from_secs(2));
    assert!(feed.goes_on(), "the input ended before the broker went");
    broker.kill();
    worker
        .line_with(&bootstrap, Duration::from_secs(20))
        .unwrap();
    std::thread::sleep(Duration::from_secs(20));
    assert!(
        worker.ended().is_none(),
        "the worker gave up:\n{}",
        worker.output()
    );
    broker.restart();
    feed.finish().unwrap();
    Progress::of(&bootstrap, "voltage", INPUT).wait_for_all();
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(MINUTE).unwrap().success(),
        "{}",
        worker.output()
    );
    app.run(&["worker", "--until-caught-up"], MINUTE).unwrap();
    data::assert_same(&app.averages().unwrap(), &meters.expected());
}

fn properties(
    app: &App,
    mechanism: &str,
    password: &str,
    certificate: &Path,
    bootstrap: &str,
) -> String {
    // As Confluent Cloud gives it, and where the certificate is.
    let text = format!(
        "# Required connection configs\nbootstrap.servers={bootstrap}\nsecurity.protocol=SASL_SSL\n\
         sasl.mechanisms={mechanism}\nsasl.username={}\nsasl.password={password}\n\
         ssl.ca.location={}\nsession.timeout.ms=45000\n",
        sasl::USER,
        certificate.display()
    );
    app.file(&format!("{mechanism}-{}.properties", password.len()), &text)
}

#[test]
fn passwords_let_in_or_are_refused_with_a_message() {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    let kafka = ApacheKafka::start_with(&Options {
        secure: true,
        ..Options::default()
    })
    .unwrap();
    let (bootstrap, certificate) = kafka.secure();
    let app = App::voltage(&bootstrap);
    let run = |args: &[&str]| {
        let mut process = app.start_command(&app.bare(args));
        let status = process.wait(2 * MINUTE).unwrap();
        (status.success(), process.output(), process.stdout())
    };
    let good = properties(
        &app,
        "SCRAM-SHA-512",
        sasl::PASSWORD,
        certificate,
        &bootstrap,
    );
    let sample_file = data::sample();
    for args in [
        &["produce", sample_file.to_str().unwrap()][..],
        &["worker", "--until-caught-up", "-l", "debug"],
    ] {
        let (success, output, _) = run(&[args, &["--config", &good]].concat());
        assert!(success, "{output}");
        assert!(!output.contains(sasl::PASSWORD), "a secret in a log");
    }
    let hours = data::hourly(sample()).len();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let good = properties(&app, mechanism, sasl::PASSWORD, certificate, &bootstrap);
        let tail = [
            "tail",
            "voltage_avg",
            "--from-beginning",
            "--until-end",
            "-o",
            "json",
            "--config",
            &good,
        ];
        let (success, output, stdout) = run(&tail);
        assert!(success, "{mechanism}: {output}");
        assert_eq!(stdout.lines().count(), hours, "{mechanism}");
        let wrong = properties(&app, mechanism, "wrong-password", certificate, &bootstrap);
        let worker = ["worker", "--until-caught-up"];
        // Every command says it the same way; one mechanism is enough for all of them.
        let commands = [
            &["tail", "voltage_avg", "--until-end"][..],
            &["send", INPUT, "{}"],
            &worker,
        ];
        for args in &commands[..if mechanism == "PLAIN" { 3 } else { 1 }] {
            let start = Instant::now();
            let (success, output, _) = run(&[args, &["--config", &wrong][..]].concat());
            assert!(
                !success,
                "{mechanism} {args:?}: let in with a wrong password"
            );
            let lower = output.to_lowercase();
            assert!(
                lower.contains("authenticat") || lower.contains("password"),
                "{mechanism} {args:?}: {output}"
            );
            assert!(
                !output.contains("wrong-password"),
                "a secret in a log: {output}"
            );
            println!("{mechanism} {args:?}: told after {:?}", start.elapsed());
            assert!(
                start.elapsed() < Duration::from_secs(6),
                "told only after {:?}",
                start.elapsed()
            );
        }
    }
}

/// A directory nobody can write to, not even root.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn make(dir: &Path) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let immutable = Command::new("chattr")
            .arg("+i")
            .arg(dir)
            .output()
            .is_ok_and(|output| output.status.success());
        if !immutable {
            let mut permissions = fs::metadata(dir).unwrap().permissions();
            permissions.set_readonly(true);
            fs::set_permissions(dir, permissions).unwrap();
        }
        let made = Self(dir.to_owned());
        fs::write(dir.join("probe"), "").is_err().then_some(made)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).output();
    }
}

#[test]
fn a_data_directory_that_is_read_only_is_named() {
    let app = App::voltage("");
    let dir = app.dir().join("read-only");
    let Some(read_only) = ReadOnly::make(&dir) else {
        return skip::skip("no directory is read-only for root here");
    };
    names_its_data_directory(&read_only.0.display().to_string(), "read-only");
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let app = App::voltage("");
    names_its_data_directory(&app.file("just-a-file", "no directory"), "just-a-file");
}

fn names_its_data_directory(path: &str, name: &str) {
    let broker = Broker::embedded();
    let app = App::voltage(&broker.bootstrap());
    for command in [
        app.command(&["worker", "--data-dir", path]),
        app.bare(&["broker", "--port", "0", "--data-dir", path]),
    ] {
        let output = app.fails(&command, MINUTE).unwrap();
        assert!(output.contains(name), "names the directory:\n{output}");
    }
}

/// Two brokers cannot share a directory; two workers can.
#[test]
fn a_data_directory_in_use() {
    let app = App::voltage("");
    let mut broker = app.start_command(&app.bare(&["broker", "--port", "0"]));
    broker.line_with("127.0.0.1:", MINUTE).unwrap();
    let output = app
        .fails(&app.bare(&["broker", "--port", "0"]), MINUTE)
        .unwrap();
    assert!(output.contains(".stream"), "names the directory:\n{output}");
    let run = |args: &[&str]| {
        let mut process = app.start_command(&app.bare(args));
        assert!(
            process.wait(2 * MINUTE).unwrap().success(),
            "{args:?}: {}",
            process.output()
        );
        process
    };
    run(&["produce", data::sample().to_str().unwrap()]);
    let mut other = app.start_command(&app.bare(&["worker"]));
    run(&["worker", "--until-caught-up"]);
    other.signal("TERM").unwrap();
    assert!(other.wait(MINUTE).unwrap().success(), "{}", other.output());
    // Its partitions as well.
    run(&["worker", "--until-caught-up"]);
    let hours = run(&[
        "tail",
        "voltage_avg",
        "--from-beginning",
        "--until-end",
        "-o",
        "json",
    ])
    .stdout();
    assert_eq!(hours.lines().count(), data::hourly(sample()).len());
}

/// Overwrites every file below with bytes that are nothing, and leaves the locks.
fn fill_with_garbage(dir: &Path) -> usize {
    let mut spoilt = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoilt += fill_with_garbage(&path);
        } else {
            let length = fs::metadata(&path).unwrap().len().max(100) as usize;
            let garbage: Vec<u8> = (0..length).map(|ix| (ix * 37 % 251) as u8).collect();
            fs::write(&path, garbage).unwrap();
            spoilt += 1;
        }
    }
    spoilt
}

/// Stopped in the middle of an hour, then every file of the store is spoilt: it is set aside, said so, and rebuilt.
#[test]
fn a_store_full_of_garbage_is_rebuilt() {
    let broker = Broker::embedded();
    let bootstrap = broker.bootstrap();
    let app = App::voltage(&bootstrap);
    client::create_topic(&bootstrap, INPUT, 4, FOREVER).unwrap();
    let all = Meters {
        readings: sample(),
        meters: 8,
    };
    let middle = all.readings.len() / 2;
    Meters {
        readings: all.readings[..middle].to_vec(),
        meters: 8,
    }
    .send(&bootstrap, INPUT)
    .unwrap();
    let mut worker = app.start(&["worker"]);
    Progress::of(&bootstrap, "voltage", INPUT).wait_for_all();
    worker.signal("TERM").unwrap();
    assert!(
        worker.wait(MINUTE).unwrap().success(),
        "{}",
        worker.output()
    );
    assert!(
        fill_with_garbage(&app.dir().join(".stream/voltage")) > 0,
        "there is a store"
    );
    Meters {
        readings: all.readings[middle..].to_vec(),
        meters: 8,
    }
    .send(&bootstrap, INPUT)
    .unwrap();
    let worker = app
        .run(&["worker", "--until-caught-up"], 2 * MINUTE)
        .unwrap();
    data::assert_same(&app.averages().unwrap(), &all.expected());
    assert!(
        worker.output().contains("store"),
        "the log says what happened:\n{}",
        worker.output()
    );
}

/// Every file below, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The broker's own files spoilt, all of them or only the list of topics: it ends, names the file and what to do, and
/// deletes nothing. It does not panic.
#[test]
fn a_broker_directory_full_of_garbage_is_named() {
    let app = App::voltage("");
    let start = || app.start_command(&app.bare(&["broker", "--port", "0"]));
    let mut broker = start();
    let line = broker.line_with("127.0.0.1:", MINUTE).unwrap();
    let port: String = line
        .split("127.0.0.1:")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    client::create_topic(&format!("127.0.0.1:{port}"), "there", 2, &[]).unwrap();
    Meters {
        readings: sample(),
        meters: 1,
    }
    .send(&format!("127.0.0.1:{port}"), "there")
    .unwrap();
    broker.kill();
    let dir = app.dir().join(".stream/broker");
    let journal = dir.join("topics.journal");
    let good = fs::read(&journal).unwrap();
    for all in [false, true] {
        if all {
            assert!(fill_with_garbage(&dir) > 0, "it keeps files");
        } else {
            fs::write(&journal, vec![b'x'; good.len()]).unwrap();
        }
        let before = files(&dir);
        let mut broker = start();
        let ended = broker.wait(Duration::from_secs(10)).unwrap();
        let output = broker.output();
        assert!(!ended.success(), "garbage is not a success: {output}");
        assert!(!output.contains("panicked"), "{output}");
        assert!(
            output.contains(".stream/broker/topics.journal") && output.contains("move the data"),
            "names the file and the next step: {output}"
        );
        assert!(files(&dir) == before, "something was changed: {output}");
        if !all {
            fs::write(&journal, &good).unwrap();
            start().line_with("127.0.0.1:", MINUTE).unwrap();
        }
    }
}
