//! Free ports on the loopback address: the usual ones if they are free, else any.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Where the first node's API listens if it can.
pub const RPC: u16 = 10_009;
/// Where the first node listens for peers if it can.
pub const P2P: u16 = 9_735;

/// Chooses ports, none twice.
#[derive(Debug, Default)]
pub struct Ports {
    taken: BTreeSet<u16>,
}

impl Ports {
    /// The wanted port if it is free, else any free one. Port 0 wants any.
    ///
    /// # Errors
    ///
    /// When the system has no free port.
    pub fn choose(&mut self, wanted: u16) -> io::Result<SocketAddr> {
        let free =
            |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|l| l.local_addr());
        if wanted != 0
            && !self.taken.contains(&wanted)
            && let Ok(at) = free(wanted)
        {
            self.taken.insert(at.port());
            return Ok(at);
        }
        // The system gives each of its ports once in a long while; a few tries are plenty.
        let mut last = free(0)?;
        for _ in 0..100 {
            if self.taken.insert(last.port()) {
                return Ok(last);
            }
            last = free(0)?;
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_a_busy_one_is_left_alone() {
        let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let busy_port = busy.local_addr().unwrap().port();
        let mut ports = Ports::default();
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let at = ports.choose(busy_port).unwrap();
            assert_ne!(at.port(), busy_port);
            assert!(seen.insert(at.port()));
        }
        drop(busy);
        assert_eq!(ports.choose(busy_port).unwrap().port(), busy_port);
        assert_ne!(ports.choose(busy_port).unwrap().port(), busy_port);
    }
}
