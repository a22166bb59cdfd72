//! A client of bare sockets, to say what no real client would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// A broker with a directory of its own.
pub struct Place {
    _directory: tempfile::TempDir,
    pub broker: stream_broker::Broker,
}

impl Place {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker =
            stream_broker::Broker::start(stream_broker::Config::new(directory.path())).unwrap();
        Self {
            _directory: directory,
            broker,
        }
    }
}

/// A connection.
pub struct Wire(pub TcpStream);

impl Wire {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(stream)
    }

    /// Sends bytes as a frame.
    pub fn frame(&mut self, body: &[u8]) {
        let length = (body.len() as i32).to_be_bytes();
        // A broker that has closed the connection already is what some tests wait for.
        let _ = self.0.write_all(&[&length, body].concat());
    }

    /// The next frame; None when the connection was closed.
    pub fn answer(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).unwrap();
        Some(body.into())
    }

    /// Asks, and reads the answer to its last byte.
    pub fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let key = ApiKey::try_from(R::KEY).unwrap();
        self.frame(&encode(request, version));
        let mut answer = self
            .answer()
            .unwrap_or_else(|| panic!("{key:?} in version {version} closes the connection"));
        let header =
            ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 77);
        let response = R::Response::decode(&mut answer, version).unwrap();
        assert!(
            answer.is_empty(),
            "{} bytes too many for {key:?} in version {version}",
            answer.len()
        );
        response
    }

    /// Whether the broker has closed this connection.
    pub fn is_closed(&mut self) -> bool {
        self.answer().is_none()
    }
}

/// A request with its header.
pub fn encode<R: Request>(request: &R, version: i16) -> BytesMut {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(StrBytes::from_static_str("tests")));
    let mut bytes = BytesMut::new();
    header
        .encode(&mut bytes, R::header_version(version))
        .unwrap();
    let mut body = BytesMut::new();
    request.encode(&mut body, version).unwrap();
    bytes.put_slice(&body);
    bytes
}
