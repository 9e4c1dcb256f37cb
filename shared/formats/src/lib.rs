//! The formats of media: which type bytes have, and which dimensions and duration they state.
//!
//! This crate reads stored bytes and must not know the database or the network. Nothing but headers is parsed, with a
//! bound on bytes, reads and time, since the bytes come from strangers.

pub mod media_type;
pub mod metadata;
