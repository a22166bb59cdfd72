//! As much of HTTP as looking at a worker's pages needs.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::leash::Leashed;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// `GET` of a path at `host:port`.
pub fn get(address: &str, path: &str) -> Result<Answer> {
    request(address, "GET", path, "")
}

/// The same with so much time for each step.
pub fn get_within(address: &str, path: &str, within: Duration) -> Result<Answer> {
    let stream = TcpStream::connect_timeout(&address.parse()?, within)?;
    send_on(stream, within, "GET", path, "", "")
}

/// `GET` that shows a token.
pub fn authorized(address: &str, path: &str, token: &str) -> Result<Answer> {
    send(
        address,
        "GET",
        path,
        &format!("Authorization: Bearer {token}\r\n"),
        "",
    )
}

/// A request with a body.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Result<Answer> {
    send(address, method, path, "", body)
}

fn send(address: &str, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    send_on(
        TcpStream::connect(address)?,
        PATIENCE,
        method,
        path,
        headers,
        body,
    )
}

fn send_on(
    mut stream: TcpStream,
    within: Duration,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Answer> {
    let address = stream.peer_addr()?;
    stream.set_read_timeout(Some(within))?;
    // 1.0: the answer ends with the connection and comes in one piece.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

/// Where a worker's pages are, from its log.
pub fn address_of(worker: &mut Leashed) -> Result<String> {
    let line = worker.line_with("web: http://", Duration::from_secs(60))?;
    let (_, rest) = line.split_once("web: http://").context("no address")?;
    Ok(rest.split(' ').next().unwrap_or(rest).to_owned())
}
