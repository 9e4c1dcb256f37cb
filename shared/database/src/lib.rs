//! The database: connections to SQLite and PostgreSQL, the tables, and one repository for each kind of record, which
//! is its only writer.
//!
//! This crate must not know storage, the network or HTTP. A statement that stands for a promise (a job's status, a
//! blob's reference, a project's quota) is here or nowhere.

mod advisory_lock;
pub mod blob_repository;
mod connection;
pub mod entities;
pub mod host_limits;
pub mod job_repository;
pub mod media_repository;
pub mod pagination;
mod read_conditions;
mod url;

pub use connection::{
    Connections, Database, DatabaseFailure, InTransaction, LostRace, Reader, Transaction, classify,
    is_unavailable,
};
pub use read_conditions::{project_condition, read_condition};
pub use url::{ACQUIRE_TIMEOUT, DatabaseUrl, Pooler};
