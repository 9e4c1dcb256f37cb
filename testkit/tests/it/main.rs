//! Tests of `media-api` and `media-worker` as separate programs on PostgreSQL, Redis and S3.

// In tests a failure is a panic that says where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod deploy;
mod failover;
mod imports;
mod layers;
mod monitoring;
mod object_stores;
mod outages;
mod private_authorities;
mod redis_servers;
mod resume;
mod scaling;
mod schema;
mod secret_files;
mod shutdown;
mod sqlite_file;
mod start_failures;
mod traces;
mod wakeups;
