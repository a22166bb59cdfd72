//! A wire to a server that can be cut, or made slow. What goes through it is not looked at.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pieces that may be on their way in one direction of a connection.
const ON_THE_WAY: usize = 256;

#[derive(Default)]
struct State {
    cut: bool,
    slow: Duration,
    /// Both ends of each connection.
    open: Vec<[TcpStream; 2]>,
}

/// The wire. It serves as long as the process.
pub struct Wire {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// Listens on one port of loopback and leads to another.
    pub fn lay(port: u16, to: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A client that is not let in, or finds nobody there, sees its connection end.
                let _ = connect(client, to, &shared);
            }
        });
        Ok(Self { port, state })
    }

    /// `host:port` of its client's end.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends all connections, and lets nobody in until it is mended.
    pub fn cut(&self) {
        let mut state = lock(&self.state);
        state.cut = true;
        for end in state.open.drain(..).flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// From now on everything takes so much longer, each way.
    pub fn slow(&self, by: Duration) {
        lock(&self.state).slow = by;
    }

    /// All is as it was.
    pub fn mend(&self) {
        let mut state = lock(&self.state);
        (state.cut, state.slow) = (false, Duration::ZERO);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(client: TcpStream, to: u16, state: &Arc<Mutex<State>>) -> Result<()> {
    if lock(state).cut {
        return Ok(());
    }
    let server = TcpStream::connect(("127.0.0.1", to))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ends = [client.try_clone()?, server.try_clone()?];
    {
        let mut state = lock(state);
        if state.cut {
            return Ok(());
        }
        state.open.retain(|[client, _]| client.peer_addr().is_ok());
        state.open.push(ends);
    }
    direction(&client, &server, state)?;
    direction(&server, &client, state)
}

/// One direction: one thread reads, another writes when it is time. An end of either side ends both.
fn direction(from: &TcpStream, to: &TcpStream, state: &Arc<Mutex<State>>) -> Result<()> {
    let (put, take) = sync_channel(ON_THE_WAY);
    let (from, mut to, state) = (from.try_clone()?, to.try_clone()?, Arc::clone(state));
    std::thread::spawn(move || read(from, &put, &state));
    std::thread::spawn(move || {
        write(&mut to, &take);
        let _ = to.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn read(mut from: TcpStream, put: &SyncSender<(Instant, Vec<u8>)>, state: &Mutex<State>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let due = Instant::now() + lock(state).slow;
        if put.send((due, bytes[..length].to_vec())).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
}

fn write(to: &mut TcpStream, take: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, bytes)) = take.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net;

    /// A server that says everything again.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut again = client.try_clone().unwrap();
                    let _ = std::io::copy(&mut client, &mut again);
                });
            }
        });
        port
    }

    fn said(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn a_wire_is_slow_or_cut_until_it_is_mended() {
        let [port] = net::free_ports();
        let wire = Wire::lay(port, echo()).unwrap();
        let mut stream = TcpStream::connect(wire.address()).unwrap();
        assert_eq!(said(&mut stream, b"one").unwrap(), b"one");
        wire.slow(Duration::from_millis(100));
        let before = Instant::now();
        assert_eq!(said(&mut stream, b"two").unwrap(), b"two");
        assert!(before.elapsed() >= Duration::from_millis(200));
        wire.cut();
        assert!(said(&mut stream, b"three").is_err());
        let mut another = TcpStream::connect(wire.address()).unwrap();
        assert!(said(&mut another, b"four").is_err());
        wire.mend();
        let mut another = TcpStream::connect(wire.address()).unwrap();
        assert_eq!(said(&mut another, b"five").unwrap(), b"five");
    }
}
