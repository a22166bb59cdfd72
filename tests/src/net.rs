//! Loopback ports.

use crate::chaos::Chaos;
use anyhow::Result;
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

/// Ports that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // Held together, or the same port could be given twice.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    std::array::from_fn(|ix| held[ix].local_addr().expect("its address").port())
}

/// The same for servers that go and come back: of those that no client is given for its own end, and that a client
/// which tries again and again to connect cannot meet itself on.
pub fn lasting_ports(count: usize) -> Vec<u16> {
    const FIRST: u16 = 12_000;
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let lowest = range.ok().and_then(|range| {
        let lowest = range.split_whitespace().next()?;
        lowest.parse::<u16>().ok()
    });
    let end = lowest.unwrap_or(32_768).max(FIRST + 1_000);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_or(0, |clock| clock.as_nanos() as u64);
    let mut chaos = Chaos::seeded(clock ^ u64::from(std::process::id()));
    let mut held = Vec::new();
    while held.len() < count {
        let port = FIRST + chaos.below(u64::from(end - FIRST)) as u16;
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    let port = |listener: &TcpListener| listener.local_addr().expect("its address").port();
    held.iter().map(port).collect()
}

/// Starts something on free ports, again where another process took one between our look and its bind.
pub fn until_ports_are_free<T>(start: impl Fn() -> Result<T>) -> Result<T> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match start() {
            Err(error) if attempts < 3 && format!("{error:#}").contains("in use") => {}
            outcome => return outcome,
        }
    }
}
