//! Topics and groups made and deleted. Brokers may come and go meanwhile: every call has its time, and is made again
//! where that may help.

use super::{LONG, config, group_list, topics};
use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(15);
/// How long it may take to come back, with all that the client does when it goes.
const HANGS: Duration = Duration::from_secs(25);
/// Between two calls.
const PAUSE: Duration = Duration::from_millis(200);

type Admin = AdminClient<DefaultClientContext>;

/// Waits so long for what is done on a thread of its own: what hangs there hangs nobody here, and is left to itself.
pub fn bounded<T: Send + 'static>(
    what: &str,
    within: Duration,
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (put, take) = channel();
    std::thread::spawn(move || {
        let _ = put.send(act());
    });
    match take.recv_timeout(within) {
        Ok(done) => done,
        Err(RecvTimeoutError::Timeout) => bail!("{what} hangs, after {within:?}"),
        Err(RecvTimeoutError::Disconnected) => bail!("{what} panicked"),
    }
}

/// One call of an admin client of its own, which goes on the same thread: going may hang too.
fn call<T: Send + 'static>(
    bootstrap: &str,
    what: &str,
    ask: impl AsyncFnOnce(&Admin, &AdminOptions) -> Result<T, KafkaError> + Send + 'static,
) -> Result<T> {
    let bootstrap = bootstrap.to_owned();
    bounded(what, HANGS, move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build()?;
        let admin: Admin = config(&bootstrap).create()?;
        let options = AdminOptions::new()
            .request_timeout(Some(CALL))
            .operation_timeout(Some(CALL));
        Ok(runtime.block_on(ask(&admin, &options))?)
    })
}

/// The call may succeed when it is made again.
fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorLoadInProgress,
        CoordinatorNotAvailable, InvalidReplicationFactor, LeaderNotAvailable, NotController,
        NotCoordinator, OperationTimedOut, RequestTimedOut,
    };
    matches!(
        code,
        AllBrokersDown
            | BrokerNotAvailable
            | BrokerTransportFailure
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | InvalidReplicationFactor
            | LeaderNotAvailable
            | NotController
            | NotCoordinator
            | OperationTimedOut
            | RequestTimedOut
    )
}

fn may_pass(error: &anyhow::Error) -> bool {
    let code = error
        .downcast_ref()
        .and_then(KafkaError::rdkafka_error_code);
    // What hung was not an answer of Kafka's.
    code.is_none_or(is_transient)
}

/// Makes calls that each say what is left of the names, until nothing is left.
fn until_done(
    what: &str,
    names: &[&str],
    within: Duration,
    mut attempt: impl FnMut(&[String]) -> Result<Vec<(String, RDKafkaErrorCode)>>,
    passes: impl Fn(RDKafkaErrorCode) -> bool,
) -> Result<()> {
    let mut left: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let until = Instant::now() + within;
    while !left.is_empty() {
        let late = Instant::now() > until;
        match attempt(&left) {
            Ok(failed) => {
                if let Some((name, code)) = failed.iter().find(|(_, code)| late || !passes(*code)) {
                    bail!("cannot {what} {name}: {code}");
                }
                left = failed.into_iter().map(|(name, _)| name).collect();
            }
            Err(error) if late || !may_pass(&error) => {
                return Err(error).with_context(|| format!("cannot {what} {left:?}"));
            }
            Err(_) => {}
        }
        if !left.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

type Results = Vec<Result<String, (String, RDKafkaErrorCode)>>;

/// What was not done, without what is so already.
fn failures(results: Results, is_so: RDKafkaErrorCode) -> Vec<(String, RDKafkaErrorCode)> {
    let failed = results.into_iter().filter_map(Result::err);
    failed.filter(|(_, code)| *code != is_so).collect()
}

/// Creates a topic, with as many copies as the broker makes, and waits until clients see it.
pub fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<()> {
    let mut attempts = 0;
    let create = |left: &[String]| {
        attempts += 1;
        let (left, settings) = (left.to_vec(), owned(settings));
        let results = call(bootstrap, "making a topic", async move |admin, options| {
            let topics: Vec<NewTopic<'_>> = left
                .iter()
                .map(|name| {
                    // As the broker is set.
                    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
                    let settings = settings.iter();
                    settings.fold(topic, |topic, (setting, value)| topic.set(setting, value))
                })
                .collect();
            admin.create_topics(&topics, options).await
        })?;
        // Made by an attempt whose answer did not come.
        let twice = |code| attempts > 1 && code == RDKafkaErrorCode::TopicAlreadyExists;
        let failed = results.into_iter().filter_map(Result::err);
        Ok(failed.filter(|(_, code)| !twice(*code)).collect())
    };
    until_done("create", &[name], LONG, create, is_transient)?;
    let until = Instant::now() + LONG;
    while super::partitions(bootstrap, name)? != partitions {
        if Instant::now() > until {
            bail!("topic {name} was created and cannot be seen");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.iter().map(owned).collect()
}

/// Deletes topics and waits until they are gone.
pub fn delete_topics(bootstrap: &str, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut attempts = 0;
    let delete = |left: &[String]| {
        attempts += 1;
        let left = left.to_vec();
        let results = call(bootstrap, "deleting topics", async move |admin, options| {
            let names: Vec<&str> = left.iter().map(String::as_str).collect();
            admin.delete_topics(&names, options).await
        })?;
        // Deleted by an attempt whose answer did not come.
        let gone = RDKafkaErrorCode::UnknownTopicOrPartition;
        let failed = results.into_iter().filter_map(Result::err);
        Ok(failed
            .filter(|(_, code)| attempts == 1 || *code != gone)
            .collect())
    };
    until_done("delete topic", names, LONG, delete, is_transient)?;
    let until = Instant::now() + LONG;
    while topics(bootstrap)?
        .iter()
        .any(|topic| names.contains(&topic.as_str()))
    {
        if Instant::now() > until {
            bail!("{names:?} were deleted and are still seen");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Deletes all topics and groups that tests made.
pub fn delete_everything(bootstrap: &str) -> Result<()> {
    let topics = topics(bootstrap)?;
    delete_topics(
        bootstrap,
        &topics.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    let consumer: BaseConsumer = config(bootstrap).create()?;
    let groups = group_list(&consumer, None)?;
    let names: Vec<&str> = groups.groups().iter().map(|group| group.name()).collect();
    // A group whose member was killed is not empty until its session ends, of which the longest here has 45 s.
    delete_groups(bootstrap, &names, 2 * LONG, |_| true)
}

/// Deletes a group, if there is one.
pub fn delete_group(bootstrap: &str, name: &str) -> Result<()> {
    delete_groups(bootstrap, &[name], 2 * LONG, is_transient)
}

fn delete_groups(
    bootstrap: &str,
    names: &[&str],
    within: Duration,
    passes: impl Fn(RDKafkaErrorCode) -> bool,
) -> Result<()> {
    let delete = |left: &[String]| {
        let left = left.to_vec();
        let results = call(bootstrap, "deleting groups", async move |admin, options| {
            let names: Vec<&str> = left.iter().map(String::as_str).collect();
            admin.delete_groups(&names, options).await
        })?;
        Ok(failures(results, RDKafkaErrorCode::GroupIdNotFound))
    };
    until_done("delete group", names, within, delete, passes)
}

/// Deletes the records of a partition below an offset.
pub fn delete_records(bootstrap: &str, topic: &str, partition: i32, before: i64) -> Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(before))?;
    let done = call(
        bootstrap,
        "deleting records",
        async move |admin, options| admin.delete_records(&list, options).await,
    )?;
    for element in done.elements() {
        element.error()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, GroupAuthorizationFailed, NonEmptyGroup};

    fn failed(left: &[String], code: RDKafkaErrorCode) -> Vec<(String, RDKafkaErrorCode)> {
        left.iter().map(|name| (name.clone(), code)).collect()
    }

    #[test]
    fn a_call_that_does_not_come_back_ends_with_its_name() {
        let never = || {
            std::thread::park();
            Ok(())
        };
        let error = bounded("deleting groups", Duration::from_millis(50), never).unwrap_err();
        assert_eq!(error.to_string(), "deleting groups hangs, after 50ms");
        assert!(may_pass(&error), "it is made again");
    }

    #[test]
    fn a_deletion_is_made_again_for_what_is_left_until_its_time_is_over() {
        let mut asked = Vec::new();
        let attempt = |left: &[String]| {
            asked.push(left.to_vec());
            match asked.len() {
                1 => bail!("deleting groups hangs, after 25s"),
                2 => Ok(failed(&left[1..], CoordinatorLoadInProgress)),
                _ => Ok(Vec::new()),
            }
        };
        until_done("delete group", &["a", "b"], LONG, attempt, is_transient).unwrap();
        assert_eq!(asked, [vec!["a", "b"], vec!["a", "b"], vec!["b"]]);

        let loads = |left: &[String]| Ok(failed(left, CoordinatorLoadInProgress));
        let error = until_done("delete group", &["a"], 2 * PAUSE, loads, is_transient).unwrap_err();
        assert!(error.to_string().starts_with("cannot delete group a: "));
        let hangs = |_: &[String]| bail!("deleting groups hangs, after 25s");
        let error = until_done("delete group", &["a"], 2 * PAUSE, hangs, is_transient).unwrap_err();
        assert!(format!("{error:#}").contains("hangs"), "{error:#}");
    }

    #[test]
    fn what_is_refused_for_good_is_not_tried_again() {
        for code in [NonEmptyGroup, GroupAuthorizationFailed] {
            let mut calls = 0;
            let attempt = |left: &[String]| {
                calls += 1;
                Ok(failed(left, code))
            };
            let done = until_done("delete group", &["a"], LONG, attempt, is_transient);
            assert!(done.is_err());
            assert_eq!(calls, 1);
        }
    }
}
