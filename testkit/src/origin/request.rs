//! The heads of HTTP requests.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::server::Connection;

/// The content type of a TLS handshake record (RFC 8446 §5.1); no request line begins with this byte.
const TLS_HANDSHAKE: u8 = 22;

/// The head of a request, as received.
pub(super) struct Request(pub(super) String);

impl Request {
    /// Reads the head of a request. A TLS handshake is answered with 400 and an error.
    pub(super) async fn read(stream: &mut impl Connection) -> io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
            if head[0] == TLS_HANDSHAKE {
                stream.write_all(b"HTTP/1.1 400 Speak HTTP\r\n\r\n").await?;
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(Self(String::from_utf8_lossy(&head).into_owned()))
    }

    /// Returns the path without its leading slash, and the query.
    pub(super) fn target(&self) -> (&str, &str) {
        let target = self.0.split(' ').nth(1).unwrap_or_default();
        let target = target.trim_start_matches('/');
        target.split_once('?').unwrap_or((target, ""))
    }

    /// Returns the first header with a name, which is compared without case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
