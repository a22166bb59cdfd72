//! The broker of this directory: found, started, taken over.
//!
//! Whoever holds the lock `broker.lock` in the data directory hosts the broker; `broker.address` says where it
//! listens. The lock ends with its process, however that ends, so a stale address is never taken for a broker.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[cfg(feature = "broker")]
use stream_broker::{self as broker, Broker, Config};

use super::ending::{CliError, CliResult};
#[cfg(not(feature = "broker"))]
use super::without_broker::{self as broker, Broker, Config};

/// The port tried first when nothing else is said: Kafka's own.
const USUAL_PORT: u16 = 9092;
/// How long a broker may take from the lock to the first connection.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a worker looks whether the host is gone.
const HOST_CHECK_INTERVAL: Duration = Duration::from_millis(300);

/// The files by which processes of a directory find its broker.
#[derive(Clone, Debug)]
pub(crate) struct BrokerDir {
    dir: PathBuf,
}

/// A broker this process runs, as long as it is held.
pub(crate) struct Host {
    broker: Broker,
    address: SocketAddr,
    // Dropped after the broker.
    _lock: File,
}

/// A worker's tie to the broker of its directory.
pub(crate) struct Joined {
    address: SocketAddr,
    host: Option<Host>,
    watch: Option<Watch>,
}

/// A thread that takes the broker over when its host ends.
struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Option<Host>>,
}

impl BrokerDir {
    /// The place of the data directory `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        BrokerDir {
            dir: dir.to_owned(),
        }
    }

    /// The address of the broker that runs for this directory, checked that it answers.
    pub(crate) fn running(&self) -> Option<SocketAddr> {
        // A worker may just be starting it.
        let deadline = Instant::now() + START_TIMEOUT;
        while self.is_hosted() {
            if let Some(address) = self.written_address()
                && answers(address)
            {
                return Some(address);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    /// Runs the broker in this process; `Ok(None)` when another process does.
    ///
    /// Without a `port`: the port of the last time, else 9092, else a free one.
    pub(crate) fn host(&self, port: Option<u16>) -> CliResult<Option<Host>> {
        let Some(lock) = self.lock()? else {
            return Ok(None);
        };
        if !cfg!(feature = "broker") {
            return Err(CliError::usage(
                "no broker is named, and this program was built without the feature `broker` of stream-runtime, the development broker",
            )
            .next("name one: --broker HOST:PORT, or App::broker in the code"));
        }
        let last = self.written_address().map(|address| address.port());
        let ports = match port {
            Some(port) => vec![port],
            None => vec![last.unwrap_or(USUAL_PORT), 0],
        };
        let data = self.dir.join("broker");
        let mut failed = None;
        for port in ports {
            match start(&data, port) {
                Ok(broker) => {
                    let address = broker.address();
                    self.write_address(address)?;
                    return Ok(Some(Host {
                        broker,
                        address,
                        _lock: lock,
                    }));
                }
                // Only a port that is taken has a next one.
                Err(error) => {
                    let taken = error.is_address_in_use();
                    failed = Some((port, error));
                    if !taken {
                        break;
                    }
                }
            }
        }
        match failed {
            None => Err(CliError::failure("no port to listen on")),
            Some((port, error)) if error.is_address_in_use() => Err(CliError::failure(error).next(
                format_args!(
                    "port {port} is taken: give another with `broker --port` or `worker --broker-port`"
                ),
            )),
            Some((_, error)) => Err(CliError::failure(error).next("or give another --data-dir")),
        }
    }

    /// Joins the broker that runs for this directory, or runs it here; watches over it from then on.
    ///
    /// Without a `port`: as [`host`](BrokerDir::host). One that runs already keeps its own.
    pub(crate) fn join(&self, port: Option<u16>) -> CliResult<Joined> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(host) = self.host(port)? {
                return Ok(Joined {
                    address: host.address,
                    host: Some(host),
                    watch: None,
                });
            }
            if let Some(address) = self.running() {
                let watch = Watch::start(self.clone(), address)?;
                return Ok(Joined {
                    address,
                    host: None,
                    watch: Some(watch),
                });
            }
            if Instant::now() > deadline {
                return Err(CliError::failure(format_args!(
                    "another process holds the broker of {} but it does not answer",
                    self.dir.display()
                ))
                .next("end that process, or name a broker with --broker"));
            }
        }
    }

    fn lock(&self) -> CliResult<Option<File>> {
        let path = self.dir.join("broker.lock");
        let failed = |doing: &str, error: std::io::Error| {
            CliError::failure(format_args!("cannot {doing} {}: {error}", path.display()))
                .next("make the directory writable, or give another --data-dir")
        };
        if self.dir.exists() && !self.dir.is_dir() {
            return Err(CliError::failure(format_args!(
                "{} is not a directory",
                self.dir.display()
            ))
            .next("move it away, or give another --data-dir"));
        }
        fs::create_dir_all(&self.dir).map_err(|error| failed("make the directory of", error))?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.map_err(|error| failed("write", error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", error)),
        }
    }

    fn is_hosted(&self) -> bool {
        let Ok(file) = File::options()
            .write(true)
            .open(self.dir.join("broker.lock"))
        else {
            return false;
        };
        // Shared, so that two who look do not see each other.
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn written_address(&self) -> Option<SocketAddr> {
        fs::read_to_string(self.dir.join("broker.address"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    fn write_address(&self, address: SocketAddr) -> CliResult {
        let path = self.dir.join("broker.address");
        let unfinished = self.dir.join("broker.address.new");
        fs::write(&unfinished, format!("{address}\n"))
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| {
                CliError::failure(format_args!("cannot write {}: {error}", path.display()))
            })
    }
}

impl Host {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the broker in order; its data stay.
    pub(crate) fn stop(self) {
        self.broker.shutdown();
    }
}

impl Joined {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether this process ran the broker from the start.
    pub(crate) fn is_host(&self) -> bool {
        self.host.is_some()
    }

    /// Lets go of the broker; ends it if it runs in this process.
    pub(crate) fn leave(self) {
        let taken_over = self.watch.and_then(Watch::end);
        for host in self.host.into_iter().chain(taken_over) {
            host.stop();
        }
    }
}

impl Watch {
    fn start(place: BrokerDir, address: SocketAddr) -> CliResult<Watch> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("broker-watch".to_owned()).spawn(move || {
            let mut complained = false;
            loop {
                match stopped.recv_timeout(HOST_CHECK_INTERVAL) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return None,
                }
                match place.host(Some(address.port())) {
                    Ok(None) => complained = false,
                    Ok(Some(host)) => {
                        tracing::info!("the process that ran the broker has ended; it runs here now, at {address}");
                        // Held, but still here to be told to stop.
                        let _ = stopped.recv();
                        return Some(host);
                    }
                    Err(error) if !complained => {
                        tracing::warn!("the process that ran the broker has ended, and taking it over failed: {error}");
                        complained = true;
                    }
                    Err(_) => {}
                }
            }
        });
        let thread = thread
            .map_err(|error| CliError::failure(format_args!("cannot start a thread: {error}")))?;
        Ok(Watch { stop, thread })
    }

    fn end(self) -> Option<Host> {
        let _ = self.stop.send(());
        drop(self.stop);
        self.thread.join().ok().flatten()
    }
}

fn start(data: &Path, port: u16) -> Result<Broker, broker::Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Broker::start(Config::new(data).address(address))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, BrokerDir) {
        let dir = tempfile::tempdir().unwrap();
        let place = BrokerDir::new(&dir.path().join(".stream"));
        (dir, place)
    }

    #[test]
    fn nothing_runs_in_an_empty_directory_and_nothing_is_made_by_looking() {
        let (dir, place) = place();
        assert_eq!(place.running(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_second_finds_the_first() {
        let (_dir, place) = place();
        let host = place.host(Some(0)).unwrap().expect("hosted here");
        assert!(place.host(Some(0)).unwrap().is_none(), "one at a time");
        assert_eq!(place.running(), Some(host.address()));
        host.stop();
        assert_eq!(place.running(), None, "the address alone is not a broker");
    }

    #[test]
    fn the_port_is_kept() {
        let (_dir, place) = place();
        let host = place.host(Some(0)).unwrap().expect("hosted here");
        let address = host.address();
        host.stop();
        let again = place.host(None).unwrap().expect("hosted here");
        assert_eq!(again.address(), address);
        again.stop();
    }

    #[test]
    fn a_taken_port_is_said() {
        let (_dir, place) = place();
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = place.host(Some(port)).err().expect("refused");
        assert!(
            error
                .next_step()
                .is_some_and(|next| next.contains(&port.to_string())),
            "{error:?}"
        );
        // It is still free for another try.
        place.host(Some(0)).unwrap().expect("hosted here").stop();
    }

    #[test]
    fn a_joined_worker_takes_over_at_the_same_port() {
        let (_dir, place) = place();
        let host = place.host(Some(0)).unwrap().expect("hosted here");
        let joined = place.join(None).unwrap();
        assert!(!joined.is_host());
        assert_eq!(joined.address(), host.address());
        let address = host.address();
        host.stop();
        let start = Instant::now();
        while place.running() != Some(address) {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "nobody took over"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        joined.leave();
        assert_eq!(place.running(), None);
    }

    #[test]
    fn a_read_only_or_wrong_place_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = BrokerDir::new(file.path())
            .host(Some(0))
            .err()
            .expect("refused");
        assert!(
            error
                .next_step()
                .is_some_and(|next| next.contains("--data-dir")),
            "{error:?}"
        );
    }
}
