//! The metadata of stored media.

// In tests a failure is a panic that says where.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod metadata;
