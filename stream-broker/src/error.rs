//! Why a broker does not start.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a broker does not start.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// use stream_broker::{Broker, Config};
///
/// let broker = Broker::start(Config::new(directory.path())).unwrap();
/// let second = Broker::start(Config::new(directory.path()));
/// assert!(second.is_err_and(|error| error.is_in_use()));
/// # broker.shutdown();
/// ```
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    NotLoopback(SocketAddr),
    Config(String),
    InUse(PathBuf),
    DataDir(PathBuf, io::Error),
    Bind(SocketAddr, io::Error),
    Thread(io::Error),
}

impl Error {
    pub(crate) fn not_loopback(address: SocketAddr) -> Self {
        Self(Kind::NotLoopback(address))
    }

    pub(crate) fn config(what: impl Into<String>) -> Self {
        Self(Kind::Config(what.into()))
    }

    pub(crate) fn in_use(directory: &Path) -> Self {
        Self(Kind::InUse(directory.to_owned()))
    }

    pub(crate) fn data_dir(directory: &Path, error: io::Error) -> Self {
        Self(Kind::DataDir(directory.to_owned(), error))
    }

    pub(crate) fn bind(address: SocketAddr, error: io::Error) -> Self {
        Self(Kind::Bind(address, error))
    }

    pub(crate) fn thread(error: io::Error) -> Self {
        Self(Kind::Thread(error))
    }

    /// Whether another broker uses the data directory.
    ///
    /// ```
    /// # let directory = tempfile::tempdir().unwrap();
    /// use stream_broker::{Broker, Config};
    ///
    /// let broker = Broker::start(Config::new(directory.path())).unwrap();
    /// let second = Broker::start(Config::new(directory.path()));
    /// assert!(second.is_err_and(|error| error.is_in_use()));
    /// # broker.shutdown();
    /// ```
    pub fn is_in_use(&self) -> bool {
        matches!(self.0, Kind::InUse(_))
    }

    /// Whether the port is taken.
    ///
    /// ```
    /// # let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    /// use stream_broker::{Broker, Config};
    ///
    /// let broker = Broker::start(Config::new(one.path())).unwrap();
    /// let second = Broker::start(Config::new(two.path()).address(broker.address()));
    /// assert!(second.is_err_and(|error| error.is_address_in_use()));
    /// # broker.shutdown();
    /// ```
    pub fn is_address_in_use(&self) -> bool {
        matches!(&self.0, Kind::Bind(_, error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::NotLoopback(address) => write!(
                f,
                "the embedded broker listens on loopback only, not on {address}; use 127.0.0.1 or ::1, or run Apache Kafka"
            ),
            Kind::Config(what) => write!(f, "{what}"),
            Kind::InUse(directory) => write!(
                f,
                "the data directory {} is in use by another broker; stop it, connect to it, or choose another directory",
                directory.display()
            ),
            Kind::DataDir(directory, error) => {
                write!(
                    f,
                    "cannot use the data directory {}: {error}",
                    directory.display()
                )
            }
            Kind::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Kind::Thread(error) => write!(f, "cannot start the broker's threads: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::DataDir(_, error) | Kind::Bind(_, error) | Kind::Thread(error) => Some(error),
            Kind::NotLoopback(_) | Kind::Config(_) | Kind::InUse(_) => None,
        }
    }
}
