//! The table `host_connections`: the connections of each worker to each host.

use sea_orm::entity::prelude::*;

use media_domain::ids::WorkerId;

/// A worker's connections to a host. Written by [`crate::host_limits`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_connections")]
pub struct Model {
    /// The host as in URLs, without a port.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host: String,
    /// The worker.
    #[sea_orm(primary_key, auto_increment = false)]
    pub worker_id: WorkerId,
    /// The number of connections that it may have.
    pub connections: i32,
    /// The time of its last heartbeat.
    pub seen_at: DateTimeUtc,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
