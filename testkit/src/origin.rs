//! An origin that misbehaves on command: the path says how.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A running origin.
pub struct Origin {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Origin {
    /// Starts an origin.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Self { address, accepting }
    }

    /// The URL of a path. Known are: `status/N`, `hang`, `stall`, `trickle`, `reset`, `short`,
    /// `cut-chunks`, `bad-chunks`, `not-http`, `close`, `gzip`, `redirect?URL`, `loop`, `echo`,
    /// `retry-after`, `long`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Half of what the broken answers promise.
const HALF: usize = 64 * 1024;

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let request = read_head(&mut stream).await?;
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let half = vec![b'x'; HALF];
    let promise = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", HALF * 2);
    match path.trim_start_matches('/') {
        "hang" => std::future::pending().await,
        "stall" => {
            stream.write_all(promise.as_bytes()).await?;
            stream.write_all(&half).await?;
            std::future::pending().await
        }
        "trickle" => {
            stream.write_all(promise.as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
        "reset" => {
            stream.write_all(promise.as_bytes()).await?;
            stream.write_all(&half).await?;
            stream.set_zero_linger()?;
            Ok(())
        }
        "short" => {
            stream.write_all(promise.as_bytes()).await?;
            stream.write_all(&half).await?;
            stream.shutdown().await
        }
        "cut-chunks" => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
            stream.write_all(head.as_bytes()).await?;
            stream.shutdown().await
        }
        "bad-chunks" => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\nhello";
            stream.write_all(head.as_bytes()).await?;
            stream.shutdown().await
        }
        "long" => {
            // More than it says: what follows is not part of the answer.
            reply(&mut stream, "200 OK", "", b"hello").await?;
            stream.write_all(b"world").await
        }
        "not-http" => {
            stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await?;
            stream.shutdown().await
        }
        "close" => stream.shutdown().await,
        "gzip" => {
            reply(
                &mut stream,
                "200 OK",
                "Content-Encoding: gzip\r\n",
                b"\x1f\x8b",
            )
            .await
        }
        "redirect" => {
            let location = format!("Location: {query}\r\n");
            reply(&mut stream, "302 Found", &location, b"").await
        }
        "loop" => reply(&mut stream, "302 Found", "Location: /loop\r\n", b"").await,
        "echo" => reply(&mut stream, "200 OK", "", request.as_bytes()).await,
        "retry-after" => {
            let header = "Retry-After: 3600\r\n";
            reply(&mut stream, "503 Service Unavailable", header, b"").await
        }
        path => {
            let status = path.strip_prefix("status/").unwrap_or("404");
            reply(&mut stream, &format!("{status} As told"), "", b"told").await
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
        // The first byte of a TLS handshake (RFC 8446 §5.1), which no request line begins with.
        if head[0] == 22 {
            stream.write_all(b"HTTP/1.1 400 Speak HTTP\r\n\r\n").await?;
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn reply(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await
}
