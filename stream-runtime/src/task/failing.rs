//! What becomes of an event whose handler failed or whose record is bad.

use std::any::Any;

use super::agent::{AgentCx, Status};
use super::bad::Bad;
use super::dead_letter as header;
use super::inbox::{RawRecord, encode_headers};
use super::shared::{Current, people_time};
use crate::error::{Action, BadRecord, Error, Failure, Raised, quiet};
use crate::table::NO_TIME;
use crate::topology::OnError;

/// Longest wait between two attempts, in ms.
const MAX_BACKOFF: u64 = 60_000;

/// Wait before attempt `failed + 1`, in ms: the backoff, doubled each time, at most a minute.
pub(crate) fn backoff(first: u64, failed: u32) -> u64 {
    first
        .saturating_mul(
            1u64.checked_shl(failed.saturating_sub(1))
                .unwrap_or(u64::MAX),
        )
        .min(MAX_BACKOFF)
}

impl AgentCx {
    /// The handler failed on the event in hand.
    pub(crate) fn fail(&self, failure: Failure) {
        let (shared, agent) = (&self.shared, self.state());
        shared.failures.set(shared.failures.get() + 1);
        if shared.current.get() == Current::Held(self.agent) {
            return self.fail_held(&failure);
        }
        shared.rollback(self.agent);
        if shared.current.get() == Current::None || agent.status.get() == Status::Idle {
            // No event in hand: nothing to retry, nothing to dead-letter.
            let error = Error::agent(format!(
                "agent `{}`, partition {}: failed with no event in hand: {failure}",
                agent.name, shared.partition
            ));
            shared.stop(error, failure.action() == Action::Fatal);
            return;
        }
        let failed = agent.attempts.get() + 1;
        agent.attempts.set(failed);
        agent.deadline.set(None);
        if shared.call_in_hand().is_some() && failure.action() != Action::Fatal {
            return match self.calls_again(&failure) {
                true => shared.done(self.agent),
                false => self.give_up(agent.options.on_error, &failure.to_string()),
            };
        }
        match failure.action() {
            Action::Fatal => self.fatal(&failure),
            Action::Retry if failed <= agent.options.retries => {
                let wait = backoff(agent.options.backoff_ms, failed);
                tracing::warn!(
                    agent = agent.name,
                    at = shared.whereabouts(),
                    attempt = failed,
                    of = agent.options.retries + 1,
                    retry_in_ms = wait,
                    "handler failed: {failure}"
                );
                agent.status.set(Status::Retry(shared.mono.get() + wait));
            }
            Action::Retry | Action::Reject => {
                self.give_up(agent.options.on_error, &failure.to_string())
            }
        }
    }

    /// The handler asked for the worker's end.
    pub(super) fn fatal(&self, failure: &Failure) {
        let error = Error::agent(format!(
            "agent `{}`, {}: fatal: {failure}",
            self.state().name,
            self.shared.whereabouts()
        ));
        self.shared.stop(error, true);
    }

    /// What a handler ended with that did not return.
    pub(crate) fn unwound(&self, payload: Box<dyn Any + Send>) {
        match Unwound::of(payload) {
            Unwound::Raised(error) => self.shared.stop(error, false),
            Unwound::Bad(why) => self.bad_record(&why.into()),
            Unwound::Failed(failure) => self.fail(failure),
        }
    }

    /// The record in hand does not decode, breaks a rule, or has no key.
    pub(crate) fn bad_record(&self, bad: &Bad) {
        if self.shared.current.get() == Current::Held(self.agent) {
            return self.bad_among_held(bad);
        }
        self.shared.rollback(self.agent);
        self.state().attempts.set(1);
        if self.dispose_bad(bad) {
            self.shared.done(self.agent);
        }
    }

    /// Does with the bad record in hand what the agent's options say; `false`: the task stops.
    pub(super) fn dispose_bad(&self, bad: &Bad) -> bool {
        let (policy, as_meant) = bad.policy(self);
        if as_meant {
            let at = self.shared.whereabouts();
            tracing::debug!(agent = self.state().name, at, "a tombstone, left out");
            self.state().deadline.set(None);
            return true;
        }
        self.dispose(policy, &bad.why)
    }

    fn give_up(&self, policy: OnError, why: &str) {
        if self.dispose(policy, why) {
            self.shared.done(self.agent);
        }
    }

    /// Does with the event in hand what the policy says; `false`: the task stops.
    pub(super) fn dispose(&self, policy: OnError, why: &str) -> bool {
        let (shared, agent) = (&self.shared, self.state());
        let at = shared.whereabouts();
        agent.deadline.set(None);
        let call = shared.call_in_hand();
        match policy {
            OnError::Stop => {
                let error = Error::agent(format!(
                    "agent `{}` stops at {at} after {} attempt(s): {why}; repair the handler or the record, or set on_error = \"dead_letter\"",
                    agent.name,
                    agent.attempts.get()
                ));
                // The user said "stop": the worker ends, and the record stays for the next one.
                shared.stop(error, true);
                return false;
            }
            _ if call.is_some() => {
                let due = call.unwrap_or_default();
                let failed = agent.attempts.get();
                tracing::error!(
                    crontab = agent.name,
                    at,
                    "due at {}, failed {failed} time(s), until its next time: {why}",
                    people_time(due)
                );
            }
            _ if matches!(shared.current.get(), Current::Tick(_)) => {
                tracing::warn!(timer = agent.name, at, "failed, until the next tick: {why}");
            }
            OnError::Skip => {
                if let Some(more) = quiet::news(agent.name, why) {
                    let more = quiet::and(more);
                    tracing::warn!(agent = agent.name, at, "skipped: {why}{more}");
                }
            }
            OnError::DeadLetter => {
                if let Some(more) = quiet::news(agent.name, why) {
                    let to = agent.dead_letters.map(|at| &*shared.outputs[at]);
                    let more = quiet::and(more);
                    tracing::warn!(agent = agent.name, at, to, "dead letter: {why}{more}");
                }
                self.dead_letter(why);
            }
        }
        true
    }

    /// Stages the record in hand, unchanged, for the dead-letter topic.
    fn dead_letter(&self, why: &str) {
        let (shared, agent) = (&self.shared, self.state());
        let why: String = why.chars().take(1000).collect();
        let mut headers = vec![
            (header::ERROR.to_owned(), why.into_bytes()),
            (header::AGENT.to_owned(), agent.name.as_bytes().to_vec()),
            (
                header::ATTEMPTS.to_owned(),
                agent.attempts.get().to_string().into_bytes(),
            ),
        ];
        fn add(headers: &mut Vec<(String, Vec<u8>)>, name: &str, value: String) {
            headers.push((name.to_owned(), value.into_bytes()));
        }
        let Some(output) = agent.dead_letters else {
            return;
        };
        shared.dead.set(shared.dead.get() + 1);
        let staging = &agent.staging;
        let copy = |bytes: Option<&[u8]>, out: &mut Vec<u8>| {
            out.extend_from_slice(bytes.unwrap_or_default());
            Ok::<_, std::convert::Infallible>(bytes.is_some())
        };
        let as_it_came = |headers: &[(String, Vec<u8>)], record: RawRecord<'_>| {
            let _ = staging.borrow_mut().push(
                output,
                shared.wall.get(),
                |out| {
                    put_headers(headers, out);
                    out.extend_from_slice(record.headers);
                },
                |out| copy(record.key, out),
                |out| copy(record.value, out),
            );
        };
        match shared.current.get() {
            // It was a letter before, and is one again: that of its window, not of the record that brought it.
            Current::Input(input) if shared.is_again(input) => shared.with_record(|record| {
                let Some((_, record)) = record else {
                    return;
                };
                as_it_came(&headers, record);
            }),
            Current::Input(_) | Current::Held(_) => shared.with_record(|record| {
                let Some((input, record)) = record else {
                    return;
                };
                add(
                    &mut headers,
                    header::SOURCE_TOPIC,
                    shared.input_names[input].to_string(),
                );
                add(
                    &mut headers,
                    header::SOURCE_PARTITION,
                    shared.partition.to_string(),
                );
                add(
                    &mut headers,
                    header::SOURCE_OFFSET,
                    record.offset.to_string(),
                );
                add(
                    &mut headers,
                    header::SOURCE_TIMESTAMP,
                    match record.timestamp {
                        // Kafka's word for none.
                        NO_TIME => "-1".to_owned(),
                        time => time.to_string(),
                    },
                );
                if let Some((topic, partition, offset)) = shared.read_at() {
                    add(&mut headers, header::ORIGIN_TOPIC, topic);
                    add(
                        &mut headers,
                        header::ORIGIN_PARTITION,
                        partition.to_string(),
                    );
                    add(&mut headers, header::ORIGIN_OFFSET, offset.to_string());
                }
                as_it_came(&headers, record);
            }),
            Current::Closed(table) => {
                let table = &shared.tables[table];
                let (start, end) = table.head_window().unwrap_or_default();
                add(
                    &mut headers,
                    header::TABLE,
                    table.descriptor().name.to_owned(),
                );
                add(
                    &mut headers,
                    header::PARTITION,
                    shared.partition.to_string(),
                );
                add(&mut headers, header::START, people_time(start));
                add(&mut headers, header::END, people_time(end));
                let (_, row) = table.describe_head().unwrap_or_default();
                if let Some(row) = table.head_beside_json() {
                    headers.push((header::ROW.to_owned(), row));
                }
                let key = shared.closed_key.borrow();
                let _ = staging.borrow_mut().push(
                    output,
                    shared.wall.get(),
                    |out| put_headers(&headers, out),
                    |out| copy(Some(&key), out),
                    |out| copy(Some(row.as_bytes()), out),
                );
            }
            Current::Tick(_) | Current::None => {}
        }
    }
}

fn put_headers(headers: &[(String, Vec<u8>)], out: &mut Vec<u8>) {
    let headers = headers.iter();
    encode_headers(headers.map(|(n, v)| (n.as_str(), Some(v.as_slice()))), out);
}

/// A handler that ended without returning.
pub(super) enum Unwound {
    /// Something of the framework failed under it.
    Raised(Error),
    /// Its record is bad.
    Bad(String),
    /// It panicked, or asked for what cannot be had.
    Failed(Failure),
}

impl Unwound {
    pub(super) fn of(payload: Box<dyn Any + Send>) -> Self {
        let payload = match payload.downcast::<Raised>() {
            Ok(raised) if raised.0.is_of_event() => {
                return Unwound::Failed(Failure::from(raised.0).rejected());
            }
            Ok(raised) => return Unwound::Raised(raised.0),
            Err(payload) => payload,
        };
        let payload = match payload.downcast::<BadRecord>() {
            Ok(bad) => return Unwound::Bad(bad.0),
            Err(payload) => payload,
        };
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        Unwound::Failed(Failure::from(format!(
            "panicked: {}",
            text.unwrap_or("no message")
        )))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn backoff_doubles_up_to_a_minute() {
        assert_eq!(
            [1, 2, 3, 7, 70].map(|n| super::backoff(1000, n)),
            [1000, 2000, 4000, 60_000, 60_000]
        );
    }
}
