//! A wire between an app and a real broker on which requests are refused for a while, as by a broker whose coordinator
//! has just moved or still loads, answers are lost, or no answer comes. What is refused never reaches the broker; all
//! else passes as it is.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey,
    BrokerId, EndTxnResponse, FindCoordinatorResponse, HeartbeatResponse, InitProducerIdResponse,
    JoinGroupResponse, MetadataRequest, MetadataResponse, OffsetFetchRequest, OffsetFetchResponse,
    RequestHeader, SyncGroupResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The end of a request.
#[derive(Clone, Copy)]
enum Fate {
    /// Refused by this error.
    Refused(i16),
    /// Done by the broker; the answer is lost with its connection.
    Lost,
    /// Not answered, on a connection that stays.
    Held,
}

/// Which requests do not pass, and how often each did not.
#[derive(Default)]
struct Refusals {
    now: Vec<(ApiKey, Fate)>,
    done: BTreeMap<i16, u64>,
}

impl Refusals {
    /// The end of a request with this number.
    fn of(&self, number: i16) -> Option<(ApiKey, Fate)> {
        let mut now = self.now.iter();
        now.find(|(api, _)| *api as i16 == number).copied()
    }
}

/// The wire. It serves as long as the process.
pub struct Between {
    port: u16,
    refusals: Arc<Mutex<Refusals>>,
}

impl Between {
    /// A wire to the broker at `127.0.0.1:port`.
    pub fn to(bootstrap: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let between = Self {
            port: listener.local_addr()?.port(),
            refusals: Arc::default(),
        };
        let (broker, refusals) = (bootstrap.to_owned(), Arc::clone(&between.refusals));
        let port = between.port;
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (broker, refusals) = (broker.clone(), Arc::clone(&refusals));
                // An end of either side ends both.
                std::thread::spawn(move || serve(client, &broker, port, &refusals));
            }
        });
        Ok(between)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on these requests are refused by this error, and no others.
    pub fn refuse(&self, requests: &[ApiKey], error: i16) {
        self.set(requests, Fate::Refused(error));
    }

    /// From now on the broker does what these requests ask for, and its answers are lost with their connections.
    pub fn lose(&self, requests: &[ApiKey]) {
        self.set(requests, Fate::Lost);
    }

    /// From now on the broker hears nothing of these requests, nor of what comes behind them, and nobody is answered.
    pub fn hold(&self, requests: &[ApiKey]) {
        self.set(requests, Fate::Held);
    }

    fn set(&self, requests: &[ApiKey], fate: Fate) {
        let mut refusals = lock(&self.refusals);
        refusals.now = requests.iter().map(|request| (*request, fate)).collect();
        refusals.done.clear();
    }

    /// From now on all requests pass. Returns how often each did not.
    pub fn pass(&self) -> BTreeMap<i16, u64> {
        let mut refusals = lock(&self.refusals);
        refusals.now.clear();
        std::mem::take(&mut refusals.done)
    }

    /// How often each of the requests that do not pass now did not, by number.
    pub fn refused(&self) -> BTreeMap<i16, u64> {
        lock(&self.refusals).done.clone()
    }
}

fn lock(refusals: &Mutex<Refusals>) -> MutexGuard<'_, Refusals> {
    refusals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request after the other, as a broker takes them.
fn serve(mut client: TcpStream, broker: &str, port: u16, refusals: &Mutex<Refusals>) -> Result<()> {
    let mut server = TcpStream::connect(broker)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let there = address(broker.rsplit_once(':').context("a port")?.1.parse()?);
    loop {
        let request = frame(&mut client)?;
        let number = request.as_slice().get_i16();
        let fate = lock(refusals).of(number);
        if fate.is_some() {
            *lock(refusals).done.entry(number).or_default() += 1;
        }
        let mut answer = match fate {
            Some((api, Fate::Refused(error))) => refusal(&request, api, error)?,
            Some((_, Fate::Held)) => {
                // Until the client gives up: what else it sends is not looked at.
                while frame(&mut client).is_ok() {}
                return Ok(());
            }
            Some((_, Fate::Lost)) | None => {
                send(&mut server, &request)?;
                frame(&mut server)?
            }
        };
        if matches!(fate, Some((_, Fate::Lost))) {
            return Ok(());
        }
        // So that the client comes to us for every broker and coordinator it hears of.
        replace(&mut answer, &there, &address(port));
        send(&mut client, &answer)?;
    }
}

/// A broker's host and port as they are in every answer that names them.
pub(crate) fn address(port: u16) -> Vec<u8> {
    let mut bytes = b"127.0.0.1".to_vec();
    bytes.extend(i32::from(port).to_be_bytes());
    bytes
}

/// Puts one address in the place of the other; both have the same length.
pub(crate) fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|few| few == from) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

fn frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length))?];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn send(stream: &mut TcpStream, frame: &[u8]) -> Result<()> {
    let mut whole = i32::try_from(frame.len())?.to_be_bytes().to_vec();
    whole.extend(frame);
    Ok(stream.write_all(&whole)?)
}

/// The answer to a request that is refused.
fn refusal(request: &[u8], api: ApiKey, error: i16) -> Result<Vec<u8>> {
    let version = (&request[2..]).get_i16();
    let mut body = Bytes::copy_from_slice(request);
    let header = RequestHeader::decode(&mut body, api.request_header_version(version))?;
    let answer = Answer {
        version,
        correlation: header.correlation_id,
    };
    answer.of(api, body, error)
}

/// What an answer has in common with its request.
struct Answer {
    version: i16,
    correlation: i32,
}

impl Answer {
    fn of(&self, api: ApiKey, mut body: Bytes, error: i16) -> Result<Vec<u8>> {
        let version = self.version;
        match api {
            ApiKey::FindCoordinator => {
                ensure!(version < 4, "several coordinators in one request");
                self.with(&FindCoordinatorResponse::default().with_error_code(error))
            }
            ApiKey::InitProducerId => {
                self.with(&InitProducerIdResponse::default().with_error_code(error))
            }
            ApiKey::AddOffsetsToTxn => {
                self.with(&AddOffsetsToTxnResponse::default().with_error_code(error))
            }
            ApiKey::EndTxn => self.with(&EndTxnResponse::default().with_error_code(error)),
            ApiKey::JoinGroup => self.with(&JoinGroupResponse::default().with_error_code(error)),
            ApiKey::SyncGroup => self.with(&SyncGroupResponse::default().with_error_code(error)),
            ApiKey::Heartbeat => self.with(&HeartbeatResponse::default().with_error_code(error)),
            ApiKey::Metadata => {
                let request = MetadataRequest::decode(&mut body, version)?;
                self.with(&no_brokers(&request, error))
            }
            ApiKey::AddPartitionsToTxn => {
                let request = AddPartitionsToTxnRequest::decode(&mut body, version)?;
                self.with(&add_partitions(&request, error))
            }
            ApiKey::TxnOffsetCommit => {
                let request = TxnOffsetCommitRequest::decode(&mut body, version)?;
                self.with(&offset_commit(&request, error))
            }
            ApiKey::OffsetFetch => {
                let request = OffsetFetchRequest::decode(&mut body, version)?;
                self.with(&offset_fetch(&request, error))
            }
            other => anyhow::bail!("{other:?} cannot be refused here"),
        }
    }

    fn with<R: Encodable + HeaderVersion>(&self, response: &R) -> Result<Vec<u8>> {
        let mut out = BytesMut::new();
        out.put_i32(self.correlation);
        if R::header_version(self.version) >= 1 {
            out.put_u8(0);
        }
        response.encode(&mut out, self.version)?;
        Ok(out.to_vec())
    }
}

/// What a node says that has just started, and knows of no other yet nor of itself: topics, and no broker.
fn no_brokers(request: &MetadataRequest, error: i16) -> MetadataResponse {
    let asked = request.topics.iter().flatten();
    let topic = MetadataResponseTopic::default().with_error_code(error);
    let mut topics: Vec<_> = asked
        .map(|asked| topic.clone().with_name(asked.name.clone()))
        .collect();
    if topics.is_empty() {
        let some = TopicName(StrBytes::from_static_str("some"));
        topics.push(topic.with_name(Some(some)));
    }
    MetadataResponse::default()
        .with_controller_id(BrokerId(-1))
        .with_topics(topics)
}

fn add_partitions(request: &AddPartitionsToTxnRequest, error: i16) -> AddPartitionsToTxnResponse {
    let partition = |partition: &i32| {
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(*partition)
            .with_partition_error_code(error)
    };
    let topics = request.v3_and_below_topics.iter().map(|topic| {
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(topic.partitions.iter().map(partition).collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

fn offset_commit(request: &TxnOffsetCommitRequest, error: i16) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error)
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn offset_fetch(request: &OffsetFetchRequest, error: i16) -> OffsetFetchResponse {
    let groups = request.groups.iter().map(|group| {
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id.clone())
            .with_error_code(error)
    });
    let response = OffsetFetchResponse::default().with_groups(groups.collect());
    if response.groups.is_empty() {
        response.with_error_code(error)
    } else {
        response
    }
}
