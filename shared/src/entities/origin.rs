//! The table `origins`: hosts that asked to be left alone for a while.

use sea_orm::entity::prelude::*;

/// A host. Written by [`crate::origin_ledger`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "origins")]
pub struct Model {
    /// Scheme, host and port (RFC 6454 §6.2); where it refused credentials rather than everybody, with a
    /// hash of them.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host: String,
    /// No request goes there before.
    pub not_before: DateTimeUtc,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
