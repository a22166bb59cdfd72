//! Topics made by hand whose settings lose what the app needs, and brokers that do not tell them.

use super::*;
use std::process::Command;
use tests::apache::{ApacheKafka, Options};
use tests::broker::SharedApache;
use tests::{cache, sasl, skip};

const CONFIGS: &str = "kafka.admin.ConfigCommand";
const ACLS: &str = "org.apache.kafka.tools.AclCommand";

fn well(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{command:?}\n{said}");
}

/// What a start says that is refused with exit code 2.
fn refused(app: &App) -> String {
    let mut worker = app.start(&app.until_caught_up());
    let status = worker.wait(MINUTE).unwrap();
    let output = worker.output();
    assert_eq!(status.code(), Some(2), "{output}");
    output
}

/// Without a policy of its own a changelog loses its rows after a week: refused, with the command that helps.
fn is_refused_with_the_command_that_helps(broker: &Broker) {
    let bootstrap = broker.bootstrap();
    let app = app(broker);
    orders::create(&bootstrap, 2);
    orders::send(&bootstrap, orders::records(2, 1, 20));
    client::create_topic(&bootstrap, CHANGELOG, 2, &[]).unwrap();
    let output = refused(&app);
    names(
        &output,
        &[
            CHANGELOG,
            "`cleanup.policy=delete`",
            "must have `cleanup.policy=compact`",
        ],
    );
    let (_, rest) = output.split_once("`kafka-configs.sh ").unwrap();
    let (arguments, _) = rest.split_once('`').unwrap();
    let mut command = ApacheKafka::tool(CONFIGS).unwrap();
    well(command.args(arguments.split_whitespace()));
    app.run(&app.until_caught_up(), MINUTE).unwrap();
    assert!(has_total(broker, "0-0", (20, 210)));
}

#[test]
fn a_changelog_with_a_policy_that_deletes_is_refused_with_the_command_that_helps() {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    is_refused_with_the_command_that_helps(&Broker::embedded());
}

#[test]
fn a_changelog_with_a_policy_that_deletes_is_refused_on_apache_kafka() {
    if let Some(broker) = SharedApache::take() {
        is_refused_with_the_command_that_helps(&broker);
    }
}

#[test]
fn plan_lists_the_settings_that_topics_must_have() {
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_faulty")), "localhost:1");
    let text = app.run(&["plan"], MINUTE).unwrap().output();
    names(
        &text,
        &[
            "faulty-orders-changelog (changelog)  must have cleanup.policy=compact",
            "faulty-total-dead-letters (dead letters)  must have cleanup.policy=delete",
        ],
    );
    let json = app.run(&["plan", "-o", "json"], MINUTE).unwrap().output();
    let json: String = json.split_whitespace().collect();
    names(&json, &[r#""settings":{"cleanup.policy":"compact"}"#]);
}

/// A user that may do everything with topics but ask for their settings.
#[test]
fn settings_that_may_not_be_asked_for_are_said_to_be_unknown() {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let properties = [
        ("authorizer.class.name", authorizer),
        ("super.users", "User:ANONYMOUS"),
        ("allow.everyone.if.no.acl.found", "true"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let kafka = ApacheKafka::start_with(&Options {
        secure: true,
        properties: properties.into(),
        ..Options::default()
    })
    .unwrap();
    let plain = kafka.bootstrap();
    let user = format!("User:{}", sasl::USER);
    for rule in [
        ["--allow-principal", &user, "--operation", "All"],
        ["--deny-principal", &user, "--operation", "DescribeConfigs"],
    ] {
        let mut command = ApacheKafka::tool(ACLS).unwrap();
        command.args(["--bootstrap-server", &plain, "--add", "--topic", "*"]);
        well(command.args(rule));
    }
    orders::create(&plain, 1);
    orders::send(&plain, orders::records(1, 1, 20));
    let (bootstrap, certificate) = kafka.secure();
    let app = App::of(PathBuf::from(env!("CARGO_BIN_EXE_faulty")), &bootstrap);
    let client = format!(
        "security.protocol=SASL_SSL\nssl.ca.location={}\nsasl.mechanism=PLAIN\nsasl.username={}\nsasl.password={}\n",
        certificate.display(),
        sasl::USER,
        sasl::PASSWORD
    );
    let config = app.file("client.properties", &client);
    let args = ["worker", "--until-caught-up", "--config", &config];
    let output = app.run(&args, MINUTE).unwrap().output();
    names(
        &output,
        &[
            "does not tell the settings of",
            "DescribeConfigs",
            "half a day",
        ],
    );
    let said = output.matches("does not tell the settings").count();
    assert_eq!(said, 1, "{output}");
    let totals = orders::totals(&plain);
    assert_eq!(totals["0-0"].last(), Some(&(20, 210)));
}

/// Kafka's own default wants three brokers for the log of transactions: on one node it is never made.
#[test]
fn a_log_of_transactions_that_cannot_be_made_is_named() {
    a_log_that_cannot_be_made_is_named(
        "transaction.state.log.replication.factor",
        "waiting for the coordinator of transactions for 5 s",
    );
}

#[test]
fn a_log_of_offsets_that_cannot_be_made_is_named() {
    a_log_that_cannot_be_made_is_named(
        "offsets.topic.replication.factor",
        "to give partitions for more than 30 s",
    );
}

/// One node, and three copies are asked for.
fn a_log_that_cannot_be_made_is_named(factor: &str, text: &str) {
    if let Some(reason) = cache::java_missing() {
        return skip::skip_or_fail(reason);
    }
    let kafka = ApacheKafka::start_with(&Options {
        properties: vec![(factor.to_owned(), "3".to_owned())],
        ..Options::default()
    })
    .unwrap();
    orders::create(&kafka.bootstrap(), 1);
    let app = App::of(
        PathBuf::from(env!("CARGO_BIN_EXE_faulty")),
        &kafka.bootstrap(),
    );
    let mut worker = app.start(&["worker"]);
    let line = worker.line_with(factor, MINUTE).unwrap();
    names(&line, &[text]);
    stop(&mut worker);
}
