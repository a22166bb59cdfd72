//! What librdkafka says, through `tracing`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// A line that repeats within this time goes to `debug`: a broker that is away is said once, not
/// at every attempt to reach it.
const QUIET: Duration = Duration::from_secs(10);

/// Logs for one client, and remembers why it cannot reach the broker.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Vec<(Instant, String)>,
    trouble: Option<(Instant, Code, String)>,
}

impl Reporter {
    /// A log line of librdkafka; `facility` is its short word for the place, as "FAIL".
    pub(crate) fn log(&self, level: Level, facility: &str, line: &str) {
        // What a transaction ends with is told by who ends it.
        if facility == "TXNERR" {
            tracing::debug!(target: "stream_runtime::kafka", facility, "{line}");
            return;
        }
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
                if self.is_news(facility, line) {
                    tracing::warn!(target: "stream_runtime::kafka", facility, "{line}");
                } else {
                    tracing::debug!(target: "stream_runtime::kafka", facility, "{line}");
                }
            }
            Level::Notice | Level::Info | Level::Debug => {
                tracing::debug!(target: "stream_runtime::kafka", facility, "{line}");
            }
        }
    }

    /// An error event of librdkafka.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code().filter(is_connection) {
            let mut state = self.lock();
            match &mut state.trouble {
                // "All brokers down" says less than the error that led to it, which is said once.
                Some((at, ..)) if code == Code::AllBrokersDown => *at = Instant::now(),
                trouble => *trouble = Some((Instant::now(), code, reason.to_owned())),
            }
        }
        if self.is_news("ERROR", reason) {
            tracing::warn!(target: "stream_runtime::kafka", "{reason}");
        } else {
            tracing::debug!(target: "stream_runtime::kafka", "{reason}");
        }
    }

    /// Why the broker could not be reached, when that was said within the last half minute.
    pub(crate) fn trouble(&self) -> Option<(Code, String)> {
        let state = self.lock();
        let (at, code, reason) = state.trouble.as_ref()?;
        (at.elapsed() < 3 * QUIET).then(|| (*code, reason.clone()))
    }

    fn is_news(&self, facility: &str, line: &str) -> bool {
        let kind = kind_of(facility, line);
        let mut state = self.lock();
        state.last.retain(|(at, _)| at.elapsed() < QUIET);
        if state.last.iter().any(|(_, seen)| *seen == kind) {
            return false;
        }
        state.last.push((Instant::now(), kind));
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn is_connection(code: &Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::SSL
            | Code::UnsupportedFeature
    )
}

/// A line without its digits: attempts differ by port and milliseconds only.
fn kind_of(facility: &str, line: &str) -> String {
    let mut kind = String::with_capacity(facility.len() + line.len());
    kind.push_str(facility);
    kind.extend(line.chars().filter(|c| !c.is_ascii_digit()));
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_differs_by_its_numbers_is_no_news() {
        let reporter = Reporter::default();
        assert!(reporter.is_news("FAIL", "127.0.0.1:9092/1: refused (after 3ms)"));
        assert!(!reporter.is_news("FAIL", "127.0.0.1:9092/1: refused (after 17ms)"));
        assert!(reporter.is_news("FAIL", "127.0.0.1:9092/1: timed out"));
    }

    #[test]
    fn the_first_cause_is_kept() {
        let reporter = Reporter::default();
        assert!(reporter.trouble().is_none());
        reporter.error(&KafkaError::Global(Code::Authentication), "wrong password");
        reporter.error(
            &KafkaError::Global(Code::AllBrokersDown),
            "1/1 brokers are down",
        );
        assert_eq!(
            reporter.trouble(),
            Some((Code::Authentication, "wrong password".into()))
        );
    }
}
