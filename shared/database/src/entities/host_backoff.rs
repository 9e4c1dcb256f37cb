//! The table `host_backoffs`: hosts that take no requests for a while.

use sea_orm::entity::prelude::*;

/// A host in back-off. Written by [`crate::host_limits`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_backoffs")]
pub struct Model {
    /// Scheme, host and port (RFC 6454 §6.2), with a hash of the credentials if the host refused only those.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host: String,
    /// The time before which no request is sent.
    pub not_before: DateTimeUtc,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
