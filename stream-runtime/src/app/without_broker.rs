//! What stands for the development broker where the crate is built without the feature `broker`: it is never started.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

/// A broker that there is not.
pub(crate) struct Broker(Infallible);

/// What it would be started with.
pub(crate) struct Config;

/// Why it is not there.
#[derive(Debug)]
pub(crate) struct Error;

impl Config {
    pub(crate) fn new(_: &Path) -> Self {
        Config
    }

    pub(crate) fn address(self, _: SocketAddr) -> Self {
        self
    }
}

impl Broker {
    pub(crate) fn start(_: Config) -> Result<Self, Error> {
        Err(Error)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self.0 {}
    }

    pub(crate) fn shutdown(self) {
        match self.0 {}
    }
}

impl Error {
    pub(crate) fn is_address_in_use(&self) -> bool {
        false
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("built without the feature `broker` of stream-runtime")
    }
}
