//! Types and conversions that all handlers of requests use: the answer, and values of the protocol's types.

use bytes::BytesMut;
use kafka_protocol::protocol::StrBytes;

use crate::wire::Code;

/// Answer to the client.
pub(super) enum Answer {
    Send(BytesMut),
    /// The request asked for no answer.
    Nothing,
    /// The request asked for no answer and failed: closing the connection is the only way to say so.
    Close,
}

/// A string of the protocol.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The number of a code; 0 for none.
pub(super) fn number(result: Result<(), Code>) -> i16 {
    result.err().map_or(0, |code| code.code())
}
