//! The test kit: real servers on free ports with data of their own, faulty origins, and the programs as a
//! user would start them. A missing server fails the test; it never skips it.

#![allow(missing_docs, reason = "a crate for tests; most names say everything")]
// In tests a failure is a panic that says where; nothing here connects on behalf of a user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]
#![allow(clippy::disallowed_methods)]

pub mod blob_stores;
pub mod bytes;
pub mod closed_network;
pub mod cluster;
pub mod databases;
pub mod dns;
pub mod failover_switch;
pub mod file_faults;
pub mod honeypot;
mod http;
pub mod integrity;
pub mod metrics;
pub mod nginx;
pub mod origin;
pub mod pgbouncer;
mod ports;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod redis;
pub mod repositories;
pub mod seaweed;
pub mod service;
pub mod store_proxy;
pub mod tempdir;
pub mod tokens;
pub mod trace_collector;
pub mod wait;

pub use http::{http_client, http_client_builder};
pub use ports::{free_address, free_port};
pub use wait::wait_until;
