//! The tables as SeaORM entities. The migrations create them; the repositories alone write them.

pub mod blob;
pub mod host_backoff;
pub mod host_connection;
pub mod job;
pub mod media;
