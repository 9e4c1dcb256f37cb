//! The ground that the API and the worker stand on: the domain, the tables, storage, the queue and
//! the configuration.

pub mod access;
pub mod blob_ledger;
pub mod blob_store;
pub mod caller;
pub mod clock;
pub mod config;
pub mod database;
pub mod entities;
pub mod ids;
pub mod intake;
pub mod job;
pub mod job_ledger;
pub mod list;
pub mod media;
pub mod media_ledger;
pub mod media_metadata;
pub mod media_type;
pub mod metrics;
pub mod origin_ledger;
pub mod probe;
pub mod services;
pub mod shutdown;
pub mod telemetry;
pub mod tickets;
pub mod tls;
