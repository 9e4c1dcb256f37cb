//! Listeners that detect connections to forbidden addresses.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use crate::closed_network;

/// The ports that imports may use on the public internet, and ports of common internal servers.
const PORTS: [u16; 8] = [22, 80, 443, 5432, 6379, 8080, 8443, 9200];

/// Listeners on every address of this machine that has no listener of its own; in a closed network that is
/// every address. They accept connections and send nothing. Dropping them panics if there was a connection
/// that the test has not asked for with [`Honeypots::dialled`].
pub struct Honeypots {
    listeners: Vec<TcpListener>,
}

impl Honeypots {
    pub fn listen() -> Self {
        let listeners = PORTS.map(|port| {
            // Accepts IPv4 as well.
            let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            closed_network::listen(everywhere).into_std().unwrap()
        });
        Self {
            listeners: listeners.into(),
        }
    }

    /// Returns the addresses that were dialled since the last call, sorted. A connection is included as soon
    /// as its client knows that it is established, even if the client has closed it since.
    pub fn dialled(&self) -> Vec<SocketAddr> {
        // The kernel establishes connections by itself and queues them, so `accept` never has to wait.
        let waiting = self
            .listeners
            .iter()
            .flat_map(|listener| std::iter::from_fn(|| listener.accept().ok()));
        let mut dialled: Vec<_> = waiting
            .map(|(connection, _)| connection.local_addr().unwrap())
            .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
            .collect();
        dialled.sort_unstable();
        dialled
    }

    /// Panics if there was a connection.
    pub fn assert_untouched(&self) {
        assert_eq!(self.dialled(), [], "forbidden addresses were dialled");
    }
}

impl Drop for Honeypots {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the honeypots know of {:?}", self.dialled());
        } else {
            self.assert_untouched();
        }
    }
}
