//! The server of a crate that is built without the feature `web`: none. Other workers are not told of an address, so
//! they say that this one has none.

use tokio::runtime::Handle;

use super::door::Door;
use super::page::PageDescriptor;
use crate::background::BackgroundContext;
use crate::background::lookup::Tables;
use crate::error::Error;

/// Nothing that listens.
pub(crate) struct Server;

impl Server {
    pub(crate) fn new(_: Door) -> Result<Self, Error> {
        Ok(Server)
    }

    pub(crate) fn address(&self) -> Option<String> {
        None
    }

    pub(crate) fn advertised(&self, _: &str) -> Option<String> {
        None
    }

    pub(crate) fn serve(
        self,
        _: &str,
        _: &[&'static PageDescriptor],
        _: Tables,
        _: BackgroundContext,
        _: &Handle,
    ) -> Result<(), Error> {
        Ok(())
    }
}
