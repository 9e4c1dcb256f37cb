//! The tables, as SeaORM sees them. The migrations make them; the ledgers alone write them.

pub mod blob;
pub mod job;
pub mod media;
pub mod origin;
pub mod origin_guest;
