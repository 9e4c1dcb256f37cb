//! The storage of objects, in directories and in S3.

// In tests a failure is a panic that says where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod blob_store;
mod object_stores;
