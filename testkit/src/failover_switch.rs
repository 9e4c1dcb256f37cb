//! An address that leads to one server and later to another, as the address of a database does in a failover.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Forwards new connections to a port of this machine. Open connections stay with their server.
pub struct Switch {
    address: SocketAddr,
    target: Arc<AtomicU16>,
    accepting: JoinHandle<()>,
}

impl Switch {
    /// Starts with a port as the target.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(AtomicU16::new(port));
        let seen = Arc::clone(&target);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let port = seen.load(Ordering::Relaxed);
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                        // Ends when either side closes.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self {
            address,
            target,
            accepting,
        }
    }

    /// Changes the target of new connections.
    pub fn switch_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
