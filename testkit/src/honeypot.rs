//! Listeners where nobody may ever come.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use crate::closed_network;

/// The ports that may be used on the public internet, and some of servers that stand inside.
const PORTS: [u16; 8] = [22, 80, 443, 5432, 6379, 8080, 8443, 9200];

/// Listeners on every address of this machine, but for those with a listener of their own. In a
/// closed network that is every address there is. They take connections and never say a word. A
/// test that ends while they know of one that it did not ask for has failed.
pub struct Honeypots {
    listeners: Vec<TcpListener>,
}

impl Honeypots {
    /// Starts to listen.
    pub fn listen() -> Self {
        let listeners = PORTS.map(|port| {
            // Takes IPv4 as well.
            let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
            closed_network::listen(everywhere).into_std().unwrap()
        });
        Self {
            listeners: listeners.into(),
        }
    }

    /// The addresses that were dialled since this was last asked, sorted. A connection is among
    /// them as soon as its client knows of it, and even if that has gone.
    pub fn dialled(&self) -> Vec<SocketAddr> {
        // The kernel takes connections by itself and keeps them for who accepts; no listener waits.
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

    /// Panics if anyone came.
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
