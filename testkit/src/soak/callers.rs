//! Where the service is, and the callers' tokens and addresses.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use tokio::{
    io,
    net::{TcpSocket, TcpStream},
};

use crate::{
    production::Program,
    tokens::{claims, secret_token},
};

/// The secret that tokens are signed with.
const SECRET: &str = "a secret that only the soak knows";

/// The variables of the programs.
pub(super) fn variables() -> [(&'static str, &'static str); 1] {
    [("MEDIA_JWT_SECRET", SECRET)]
}

/// The API that is attacked.
#[derive(Clone)]
pub(super) struct Target {
    address: SocketAddr,
}

impl Target {
    pub(super) fn new(api: &Program) -> Self {
        let address = api.url("").replace("http://", "");
        Self {
            address: address.parse().unwrap(),
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connects from one of the addresses of this machine.
    pub(super) async fn connect(&self, from: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        socket.connect(self.address).await
    }
}

/// A token of the role `user`, of a project of the same name as its subject.
pub(super) fn token(subject: &str) -> String {
    let mut all = claims(subject);
    all["project_id"] = json!(subject);
    secret_token(SECRET, &all)
}
