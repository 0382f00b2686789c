//! Ports for parts that may be killed and started again on the same one.
//!
//! The kernel gives port 0 a number from the range that it also takes for outgoing connections. While a part is
//! down, a client that keeps knocking can be given that very number as its own, meets itself, and the part can't
//! come back. So the kernel's answer is only the place to start looking, below that range.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Above the numbers that need privilege or belong to well-known services, below every Linux default for outgoing
/// connections (32768).
const RESTARTABLE: Range<u16> = 15_000..32_000;

/// `N` different ports of the loopback that nobody listens on.
///
/// # Errors
/// When there are none.
pub fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    while held.len() < N {
        held.push(listen_below_outgoing()?);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn listen_below_outgoing() -> io::Result<TcpListener> {
    let asked = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let width = RESTARTABLE.end - RESTARTABLE.start;
    (0..width)
        .map(|step| RESTARTABLE.start + asked.wrapping_add(step) % width)
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port on the loopback"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_can_be_bound_and_are_not_given_to_outgoing_connections() {
        let ports = free::<8>().unwrap();
        let bound: Vec<_> = ports
            .iter()
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap())
            .collect();
        assert_eq!(bound.len(), 8);
        assert!(ports.iter().all(|port| RESTARTABLE.contains(port)), "{ports:?}");
    }
}
