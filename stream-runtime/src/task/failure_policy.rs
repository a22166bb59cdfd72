//! What happens to an event whose handler failed or whose record is bad.

use std::any::Any;
use std::time::Duration;

use super::bad::Bad;
use super::dead_letter as header;
use super::dispatch::Current;
use super::headers::encode_headers;
use super::inbox::RawRecord;
use super::state::AgentCx;
use super::state::people_time;
use crate::clock;
use crate::error::{BadRecord, Error, Failure, Raised, panic_text, quiet};
use crate::table::NO_TIME;
use crate::topology::OnError;

/// Longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Wait before attempt `failed + 1`, in ms: the backoff, doubled each time, at most a minute.
pub(crate) fn backoff(first: u64, failed: u32) -> u64 {
    let wait = clock::backoff(Duration::from_millis(first), failed, MAX_BACKOFF);
    // At most a minute, which fits.
    wait.as_millis() as u64
}

impl AgentCx {
    /// Returns when attempt `failed + 1` is due, as the monotonic clock has it, and says so.
    pub(crate) fn retry_at(&self, failed: u32, failure: &Failure) -> u64 {
        let agent = self.state();
        let wait = backoff(agent.options.backoff_ms, failed);
        tracing::warn!(
            agent = agent.name,
            at = self.shared.record_location(),
            attempt = failed,
            of = agent.options.retries + 1,
            retry_in_ms = wait,
            "handler failed: {failure}"
        );
        self.shared.times.mono.get() + wait
    }

    /// What a handler ended with that did not return.
    pub(crate) fn unwound(&self, payload: Box<dyn Any + Send>) {
        match Unwound::of(payload) {
            Unwound::Raised(error) => self.shared.stop(error, false),
            Unwound::Bad(why) => self.bad_record(&why.into()),
            Unwound::Failed(failure) => self.fail(failure),
        }
    }

    /// The current record does not decode, breaks a rule, or has no key.
    pub(crate) fn bad_record(&self, bad: &Bad) {
        if self.shared.dispatch.current.get() == Current::InFlight(self.agent) {
            return self.bad_among_held(bad);
        }
        self.shared.rollback(self.agent);
        self.state().attempts.set(1);
        if self.dispose_bad(bad) {
            self.shared.done(self.agent);
        }
    }

    /// Does with the bad current record what the agent's options say; `false`: the task stops.
    pub(crate) fn dispose_bad(&self, bad: &Bad) -> bool {
        let (policy, as_meant) = bad.policy(self);
        if as_meant {
            let at = self.shared.record_location();
            tracing::debug!(agent = self.state().name, at, "a tombstone, left out");
            self.state().deadline.set(None);
            return true;
        }
        self.dispose(policy, &bad.why)
    }

    pub(super) fn give_up(&self, policy: OnError, why: &str) {
        if self.dispose(policy, why) {
            self.shared.done(self.agent);
        }
    }

    /// Does with the current event what the policy says; `false`: the task stops.
    pub(crate) fn dispose(&self, policy: OnError, why: &str) -> bool {
        let (shared, agent) = (&self.shared, self.state());
        let at = shared.record_location();
        agent.deadline.set(None);
        let call = shared.current_call();
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
            _ if matches!(shared.dispatch.current.get(), Current::Tick(_)) => {
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
                    let to = agent
                        .outputs
                        .dead_letters
                        .map(|at| &*shared.outputs.topics[at]);
                    let more = quiet::and(more);
                    tracing::warn!(agent = agent.name, at, to, "dead letter: {why}{more}");
                }
                self.dead_letter(why);
            }
        }
        true
    }

    /// Stages the current record, unchanged, for the dead-letter topic.
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
        let Some(output) = agent.outputs.dead_letters else {
            return;
        };
        shared.counters.dead.set(shared.counters.dead.get() + 1);
        let staging = &agent.staging;
        let copy = |bytes: Option<&[u8]>, out: &mut Vec<u8>| {
            out.extend_from_slice(bytes.unwrap_or_default());
            Ok::<_, std::convert::Infallible>(bytes.is_some())
        };
        let as_it_came = |headers: &[(String, Vec<u8>)], record: RawRecord<'_>| {
            let _ = staging.borrow_mut().push(
                output,
                shared.times.wall.get(),
                |out| {
                    put_headers(headers, out);
                    out.extend_from_slice(record.headers);
                },
                |out| copy(record.key, out),
                |out| copy(record.value, out),
            );
        };
        match shared.dispatch.current.get() {
            // It was a letter before, and is one again: that of its window, not of the record that brought it.
            Current::Input(input) if shared.is_again(input) => shared.with_record(|record| {
                let Some((_, record)) = record else {
                    return;
                };
                as_it_came(&headers, record);
            }),
            Current::Input(_) | Current::InFlight(_) => shared.with_record(|record| {
                let Some((input, record)) = record else {
                    return;
                };
                add(
                    &mut headers,
                    header::SOURCE_TOPIC,
                    shared.inputs.names[input].to_string(),
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
                let key = shared.dispatch.closed_key.borrow();
                let _ = staging.borrow_mut().push(
                    output,
                    shared.times.wall.get(),
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
pub(crate) enum Unwound {
    /// Something of the framework failed under it.
    Raised(Error),
    /// Its record is bad.
    Bad(String),
    /// It panicked, or asked for what cannot be had.
    Failed(Failure),
}

impl Unwound {
    pub(crate) fn of(payload: Box<dyn Any + Send>) -> Self {
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
        let text = panic_text(&*payload);
        Unwound::Failed(Failure::from(format!("panicked: {text}")))
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
