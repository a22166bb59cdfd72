//! Loopback ports.

use std::net::TcpListener;

/// Ports that were free a moment ago, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // Held together, or the same port could be given twice.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    std::array::from_fn(|ix| held[ix].local_addr().expect("its address").port())
}
