//! One connection: a request is read, answered, and only then the next is read, as Apache Kafka does it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::convert::Answer;
use super::dispatch;
use super::node::Node;
use crate::wire::frame::{self, Frame, FrameError};

/// A connection without a request, or whose client takes nothing of an answer, is closed after this long.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// Serves a connection until it ends.
pub(super) async fn serve(
    node: &Node,
    mut stream: TcpStream,
    peer: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    tokio::select! {
        _ = stopped.changed() => {}
        result = talk(node, &mut stream, peer) => match result {
            Ok(()) => tracing::trace!(%peer, "connection closed"),
            Err(FrameError::Io(error)) => tracing::debug!(%peer, %error, "connection lost"),
            Err(error) => tracing::warn!(%peer, %error, "connection closed"),
        },
    }
}

async fn talk(node: &Node, stream: &mut TcpStream, peer: SocketAddr) -> Result<(), FrameError> {
    let mut buffer = BytesMut::new();
    loop {
        let next = tokio::time::timeout(IDLE, frame::read(stream, &mut buffer, &node.room)).await;
        let Ok(next) = next else { return Ok(()) };
        let Some((bytes, share)) = next? else {
            return Ok(());
        };
        let answer = match frame::parse(bytes)? {
            Frame::Request(request) => {
                tracing::trace!(%peer, api = ?request.api.key, version = request.version, "request");
                dispatch::dispatch(node, request, peer).await
            }
            Frame::UnknownApiVersions { correlation } => {
                dispatch::unknown_api_versions(correlation)
            }
        };
        match answer.map_err(|error| FrameError::Garbage(format!("{error:#}")))? {
            Answer::Send(bytes) => match tokio::time::timeout(IDLE, stream.write_all(&bytes)).await
            {
                Ok(written) => written.map_err(FrameError::Io)?,
                Err(_) => return Err(FrameError::Stalled),
            },
            Answer::Nothing => {}
            Answer::Close => return Ok(()),
        }
        drop(share);
    }
}
