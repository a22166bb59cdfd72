//! A broker that is far away: all that goes to it and comes from it arrives so much later, each way, and as much of it
//! at a time as without. Only answers that name the broker's address are looked at.

use crate::between::{address, replace};
use anyhow::{Context, Result};
use kafka_protocol::messages::ApiKey;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pieces that may be on their way in one direction of a connection: so many that a delay does not limit what passes.
const ON_THE_WAY: usize = 4096;
/// Bytes of a piece at most.
const PIECE: usize = 1 << 18;
/// Requests whose answers name the broker's address.
const NAMES_BROKERS: [ApiKey; 3] = [
    ApiKey::Metadata,
    ApiKey::FindCoordinator,
    ApiKey::DescribeCluster,
];

/// The way to the broker. It serves as long as the process.
pub struct Distance {
    port: u16,
    /// In nanoseconds, each way.
    delay: Arc<AtomicU64>,
}

impl Distance {
    /// A way without delay to the broker at `127.0.0.1:port`, which must be what the broker calls itself.
    pub fn to(bootstrap: &str) -> Result<Self> {
        let there: u16 = bootstrap
            .rsplit_once(':')
            .context("a port")?
            .1
            .parse()
            .context("a port")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let delay = Arc::<AtomicU64>::default();
        let shared = Arc::clone(&delay);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A client that finds nobody there sees its connection end.
                let _ = connect(&client, port, there, &shared);
            }
        });
        Ok(Self { port, delay })
    }

    /// `host:port` of the near end.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on everything takes so much longer, each way.
    pub fn set(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.delay.store(delay, Ordering::Relaxed);
    }
}

fn connect(client: &TcpStream, near: u16, far: u16, delay: &Arc<AtomicU64>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", far))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let asked = Arc::<Asked>::default();
    let (noted, mut requests) = (Arc::clone(&asked), Frames::default());
    direction(client, &server, delay, move |read| {
        requests.pass(read, |frame, _| noted.note(frame))
    })?;
    let (from, to) = (address(far), address(near));
    let mut answers = Frames::default();
    direction(&server, client, delay, move |read| {
        answers.pass(read, |frame, whole| {
            if !asked.is_answered_by(frame) {
                return true;
            }
            if frame.len() < whole {
                return false;
            }
            // So that the client comes to us for every broker and coordinator it hears of.
            replace(frame, &from, &to);
            asked.forget(frame);
            true
        })
    })
}

/// One direction: one thread reads, another writes when it is time. An end of either side ends both.
fn direction(
    from: &TcpStream,
    to: &TcpStream,
    delay: &Arc<AtomicU64>,
    pass: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static,
) -> Result<()> {
    let (put, take) = sync_channel(ON_THE_WAY);
    let (from, to, delay) = (from.try_clone()?, to.try_clone()?, Arc::clone(delay));
    std::thread::spawn(move || read(from, &put, &delay, pass));
    std::thread::spawn(move || write(to, &take));
    Ok(())
}

fn read(
    mut from: TcpStream,
    put: &SyncSender<(Instant, Vec<u8>)>,
    delay: &AtomicU64,
    mut pass: impl FnMut(&[u8]) -> Vec<u8>,
) {
    let mut bytes = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let due = Instant::now() + Duration::from_nanos(delay.load(Ordering::Relaxed));
        let piece = pass(&bytes[..length]);
        if !piece.is_empty() && put.send((due, piece)).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
}

fn write(mut to: TcpStream, take: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, bytes)) = take.recv() {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Numbers of the requests of one connection whose answers name brokers.
#[derive(Default)]
struct Asked(Mutex<Vec<i32>>);

impl Asked {
    /// Looks at a request: its length, what it asks for, in which version, its number. Returns whether that was there.
    fn note(&self, frame: &[u8]) -> bool {
        let (Some(api), Some(number)) = (number::<2>(frame, 4), number::<4>(frame, 8)) else {
            return false;
        };
        let api = i16::from_be_bytes(api);
        if NAMES_BROKERS.iter().any(|names| *names as i16 == api) {
            self.all().push(i32::from_be_bytes(number));
        }
        true
    }

    /// An answer is its length and its request's number at first.
    fn is_answered_by(&self, frame: &[u8]) -> bool {
        number::<4>(frame, 4).is_some_and(|it| self.all().contains(&i32::from_be_bytes(it)))
    }

    fn forget(&self, frame: &[u8]) {
        if let Some(it) = number::<4>(frame, 4) {
            self.all().retain(|asked| *asked != i32::from_be_bytes(it));
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}

/// What comes of one direction, in frames.
#[derive(Default)]
struct Frames {
    /// Read, and not yet looked at.
    held: Vec<u8>,
    /// Bytes still to come of a frame that was looked at.
    left: usize,
}

impl Frames {
    /// Takes what was read and returns what may go on. `look` sees each frame as far as it has come, and how long it is
    /// all in all; it may change what it sees, and says whether it has seen enough.
    fn pass(&mut self, read: &[u8], mut look: impl FnMut(&mut [u8], usize) -> bool) -> Vec<u8> {
        self.held.extend_from_slice(read);
        let mut at = 0;
        loop {
            let goes = self.left.min(self.held.len() - at);
            (at, self.left) = (at + goes, self.left - goes);
            // Length and number.
            if self.left > 0 || self.held.len() - at < 8 {
                break;
            }
            let frame = &mut self.held[at..];
            let length = number::<4>(frame, 0).map_or(0, i32::from_be_bytes);
            let whole = 4 + usize::try_from(length).unwrap_or(0);
            let come = frame.len().min(whole);
            if !look(&mut frame[..come], whole) {
                break;
            }
            self.left = whole;
        }
        let rest = self.held.split_off(at);
        std::mem::replace(&mut self.held, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    fn frame(head: &[&[u8]]) -> Vec<u8> {
        let body = head.concat();
        let length = i32::try_from(body.len()).unwrap().to_be_bytes();
        [length.to_vec(), body].concat()
    }

    fn request(api: ApiKey, number: i32) -> Vec<u8> {
        frame(&[
            &(api as i16).to_be_bytes(),
            &[0, 1],
            &number.to_be_bytes(),
            b"?",
        ])
    }

    #[test]
    fn addresses_change_in_answers_that_name_brokers_however_they_are_cut() {
        let (from, to) = (address(1000), address(2000));
        for size in [1, 3, 11, 1000] {
            let asked = Asked::default();
            let asks = [request(ApiKey::Fetch, 1), request(ApiKey::Metadata, 2)].concat();
            let (mut requests, mut sent) = (Frames::default(), Vec::new());
            for piece in asks.chunks(size) {
                sent.extend(requests.pass(piece, |frame, _| asked.note(frame)));
            }
            assert_eq!(sent, asks);
            let answer = |number: i32, address: &[u8]| {
                frame(&[&number.to_be_bytes(), b"before", address, b"behind"])
            };
            let come = [answer(1, &from), answer(2, &from), answer(3, &from)].concat();
            let (mut answers, mut heard) = (Frames::default(), Vec::new());
            for piece in come.chunks(size) {
                heard.extend(answers.pass(piece, |frame, whole| {
                    let names = asked.is_answered_by(frame);
                    if names && frame.len() == whole {
                        replace(frame, &from, &to);
                    }
                    !names || frame.len() == whole
                }));
            }
            let expected = [answer(1, &from), answer(2, &to), answer(3, &from)].concat();
            assert_eq!(heard, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_client_stays_on_the_way_and_all_it_does_takes_twice_the_delay() {
        let dir = tempfile::tempdir().unwrap();
        let config = stream_broker::Config::new(dir.path());
        let broker =
            stream_broker::Broker::start(config.address(([127, 0, 0, 1], 0).into())).unwrap();
        let distance = Distance::to(&broker.address().to_string()).unwrap();
        let consumer: BaseConsumer = client::config(&distance.bootstrap()).create().unwrap();
        let long = Duration::from_secs(10);
        let metadata = consumer.fetch_metadata(None, long).unwrap();
        assert_eq!(i32::from(distance.port), metadata.brokers()[0].port());
        distance.set(Duration::from_millis(100));
        let began = Instant::now();
        consumer.fetch_metadata(None, long).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(200));
        broker.shutdown();
    }

    #[test]
    fn what_is_on_its_way_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = listener.local_addr().unwrap();
        let distance = Distance::to(&far.to_string()).unwrap();
        distance.set(Duration::from_millis(50));
        let mut near = TcpStream::connect(distance.bootstrap()).unwrap();
        near.set_nodelay(true).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let (one, count) = (frame(&[&[7; 1000]]), 50);
        let began = Instant::now();
        let sent = one.clone();
        let sending = std::thread::spawn(move || {
            for _ in 0..count {
                near.write_all(&sent).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            near
        });
        let mut all = vec![0; one.len() * count];
        there.read_exact(&mut all).unwrap();
        let took = began.elapsed();
        assert_eq!(all, one.repeat(count));
        assert!(took >= Duration::from_millis(50));
        // One after the other they would take 2.5 s.
        assert!(took < Duration::from_millis(1500), "{took:?}");
        drop(sending.join().unwrap());
    }
}
