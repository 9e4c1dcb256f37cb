//! The readiness check of a local program, for health checks in images that contain no other program.

use std::{
    io::{Error, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// The timeout of each step. It exceeds the timeouts of the checks of the database and the storage.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

const READINESS_REQUEST: &[u8] =
    b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const READY_STATUS_LINE: &[u8] = b"HTTP/1.1 200";

/// Requests `/readyz` from the program that listens at an address. Fails if the program does not respond or is not
/// ready. Blocks for at most a few seconds.
pub fn ready(listen: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&local_address(listen), STEP_TIMEOUT)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    stream.write_all(READINESS_REQUEST)?;
    let mut status = [0; READY_STATUS_LINE.len()];
    stream.read_exact(&mut status)?;
    if status == READY_STATUS_LINE {
        Ok(())
    } else {
        Err(Error::other("the program responded that it is not ready"))
    }
}

/// The address at which this machine reaches a program with this listen address.
fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// The result for a program that sends this response.
    fn result_for(response: &'static [u8]) -> std::io::Result<()> {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        let program = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; READINESS_REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(response).unwrap();
        });
        let result = ready(address);
        program.join().unwrap();
        result
    }

    #[test]
    fn only_a_program_that_responds_with_200_is_ready() {
        assert!(result_for(b"HTTP/1.1 200 OK\r\n\r\nok\n").is_ok());
        assert!(result_for(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(result_for(b"").is_err());
    }

    #[test]
    fn an_address_without_a_listener_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(ready(address).is_err());
    }
}
