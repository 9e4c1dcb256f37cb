//! The domain: jobs, media, stored objects, callers and permissions, as types and pure decisions.
//!
//! This crate does no I/O and must not know any: no database, no storage, no network, no runtime. With the feature
//! `database`, identifiers and statuses can be columns of tables; the tables themselves belong to `media-database`.

pub mod blob;
pub mod caller;
pub mod clock;
pub mod content_disposition;
mod denied;
pub mod header_parameters;
pub mod ids;
pub mod job;
pub mod media;
pub mod name_rules;
pub mod permissions;
pub mod secret;
