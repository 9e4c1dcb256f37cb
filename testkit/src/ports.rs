//! Free ports of loopback.

/// Returns a port that nothing listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// Returns a loopback address with a port that nothing listens on now.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}
