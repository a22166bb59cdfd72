//! What asks other workers where the crate is built without the feature `web`: nothing.

use bytes::Bytes;

use super::token::Token;

/// Asks nobody.
pub(crate) struct Client;

impl Client {
    pub(crate) fn new(_: Option<Token>) -> Self {
        Client
    }

    /// Refuses.
    pub(crate) async fn post(&self, _: &str, _: &str, _: Vec<u8>) -> Result<(u16, Bytes), String> {
        Err("this program was built without the feature `web` of stream-runtime".to_owned())
    }
}
