//! The repositories, on every kind of database.

// A panic in a test reports the failure and its location.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod batches;
mod cancellation;
mod conditional_writes;
mod expiry;
mod host_limits;
mod job_repository;
mod job_repository_model;
mod lookups;
mod media_changes;
mod query_plans;
mod resilience;
