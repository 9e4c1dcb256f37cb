//! The address of the API and the configuration of the programs.

use std::net::{Ipv4Addr, SocketAddr};

use media_testkit::{cluster::Program, tokens::SECRET};
use tokio::{
    io,
    net::{TcpSocket, TcpStream},
};

/// Returns the configuration of the programs that the callers need.
pub(crate) fn variables() -> [(&'static str, &'static str); 1] {
    [("MEDIA_JWT_SECRET", SECRET)]
}

/// The API under attack.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
}

impl Target {
    pub(crate) fn new(api: &Program) -> Self {
        let address = api.url("").replace("http://", "");
        Self {
            address: address.parse().unwrap(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connects from an address of loopback.
    pub(crate) async fn connect(&self, from: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        socket.connect(self.address).await
    }
}
