//! The metadata of stored media.

// A panic in a test reports the failure and its location.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod metadata;
