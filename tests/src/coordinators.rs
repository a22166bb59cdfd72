//! Two questions of Kafka's protocol that no client here asks: who coordinates a group, and whose transactions a node
//! coordinates.

use anyhow::{Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const FIND_COORDINATOR: i16 = 10;
const LIST_TRANSACTIONS: i16 = 66;
const CORRELATION: i32 = 7;
const NAME: &str = "tests";
/// The longest answer that is read.
const LONGEST: usize = 16 << 20;

/// The id of the node that coordinates a group, from any node.
pub fn of_group(address: &str, group: &str, within: Duration) -> Result<i32> {
    let mut request = header(FIND_COORDINATOR, 2);
    string(&mut request, group);
    request.put_i8(0);
    let mut answer = ask(address, &request, within)?;
    ensure!(answer.try_get_i32()? == CORRELATION, "another's answer");
    let _throttle = answer.try_get_i32()?;
    let error = answer.try_get_i16()?;
    ensure!(error == 0, "no coordinator: error {error}");
    let message = answer.try_get_i16()?;
    skip(&mut answer, usize::try_from(message).unwrap_or(0))?;
    Ok(answer.try_get_i32()?)
}

/// The transactional ids that a node coordinates.
pub fn transactional_ids(address: &str, within: Duration) -> Result<Vec<String>> {
    let mut request = header(LIST_TRANSACTIONS, 0);
    // No tags in the header; all states, all producers, no tags.
    request.extend([0, 1, 1, 0]);
    let mut answer = ask(address, &request, within)?;
    ensure!(answer.try_get_i32()? == CORRELATION, "another's answer");
    tags(&mut answer)?;
    let _throttle = answer.try_get_i32()?;
    let error = answer.try_get_i16()?;
    ensure!(error == 0, "no transactions are listed: error {error}");
    for _ in 1..varint(&mut answer)? {
        compact(&mut answer)?;
    }
    let mut ids = Vec::new();
    for _ in 1..varint(&mut answer)? {
        ids.push(compact(&mut answer)?);
        let _producer = answer.try_get_i64()?;
        let _state = compact(&mut answer)?;
        tags(&mut answer)?;
    }
    Ok(ids)
}

fn header(api: i16, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i16(api);
    bytes.put_i16(version);
    bytes.put_i32(CORRELATION);
    string(&mut bytes, NAME);
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.put_i16(text.len() as i16);
    bytes.extend(text.as_bytes());
}

fn ask(address: &str, request: &[u8], within: Duration) -> Result<Bytes> {
    let mut stream = TcpStream::connect_timeout(&address.parse::<SocketAddr>()?, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let mut whole = i32::try_from(request.len())?.to_be_bytes().to_vec();
    whole.extend(request);
    stream.write_all(&whole)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    ensure!(length <= LONGEST, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer.into())
}

fn skip(bytes: &mut Bytes, length: usize) -> Result<()> {
    ensure!(bytes.remaining() >= length, "the answer is cut off");
    bytes.advance(length);
    Ok(())
}

/// A length, of which Kafka has one more.
fn varint(bytes: &mut Bytes) -> Result<u32> {
    let mut number = 0;
    for shift in (0..32).step_by(7) {
        let byte = bytes.try_get_u8()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    bail!("no number")
}

fn compact(bytes: &mut Bytes) -> Result<String> {
    let length = varint(bytes)?.saturating_sub(1) as usize;
    ensure!(bytes.remaining() >= length, "the answer is cut off");
    Ok(String::from_utf8(bytes.split_to(length).to_vec())?)
}

fn tags(bytes: &mut Bytes) -> Result<()> {
    for _ in 0..varint(bytes)? {
        let _tag = varint(bytes)?;
        let length = varint(bytes)? as usize;
        skip(bytes, length)?;
    }
    Ok(())
}
