//! The table `blobs`: every stored object, known from before its first byte.

use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};

use crate::ids::{BlobId, JobId};

/// What a stored object is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum BlobStatus {
    /// An attempt or an upload is writing it.
    #[sea_orm(string_value = "staged")]
    Staged,
    /// A media points to it.
    #[sea_orm(string_value = "live")]
    Live,
    /// Nobody needs it; the collector will remove it.
    #[sea_orm(string_value = "garbage")]
    Garbage,
}

/// A stored object. Written by [`crate::blob_ledger`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "blobs")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BlobId,
    /// Where the object is in storage.
    pub storage_key: String,
    /// What it is there for.
    pub status: BlobStatus,
    /// The job whose attempt writes it; none for an upload.
    pub job_id: Option<JobId>,
    /// That attempt.
    pub attempt: Option<i32>,
    /// Staged: until when an upload holds it, unless it renews; none for a job, whose lease decides.
    /// Garbage that was given up while staged: when its object is removed for the second time.
    pub expires_at: Option<DateTimeUtc>,
    /// From when on the collector may remove it.
    pub collect_after: Option<DateTimeUtc>,
    /// Staged: how far a job's attempts have come, for the next one to go on from.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub checkpoint: Option<Json>,
    /// Whose bytes these are.
    pub project_id: Option<String>,
    /// How many of them count for the project, as long as they are staged or live.
    pub charged: i64,
    /// When it was staged.
    pub created_at: DateTimeUtc,
    /// When its status last changed.
    pub updated_at: DateTimeUtc,
}

/// No relations: the ledgers join by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
