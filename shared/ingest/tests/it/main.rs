//! Ingest, quotas and the collector, on every kind of database.

// In tests a failure is a panic that says where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod collector;
mod project_quotas;
