//! The readiness of a program on this machine, for health checks in images that hold no other program.

use std::{
    io::{Error, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// The time limit of each step: longer than that of the database and the storage.
const STEP_LIMIT: Duration = Duration::from_secs(3);

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const READY: &[u8] = b"HTTP/1.1 200";

/// Asks the program that listens at an address for `/readyz`. Fails if it does not answer, or is not ready. Blocks for a
/// few seconds at most.
pub fn ready(listens: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&on_this_machine(listens), STEP_LIMIT)?;
    stream.set_read_timeout(Some(STEP_LIMIT))?;
    stream.set_write_timeout(Some(STEP_LIMIT))?;
    stream.write_all(REQUEST)?;
    let mut status = [0; READY.len()];
    stream.read_exact(&mut status)?;
    if status == READY {
        Ok(())
    } else {
        Err(Error::other("the program answers that it is not ready"))
    }
}

/// The address at which this machine reaches a program that listens there.
fn on_this_machine(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// The result for a program that gives this answer.
    fn verdict(answer: &'static [u8]) -> std::io::Result<()> {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let address = listener.local_addr().unwrap();
        let program = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; REQUEST.len()];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        });
        let verdict = ready(address);
        program.join().unwrap();
        verdict
    }

    #[test]
    fn only_a_program_that_says_so_is_ready() {
        assert!(verdict(b"HTTP/1.1 200 OK\r\n\r\nok\n").is_ok());
        assert!(verdict(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(verdict(b"").is_err());
    }

    #[test]
    fn where_nothing_listens_nothing_is_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(ready(address).is_err());
    }
}
