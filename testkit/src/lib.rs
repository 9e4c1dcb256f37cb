//! What the tests stand on: real servers on free ports with data of their own, an origin that
//! misbehaves on command, and the programs as a user would start them. A missing server is an
//! error, never a skipped test.

// In tests a failure is a panic that says where; nobody dials on a user's behalf.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]
#![allow(clippy::disallowed_methods)]

pub mod bench;
pub mod bytes;
pub mod closed_network;
pub mod databases;
pub mod decoy;
pub mod dns;
pub mod faults;
pub mod figures;
pub mod integrity;
pub mod nginx;
pub mod origin;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod production;
pub mod programs;
pub mod redis;
pub mod scratch;
pub mod seaweed;
pub mod service;
pub mod soak;
pub mod store_proxy;
pub mod switch;
pub mod tokens;
pub mod trace_collector;
pub mod wait;

pub use wait::wait_until;

/// A port that nothing listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// An HTTP client.
pub fn http_client() -> reqwest::Client {
    http_client_builder().build().unwrap()
}

/// An HTTP client that can be changed before it is built.
pub fn http_client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(media_worker::tls::client_config().unwrap())
}
