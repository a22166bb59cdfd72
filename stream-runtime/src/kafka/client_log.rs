//! What librdkafka says, through `tracing`.

use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::ffi;
use crate::error::quiet;
use crate::sync::Mutex;

/// Time for which the reason is kept why a broker cannot be reached.
const TROUBLE: Duration = Duration::from_secs(30);
/// Time between two lines of one kind, of all clients of the process: at first, and at most; it doubles in between. So
/// a node that is away for a day is some thirty lines.
const WAITS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3_600));
/// Time without a line after which its cause is over: clients try to reach a node every 10 s at least.
const OVER: Duration = Duration::from_secs(60);

/// Number of kinds that are told apart; the oldest makes room.
const KINDS: usize = 100;

/// Lines of all clients of this process.
static HEARD: Mutex<Heard> = Mutex::new(Heard { kinds: Vec::new() });

#[derive(Debug, Default)]
struct Heard {
    kinds: Vec<Kind>,
}

/// Lines that say the same.
#[derive(Debug)]
struct Kind {
    kind: String,
    /// As it was said last.
    line: String,
    last: Instant,
    told: Instant,
    wait: Duration,
    more: u64,
}

impl Heard {
    /// Returns how many alike were left out since the last one that was told; `None`: this one is left out, too.
    fn news(&mut self, line: &str, now: Instant) -> Option<u64> {
        let kind = kind_of(line);
        if let Some(known) = self.kinds.iter_mut().find(|known| known.kind == kind) {
            known.last = now;
            if now.duration_since(known.told) < known.wait {
                known.more += 1;
                return None;
            }
            known.told = now;
            known.wait = (known.wait * 2).min(WAITS.1);
            return Some(std::mem::take(&mut known.more));
        }
        if self.kinds.len() >= KINDS {
            self.kinds.remove(0);
        }
        self.kinds.push(Kind {
            kind,
            line: own_part(line).to_owned(),
            last: now,
            told: now,
            wait: WAITS.0,
            more: 0,
        });
        Some(0)
    }

    /// Takes out the lines of which none has come for [`OVER`].
    fn over(&mut self, now: Instant) -> Vec<String> {
        let over = |known: &mut Kind| now.duration_since(known.last) >= OVER;
        let over = self.kinds.extract_if(.., over);
        over.map(|known| known.line).collect()
    }
}

fn heard() -> MutexGuard<'static, Heard> {
    HEARD.lock()
}

/// Logs once each line that has not come for a minute: its node is back.
pub(crate) fn say_over() {
    for line in heard().over(Instant::now()) {
        tracing::info!(target: "stream_runtime::kafka", "not heard any more for a minute: {line}");
    }
}

fn say(line: &str) {
    match heard().news(line, Instant::now()) {
        Some(more) => {
            tracing::warn!(target: "stream_runtime::kafka", "{}{}", own_part(line), quiet::and(more));
        }
        None => tracing::debug!(target: "stream_runtime::kafka", "{line}"),
    }
}

/// When, after a client has said last that all of its brokers are down, it is given the bootstrap servers again.
///
/// A node that has just started may answer a question for metadata with topics and without any broker. librdkafka (2.10
/// to 2.13 at least, its issue 5301) then lets all of its brokers go and, where its threads meet unluckily, looks for
/// none any more, without another error. In an ordinary outage it says again and again that all are down.
const REVIVALS: [Duration; 3] = [
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Logs for one client, and remembers why it cannot reach the broker.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    /// A revival may be due.
    down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    trouble: Option<(Instant, Code, String)>,
    /// When all brokers were said to be down last, and revivals since then.
    down: Option<(Instant, usize)>,
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
                say(line);
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
        // Each of them was said, and a client that is asked rarely tells of it when they are back.
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            self.lock().down = Some((Instant::now(), 0));
            self.down.store(true, Ordering::Relaxed);
            tracing::debug!(target: "stream_runtime::kafka", "{reason}");
            return;
        }
        say(reason);
    }

    /// Why the broker could not be reached, when that was said within the last half minute.
    pub(crate) fn trouble(&self) -> Option<(Code, String)> {
        let state = self.lock();
        let (at, code, reason) = state.trouble.as_ref()?;
        (at.elapsed() < TROUBLE).then(|| (*code, reason.clone()))
    }

    /// Gives the client its bootstrap servers again when that is due; to be called with each poll. A client that has
    /// them still does not mind.
    pub(super) fn revive<C: ClientContext>(&self, client: &Client<C>, bootstrap: &str) {
        if self.must_revive() {
            tracing::debug!(target: "stream_runtime::kafka", "all brokers have been down; looking for {bootstrap} again");
            ffi::add_brokers(client, bootstrap);
        }
    }

    /// The same for several clients that report to one place: whether each is to be given its servers now.
    pub(super) fn must_revive(&self) -> bool {
        self.down.load(Ordering::Relaxed) && self.is_revival_due(Instant::now())
    }

    fn is_revival_due(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let Some((at, revivals)) = &mut state.down else {
            return false;
        };
        if now.duration_since(*at) < REVIVALS[*revivals] {
            return false;
        }
        *revivals += 1;
        if *revivals == REVIVALS.len() {
            state.down = None;
            self.down.store(false, Ordering::Relaxed);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
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

/// A line without the name of the client's thread before it.
fn own_part(line: &str) -> &str {
    let named = line.strip_prefix("[thrd:");
    let rest = named.and_then(|rest| rest.split_once("]: "));
    rest.map_or(line, |(_, rest)| rest)
}

/// The same without digits, and without how often and when: attempts of all clients differ by these only.
fn kind_of(line: &str) -> String {
    let line = own_part(line);
    let line = line.split_once(" (after").map_or(line, |(line, _)| line);
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_says_nothing_more_of_its_brokers_is_revived_three_times() {
        let reporter = Reporter::default();
        let begin = Instant::now();
        let due = |second| reporter.is_revival_due(begin + Duration::from_secs(second));
        assert!(!due(60), "its brokers have not been down");
        let all_down = KafkaError::Global(Code::AllBrokersDown);
        reporter.error(&all_down, "3/3 brokers are down");
        let at = [2, 5, 6, 12, 13, 29, 32, 33, 100].map(due);
        let expected = [false, true, false, true, false, false, true, false, false];
        assert_eq!(at, expected);
        reporter.error(&all_down, "3/3 brokers are down");
        assert!(!due(2), "librdkafka looks itself");
    }

    const LOG: &str = "[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
    const EVENT: &str = "127.0.0.1:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 17ms in state CONNECT, 3 identical error(s) suppressed)";

    #[test]
    fn a_node_that_refuses_is_one_line_of_all_clients() {
        let mut heard = Heard::default();
        let now = Instant::now();
        assert_eq!(heard.news(LOG, now), Some(0));
        assert_eq!(heard.news(EVENT, now), None);
        assert_eq!(heard.news(LOG, now + Duration::from_secs(9)), None);
        assert_eq!(heard.news(EVENT, now + Duration::from_secs(10)), Some(2));
        assert_eq!(heard.news("127.0.0.1:9092/1: timed out", now), Some(0));
    }

    #[test]
    fn a_day_with_a_node_away_fits_on_a_screen() {
        let mut heard = Heard::default();
        let begin = Instant::now();
        let told = |second: u64| {
            heard
                .news(LOG, begin + Duration::from_secs(second))
                .is_some()
        };
        let lines = (0..86_400)
            .step_by(5)
            .map(told)
            .filter(|told| *told)
            .count();
        assert!((20..50).contains(&lines), "{lines}");
    }

    #[test]
    fn a_node_that_is_back_is_said_once_and_news_when_it_goes_again() {
        let mut heard = Heard::default();
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        heard.news(LOG, at(0));
        heard.news(EVENT, at(30));
        assert!(heard.over(at(89)).is_empty());
        let over = heard.over(at(90));
        assert_eq!(over.len(), 1);
        assert!(over[0].starts_with("127.0.0.1:9092/1: Connect"), "{over:?}");
        assert!(heard.over(at(200)).is_empty());
        assert_eq!(heard.news(LOG, at(300)), Some(0));
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
