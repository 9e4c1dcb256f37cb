//! The table `origin_guests`: which workers have connections to which hosts.

use sea_orm::entity::prelude::*;

use crate::ids::WorkerId;

/// A worker at a host. Written by [`crate::origin_ledger`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "origin_guests")]
pub struct Model {
    /// As it stands in URLs, without a port.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host: String,
    /// The worker.
    #[sea_orm(primary_key, auto_increment = false)]
    pub worker_id: WorkerId,
    /// How many connections it may have.
    pub connections: i32,
    /// When it last said so.
    pub seen_at: DateTimeUtc,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
