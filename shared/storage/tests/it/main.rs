//! The storage of objects, in directories and in S3.

// A panic in a test reports the failure and its location.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod blob_store;
mod object_stores;
