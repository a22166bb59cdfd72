//! A running broker.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::connection;
use super::node::Node;
use crate::{Config, Error};

/// How often deadlines of groups and transactions are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How often logs are looked through for what can be compacted.
const CLEAN: Duration = Duration::from_secs(1);
/// More connections than this at a time are refused.
const MOST_CONNECTIONS: usize = 4096;

/// A running broker. It stops when it is dropped; [`Broker::shutdown`] says so in words.
///
/// ```
/// # fn main() -> Result<(), stream_broker::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// use stream_broker::{Broker, Config};
///
/// let broker = Broker::start(Config::new(directory.path()))?;
/// broker.shutdown();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Opens the data directory and starts to serve, on threads of its own.
    ///
    /// # Errors
    ///
    /// When the address is not a loopback address or its port is taken, when another broker uses the data directory, or
    /// when the directory cannot be read or written.
    ///
    /// ```
    /// # fn main() -> Result<(), stream_broker::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// use stream_broker::{Broker, Config};
    ///
    /// let broker = Broker::start(Config::new(directory.path()))?;
    /// broker.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(config: Config) -> Result<Self, Error> {
        if !config.address.ip().is_loopback() {
            return Err(Error::not_loopback(config.address));
        }
        if config.default_partitions < 1 {
            return Err(Error::config("default_partitions must be at least 1"));
        }
        let lock = lock(&config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(
                std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4)),
            )
            .thread_name("stream-broker")
            .enable_all()
            .build()
            .map_err(Error::thread)?;
        let listener = std::net::TcpListener::bind(config.address)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                let _in_runtime = runtime.enter();
                TcpListener::from_std(listener)
            })
            .map_err(|error| Error::bind(config.address, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::bind(config.address, error))?;
        let node = Node::open(&config, address)
            .map_err(|error| Error::data_dir(&config.data_dir, error))?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("stream-broker".into())
            .spawn(move || {
                let node = Arc::new(node);
                runtime.block_on(serve(node.clone(), listener, stopped));
                runtime.shutdown_timeout(Duration::from_secs(5));
                node.settle();
                drop(lock);
            })
            .map_err(Error::thread)?;
        tracing::info!(%address, data_dir = %config.data_dir.display(), "the embedded broker listens");
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// The address it listens on, with the port it really has.
    ///
    /// ```
    /// # fn main() -> Result<(), stream_broker::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// use stream_broker::{Broker, Config};
    ///
    /// let broker = Broker::start(Config::new(directory.path()))?;
    /// assert!(broker.address().ip().is_loopback());
    /// broker.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, writes what makes the next start quick, and frees the data directory.
    ///
    /// ```
    /// # fn main() -> Result<(), stream_broker::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// use stream_broker::{Broker, Config};
    ///
    /// let broker = Broker::start(Config::new(directory.path()))?;
    /// broker.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the embedded broker's thread ended in a panic");
        }
    }
}

/// Takes the data directory for this broker alone; the system frees it when the process ends, however it ends.
fn lock(config: &Config) -> Result<File, Error> {
    let refuse = |error| Error::data_dir(&config.data_dir, error);
    std::fs::create_dir_all(&config.data_dir).map_err(refuse)?;
    let path = config.data_dir.join("broker.lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::in_use(&config.data_dir)),
        Err(TryLockError::Error(error)) => Err(refuse(error)),
    }
}

async fn serve(node: Arc<Node>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(tokio::sync::Semaphore::new(MOST_CONNECTIONS));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let chores = std::thread::Builder::new()
        .name("stream-broker-chores".into())
        .spawn({
            let (node, stopped) = (node.clone(), stopped.clone());
            move || chores(&node, &stopped)
        });
    if let Err(error) = &chores {
        tracing::error!(%error, "no thread for compaction and retention");
    }
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = tick.tick() => node.tick(),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(place) = places.clone().try_acquire_owned() else {
                        tracing::warn!(%peer, most = MOST_CONNECTIONS, "too many connections; this one is closed");
                        continue;
                    };
                    let (node, stopped) = (node.clone(), stopped.clone());
                    tokio::spawn(async move {
                        connection::serve(&node, stream, peer, stopped).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(TICK).await;
                }
            },
        }
    }
    if let Ok(chores) = chores {
        let _ = tokio::task::spawn_blocking(move || chores.join()).await;
    }
}

/// Compaction and retention, on a thread of their own because they read and write for long.
fn chores(node: &Node, stopped: &watch::Receiver<bool>) {
    let mut since_retention = Duration::ZERO;
    while !*stopped.borrow() {
        node.compact(&|| *stopped.borrow());
        if since_retention >= node.retention_interval {
            since_retention = Duration::ZERO;
            node.retain();
        }
        for _ in 0..CLEAN.as_millis() / TICK.as_millis() {
            if *stopped.borrow() {
                return;
            }
            std::thread::sleep(TICK);
        }
        since_retention += CLEAN;
    }
}
