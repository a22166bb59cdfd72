//! Everybody's clients against the embedded broker; Python's and kcat also against Apache Kafka, as a check of the
//! test.

use std::path::Path;
use std::process::Command;
use tests::apache::ApacheKafka;
use tests::broker::{Broker, SharedApache};
use tests::client::{self, Isolation};
use tests::{cache, skip};

/// Runs a program with `input` and returns what it printed; it must end well.
fn run(command: &mut Command, input: &str) -> String {
    let output = crate::piped(command, input);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

fn found(program: &str, arg: &str) -> bool {
    Command::new(program)
        .arg(arg)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// 64-bit records of three meters, `key:value` a line.
fn lines(count: usize) -> String {
    (0..count)
        .map(|n| format!("meter-{}:reading {n}\n", n % 3))
        .collect()
}

fn kcat(broker: &Broker) {
    if !found("kcat", "-V") {
        return skip::skip("no kcat");
    }
    let bootstrap = broker.bootstrap();
    client::create_topic(&bootstrap, "kcat", 2, &[]).unwrap();
    let kcat = || {
        let mut command = Command::new("kcat");
        command.args([
            "-b",
            &bootstrap,
            "-X",
            "broker.address.family=v4",
            "-t",
            "kcat",
        ]);
        command
    };
    run(
        kcat().args(["-P", "-K:", "-X", "enable.idempotence=true"]),
        &lines(100),
    );
    let read = run(
        kcat().args(["-C", "-e", "-q", "-o", "beginning", "-f", "%k:%s\n"]),
        "",
    );
    assert_eq!(sorted(&read), sorted(&lines(100)));
    let metadata = run(kcat().args(["-L"]), "");
    assert!(
        metadata.contains("topic \"kcat\" with 2 partitions"),
        "{metadata}"
    );
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn kcat_on_the_embedded_broker() {
    kcat(&Broker::embedded());
}

#[test]
fn kcat_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    kcat(&broker);
}

fn python(broker: &Broker) {
    let packages = cache::once("confluent-kafka", |dir| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(dir)
            .arg("confluent-kafka");
        let output = pip.output()?;
        anyhow::ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    });
    let packages = match packages {
        Ok(packages) => packages,
        Err(error) => {
            return skip::skip_or_fail(&format!("no confluent-kafka of Python: {error:#}"));
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/confluent.py");
    let mut python = Command::new("python3");
    let output = run(
        python
            .env("PYTHONPATH", packages)
            .arg(script)
            .arg(broker.bootstrap()),
        "",
    );
    assert_eq!(output.trim(), "ok");
}

#[test]
fn python_on_the_embedded_broker() {
    python(&Broker::embedded());
}

#[test]
fn python_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    python(&broker);
}

/// One of Kafka's tools with `--bootstrap-server` and `args`.
fn java(class: &str, bootstrap: &str, args: &[&str], input: &str) -> String {
    let mut tool = ApacheKafka::tool(class).unwrap();
    run(
        tool.args(["--bootstrap-server", bootstrap]).args(args),
        input,
    )
}

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

fn java_tools(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let create = [
        "--create",
        "--topic",
        "java",
        "--partitions",
        "3",
        "--config",
        "cleanup.policy=compact",
    ];
    java(TOPICS, &bootstrap, &create, "");
    assert!(
        java(TOPICS, &bootstrap, &["--list"], "")
            .lines()
            .any(|topic| topic == "java")
    );
    let described = java(TOPICS, &bootstrap, &["--describe", "--topic", "java"], "");
    assert!(
        described.contains("PartitionCount: 3") && described.contains("cleanup.policy=compact"),
        "{described}"
    );

    // The console producer is idempotent by default.
    let keys = [
        "--topic",
        "java",
        "--property",
        "parse.key=true",
        "--property",
        "key.separator=:",
    ];
    java(PRODUCER, &bootstrap, &keys, &lines(300));
    assert_eq!(
        client::read_all(&bootstrap, "java", Isolation::Committed)
            .unwrap()
            .len(),
        300
    );

    let mut read = keys.to_vec();
    read.extend([
        "--from-beginning",
        "--max-messages",
        "300",
        "--timeout-ms",
        "20000",
        "--group",
        "java-readers",
    ]);
    read.extend([
        "--isolation-level",
        "read_committed",
        "--property",
        "print.key=true",
    ]);
    let printed = java(CONSUMER, &bootstrap, &read, "");
    assert_eq!(sorted(&printed), sorted(&lines(300)));

    assert!(
        java(GROUPS, &bootstrap, &["--list"], "")
            .lines()
            .any(|group| group == "java-readers")
    );
    let described = java(
        GROUPS,
        &bootstrap,
        &["--describe", "--group", "java-readers"],
        "",
    );
    let rows: Vec<Vec<&str>> = described
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| row.get(1) == Some(&"java"))
        .collect();
    let sum = |column: usize| {
        rows.iter()
            .map(|row| row[column].parse::<i64>().unwrap_or(0))
            .sum::<i64>()
    };
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
    assert_eq!((sum(3), sum(4), sum(5)), (300, 300, 0), "{described}");

    java(TOPICS, &bootstrap, &["--delete", "--topic", "java"], "");
    assert!(
        !client::topics(&bootstrap)
            .unwrap()
            .contains(&"java".to_owned())
    );
}

#[test]
fn java_on_the_embedded_broker() {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    java_tools(&Broker::embedded());
}

#[test]
#[ignore = "Java's own tools on Java's own broker: run it when the test above fails, to see which of the two is wrong"]
fn java_on_apache_kafka() {
    let Some(broker) = SharedApache::take() else {
        return;
    };
    java_tools(&broker);
}
