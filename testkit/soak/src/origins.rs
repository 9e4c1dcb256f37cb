//! The origins of hostile imports.

use std::net::SocketAddr;

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Duration, sleep},
};
use tokio_util::task::TaskTracker;

/// The blocks of a slow response, at slightly more than the minimum rate of an import.
const PIECE: [u8; 300] = [b'x'; 300];
const PIECE_INTERVAL: Duration = Duration::from_millis(500);

/// A slow origin, and one that is unavailable for a day.
pub(crate) struct HostileOrigins {
    pub(crate) slow: SocketAddr,
    pub(crate) unavailable: SocketAddr,
    accepting: [JoinHandle<()>; 2],
}

impl HostileOrigins {
    pub(crate) async fn start() -> Self {
        let slow = TcpListener::bind("127.0.0.3:0").await.unwrap();
        // This origin shares its address with the honest one and differs by its port.
        let unavailable = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            slow: slow.local_addr().unwrap(),
            unavailable: unavailable.local_addr().unwrap(),
            accepting: [
                tokio::spawn(accept(slow, answer_slowly)),
                tokio::spawn(accept(unavailable, refuse)),
            ],
        }
    }
}

impl Drop for HostileOrigins {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

async fn accept<F>(listener: TcpListener, answer: fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let connections = TaskTracker::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream));
    }
}

async fn answer_slowly(mut stream: TcpStream) -> io::Result<()> {
    let _ = stream.read(&mut [0; 4096]).await?;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    stream.write_all(head).await?;
    loop {
        stream.write_all(&PIECE).await?;
        sleep(PIECE_INTERVAL).await;
    }
}

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let _ = stream.read(&mut [0; 4096]).await?;
    let head =
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 86400\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(head).await?;
    stream.shutdown().await
}
