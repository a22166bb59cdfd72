//! Frames: four bytes of length, a header, a body.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::api::{self, Api};
use super::shape;

/// The longest frame that is read: 100 MiB, as `socket.request.max.bytes` of Apache Kafka.
pub(crate) const MAX_FRAME: usize = 100 * 1024 * 1024;
/// The longest frame of any request but Produce.
const MAX_CONTROL_FRAME: usize = 8 * 1024 * 1024;
/// Memory is reserved as a frame arrives, in steps of this, not by what its length announces.
const STEP: usize = 1024 * 1024;
/// How long the rest of a frame may take between two reads.
const STALL: Duration = Duration::from_secs(30);
/// How long a frame may take that holds a share of [`Room`].
const LONGEST: Duration = Duration::from_secs(120);

/// Memory for frames of more than one step, shared by all connections: 256 MiB. Smaller ones need none of it.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

/// A frame's share of the room, given back when it is dropped.
pub(crate) type Share<'a> = Option<SemaphorePermit<'a>>;

impl Default for Room {
    fn default() -> Self {
        Self(Semaphore::new(256))
    }
}

impl Room {
    async fn share(&self, size: usize) -> Share<'_> {
        if size <= STEP {
            return None;
        }
        // Never closed, so this waits until there is room.
        self.0.acquire_many(size.div_ceil(STEP) as u32).await.ok()
    }
}

/// A request whose header has been read and whose body has the shape its version asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) api: &'static Api,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) client: String,
    pub(crate) body: BytesMut,
}

/// What a frame turned out to be.
#[derive(Debug)]
pub(crate) enum Frame {
    Request(Request),
    /// ApiVersions in a version that is not served: answered in version 0, so that the client can choose (KIP-511).
    UnknownApiVersions {
        correlation: i32,
    },
}

/// Why a connection cannot go on.
#[derive(Debug)]
pub(crate) enum FrameError {
    Io(io::Error),
    Stalled,
    TooLong(usize),
    Garbage(String),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Stalled => write!(
                f,
                "a frame was begun and not sent to its end within {} s",
                STALL.as_secs()
            ),
            Self::TooLong(size) => write!(f, "a frame of {size} bytes is longer than what is read"),
            Self::Garbage(what) => write!(f, "not a request of the Kafka protocol: {what}"),
        }
    }
}

/// Reads the next frame's bytes; None when the client has closed the connection between two frames.
pub(crate) async fn read<'a>(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    room: &'a Room,
) -> Result<Option<(BytesMut, Share<'a>)>, FrameError> {
    // The length, and the key: only Produce may send megabytes.
    while buffer.len() < 6 {
        buffer.reserve(64 * 1024);
        if stream.read_buf(buffer).await.map_err(FrameError::Io)? == 0 {
            return if buffer.is_empty() {
                Ok(None)
            } else {
                Err(FrameError::Garbage("half a frame".into()))
            };
        }
        if buffer.len() >= 4 {
            announced(buffer)?;
        }
    }
    let size = announced(buffer)?;
    let is_produce = buffer[4..6] == [0, 0];
    if size > MAX_CONTROL_FRAME && !is_produce {
        return Err(FrameError::TooLong(size));
    }
    let share = room.share(size).await;
    let until = Instant::now() + LONGEST;
    let whole = size + 4;
    while buffer.len() < whole {
        buffer.reserve((whole - buffer.len()).min(STEP.max(buffer.len())));
        match timeout_at(until.min(Instant::now() + STALL), stream.read_buf(buffer)).await {
            Err(_) => return Err(FrameError::Stalled),
            Ok(Err(error)) => return Err(FrameError::Io(error)),
            Ok(Ok(0)) => {
                return Err(FrameError::Garbage(
                    "the connection ended in the middle of a frame".into(),
                ));
            }
            Ok(Ok(_)) => {}
        }
    }
    let mut frame = buffer.split_to(whole);
    frame.advance(4);
    Ok(Some((frame, share)))
}

/// The length a frame announces, if it may be as long as that.
fn announced(buffer: &[u8]) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
    match usize::try_from(length) {
        Ok(size) if size > MAX_FRAME => Err(FrameError::TooLong(size)),
        Ok(size) if size >= 8 => Ok(size),
        _ => Err(FrameError::Garbage(format!("a frame of {length} bytes"))),
    }
}

/// Reads a frame's header and checks its body's shape.
pub(crate) fn parse(mut frame: BytesMut) -> Result<Frame, FrameError> {
    if frame.len() < 8 {
        return Err(FrameError::Garbage("half a header".into()));
    }
    let (key, version, correlation) = (frame.get_i16(), frame.get_i16(), frame.get_i32());
    let api = api::find(key)
        .ok_or_else(|| FrameError::Garbage(format!("request {key} is not served")))?;
    if version < api.min || version > api.max {
        if api.key == ApiKey::ApiVersions {
            return Ok(Frame::UnknownApiVersions { correlation });
        }
        return Err(FrameError::Garbage(format!(
            "{:?} in version {version} is not served",
            api.key
        )));
    }
    let misshapen = |why: shape::Misshapen| {
        FrameError::Garbage(format!("{:?} in version {version} {}", api.key, why.0))
    };
    if frame.len() < 2 {
        return Err(misshapen(shape::Misshapen(
            "ends in the middle of its header",
        )));
    }
    let length = usize::try_from(frame.get_i16()).unwrap_or(0);
    if frame.len() < length {
        return Err(misshapen(shape::Misshapen(
            "ends in the middle of its client id",
        )));
    }
    let client = String::from_utf8_lossy(&frame.split_to(length)).into_owned();
    let flexible = api.is_flexible(version);
    if flexible {
        let tags = shape::check(&[], &frame, version, true).map_err(misshapen)?;
        frame.advance(tags);
    }
    shape::check(api.shape, &frame, version, flexible).map_err(misshapen)?;
    Ok(Frame::Request(Request {
        api,
        version,
        correlation,
        client,
        body: frame,
    }))
}

/// A response as it goes on the wire, length first.
pub(crate) fn encode<R>(response: &R, version: i16, correlation: i32) -> anyhow::Result<BytesMut>
where
    R: Encodable + HeaderVersion,
{
    let mut out = BytesMut::with_capacity(64 + response.compute_size(version)?);
    out.put_i32(0);
    out.put_i32(correlation);
    if R::header_version(version) >= 1 {
        out.put_u8(0);
    }
    response.encode(&mut out, version)?;
    let size = i32::try_from(out.len() - 4)?;
    out[..4].copy_from_slice(&size.to_be_bytes());
    Ok(out)
}

/// The answer to ApiVersions in an unknown version.
pub(crate) fn encode_unknown_api_versions(
    response: &ApiVersionsResponse,
    correlation: i32,
) -> anyhow::Result<BytesMut> {
    encode(response, 0, correlation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(key: i16, version: i16, rest: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_i16(key);
        out.put_i16(version);
        out.put_i32(7);
        out.put_slice(rest);
        out
    }

    #[test]
    fn an_unknown_version_of_api_versions_is_not_garbage() {
        assert!(matches!(
            parse(header(18, 99, &[])),
            Ok(Frame::UnknownApiVersions { correlation: 7 })
        ));
    }

    #[test]
    fn garbage_is_named() {
        let what = |frame| match parse(frame) {
            Err(FrameError::Garbage(what)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(header(999, 0, &[])), "request 999 is not served");
        assert_eq!(
            what(header(0, 2, &[])),
            "Produce in version 2 is not served"
        );
        assert_eq!(
            what(header(3, 1, &[])),
            "Metadata in version 1 ends in the middle of its header"
        );
        assert_eq!(
            what(header(3, 1, &[0, 9, 1])),
            "Metadata in version 1 ends in the middle of its client id"
        );
        assert_eq!(
            what(header(3, 1, &[0, 0, 0x70, 0, 0, 0])),
            "Metadata in version 1 more elements than a request may hold"
        );
    }

    #[tokio::test]
    async fn frames_are_read_one_by_one() {
        let bytes: Vec<u8> = [&[0, 0, 0, 8][..], &[1; 8], &[0, 0, 0, 9], &[2; 9]].concat();
        let (mut stream, mut buffer, room) = (&bytes[..], BytesMut::new(), Room::default());
        for expected in [&[1; 8][..], &[2; 9][..]] {
            let (frame, share) = read(&mut stream, &mut buffer, &room)
                .await
                .unwrap()
                .unwrap();
            assert!(frame == expected && share.is_none());
        }
        assert!(
            read(&mut stream, &mut buffer, &room)
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn large_frames_share_the_room_there_is() {
        let size = 100 * 1024 * 1024u32;
        let bytes = [&size.to_be_bytes()[..], &vec![0; size as usize]].concat();
        let room = Room::default();
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(
                read(&mut &bytes[..], &mut BytesMut::new(), &room)
                    .await
                    .unwrap()
                    .unwrap(),
            );
        }
        let (mut stream, mut buffer) = (&bytes[..], BytesMut::new());
        let third = read(&mut stream, &mut buffer, &room);
        tokio::pin!(third);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut third)
                .await
                .is_err()
        );
        held.pop();
        assert!(third.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_frame_too_long_is_refused_before_it_is_read() {
        let (mut stream, mut buffer) = (&[0x7f, 0, 0, 0, 0, 0, 0, 0][..], BytesMut::new());
        assert!(matches!(
            read(&mut stream, &mut buffer, &Room::default()).await,
            Err(FrameError::TooLong(_))
        ));
        let (mut stream, mut buffer) = (&[0, 0x90, 0, 0, 0, 3, 0, 0][..], BytesMut::new());
        assert!(matches!(
            read(&mut stream, &mut buffer, &Room::default()).await,
            Err(FrameError::TooLong(_))
        ));
    }
}
