//! Ingest, quotas and the collector, on every kind of database.

// A panic in a test reports the failure and its location.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod collector;
mod project_quotas;
