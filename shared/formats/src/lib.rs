//! The formats of media: detects media types and reads dimensions and durations.
//!
//! This crate reads stored bytes and must not depend on the database or the network. Only headers are parsed, with
//! limits on bytes, reads and time, since the bytes are untrusted.

pub mod media_type;
pub mod metadata;
