//! How a broker is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a broker is started. [`Config::new`] gives the defaults; fields may be changed before [`Broker::start`].
///
/// [`Broker::start`]: crate::Broker::start
///
/// ```
/// use stream_broker::Config;
///
/// let config = Config::new(".stream/broker").address("127.0.0.1:9092".parse().unwrap());
/// # let _ = config;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where everything is kept; created if it is not there. One broker at a time can use it.
    pub data_dir: PathBuf,
    /// Where to listen. Must be a loopback address. Port 0 takes a free one. Default: `127.0.0.1:0`.
    pub address: SocketAddr,
    /// Partitions of a topic that is created without saying how many. Default: 4.
    pub default_partitions: i32,
    /// How long the first member of a consumer group waits for others before the group starts. Default: 100 ms.
    pub initial_rebalance_delay: Duration,
    /// How often old segments are looked for and removed, as `log.retention.check.interval.ms`. Default: 5 minutes.
    pub retention_interval: Duration,
}

impl Config {
    /// The defaults, with everything kept in this directory.
    ///
    /// ```
    /// use stream_broker::Config;
    ///
    /// let config = Config::new(".stream/broker");
    /// # let _ = config;
    /// ```
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            default_partitions: 4,
            initial_rebalance_delay: Duration::from_millis(100),
            retention_interval: Duration::from_secs(5 * 60),
        }
    }

    /// Listens at another address.
    ///
    /// ```
    /// use stream_broker::Config;
    ///
    /// let config = Config::new(".stream/broker").address("127.0.0.1:9092".parse().unwrap());
    /// # let _ = config;
    /// ```
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }
}
