//! Whoever sends garbage loses the connection, and nobody else notices.

use std::io::Write;
use std::net::Shutdown;

use crate::wire::{Place, Wire, encode};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn garbage_closes_its_own_connection_only() {
    let place = Place::start();
    let mut witness = Wire::to(place.broker.address());
    witness.ask(&ApiVersionsRequest::default(), 0);
    let cases: [(&str, Vec<u8>); 7] = [
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff]),
        ("too long a frame", vec![0x7f, 0xff, 0xff, 0xff]),
        ("too short a frame", vec![0, 0, 0, 1, 0]),
        (
            "an unknown request",
            vec![0, 0, 0, 10, 3, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        ),
        (
            "an unknown version",
            vec![0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
        ),
        (
            "an array of two billion",
            vec![
                0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff,
            ],
        ),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
    ];
    for (what, bytes) in cases {
        let mut wire = Wire::to(place.broker.address());
        wire.0.write_all(&bytes).unwrap();
        assert!(wire.is_closed(), "{what}");
        witness.ask(&ApiVersionsRequest::default(), 0);
    }
}

#[test]
fn random_bytes_harm_nobody() {
    let place = Place::start();
    let mut witness = Wire::to(place.broker.address());
    let apis = witness.ask(&ApiVersionsRequest::default(), 0).api_keys;
    let body = proptest::collection::vec(any::<u8>(), 0..300);
    let api = (0..apis.len(), any::<u8>(), any::<bool>());
    let mut runner = TestRunner::new(Config {
        cases: 2000,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&(api, body), |((api, version, valid_header), body)| {
        let api = &apis[api];
        let versions = i32::from(api.max_version - api.min_version) + 1;
        let version = api.min_version + (i32::from(version) % versions) as i16;
        let mut bytes = Vec::new();
        if valid_header {
            bytes.extend_from_slice(&api.api_key.to_be_bytes());
            bytes.extend_from_slice(&version.to_be_bytes());
            bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0]);
        }
        bytes.extend_from_slice(&body);
        let mut wire = Wire::to(place.broker.address());
        wire.frame(&bytes);
        let _ = wire.0.shutdown(Shutdown::Write);
        // Answered or closed; what must not happen is that the broker falls over.
        Ok(())
    });
    result.unwrap();
    witness.ask(&MetadataRequest::default().with_topics(None), 12);
    let mut fresh = Wire::to(place.broker.address());
    fresh.ask(&MetadataRequest::default().with_topics(None), 12);
}

#[test]
fn a_request_cut_anywhere_harms_nobody() {
    let place = Place::start();
    let whole = encode(
        &MetadataRequest::default().with_topics(Some(vec![Default::default(); 3])),
        12,
    );
    for cut in 0..whole.len() {
        let mut wire = Wire::to(place.broker.address());
        wire.0
            .write_all(&(whole.len() as i32).to_be_bytes())
            .unwrap();
        wire.0.write_all(&whole[..cut]).unwrap();
        wire.0.shutdown(Shutdown::Write).unwrap();
        assert!(wire.is_closed());
        let mut wire = Wire::to(place.broker.address());
        wire.frame(&whole[..cut]);
        if cut < whole.len() {
            assert!(wire.is_closed(), "cut at {cut}");
        }
    }
    Wire::to(place.broker.address()).ask(&ApiVersionsRequest::default(), 0);
}
