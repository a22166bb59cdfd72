//! Asks other workers over HTTP: one connection at a time for each question, kept for the next one.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::token::Token;

use crate::sync::Mutex;

/// How long a connection may take to succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take: the one who is asked may first have to ask the group.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer, at most.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Connections to one address that are kept.
const KEPT_CONNECTIONS: usize = 4;

type Connection = SendRequest<Full<Bytes>>;

/// Connections to the other workers.
pub(crate) struct Client {
    token: Option<Token>,
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

impl Client {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Client {
            token,
            idle: Mutex::default(),
        }
    }

    /// Sends a body to a path, and returns what is answered: status and body. Only for questions that may be asked
    /// twice.
    ///
    /// # Errors
    /// Nobody answers there in time.
    pub(crate) async fn post(
        &self,
        address: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes), String> {
        let body = Bytes::from(body);
        let kept = self.kept(address);
        if let Some(kept) = kept
            && let Ok(answer) = self.send(address, path, &body, kept).await
        {
            return Ok(answer);
        }
        // The one that was kept may have been closed meanwhile.
        let fresh = connect(address).await?;
        self.send(address, path, &body, fresh).await
    }

    fn kept(&self, address: &str) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let all = idle.get_mut(address)?;
        all.retain(|connection| !connection.is_closed());
        all.pop()
    }

    fn keep(&self, address: &str, connection: Connection) {
        let mut idle = self.idle.lock();
        let all = idle.entry(address.to_owned()).or_default();
        if all.len() < KEPT_CONNECTIONS && !connection.is_closed() {
            all.push(connection);
        }
    }

    async fn send(
        &self,
        address: &str,
        path: &str,
        body: &Bytes,
        mut connection: Connection,
    ) -> Result<(u16, Bytes), String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, address);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        let request = request.body(Full::new(body.clone()));
        let request = request.map_err(|error| error.to_string())?;
        let asked = async {
            connection
                .ready()
                .await
                .map_err(|error| error.to_string())?;
            let answer = connection.send_request(request).await;
            let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>((head.status.as_u16(), body))
        };
        let answer = timeout(ANSWER_TIMEOUT, asked).await;
        let answer =
            answer.map_err(|_| format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))??;
        self.keep(address, connection);
        Ok(answer)
    }
}

async fn connect(address: &str) -> Result<Connection, String> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = stream
        .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
        .map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // What goes wrong with it is told to who waits for an answer.
        let _ = connection.await;
    });
    Ok(sender)
}
