//! The ledgers and storage, on every database and every storage that there is.

// In tests a failure is a panic that says where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod batches;
mod blob_store;
mod cancellation;
mod collector;
mod conditional_writes;
mod job_ledger;
mod job_ledger_model;
mod ledgers;
mod lookups;
mod media_metadata;
mod object_stores;
mod origin_ledger;
mod plans;
mod projects;
mod resilience;
