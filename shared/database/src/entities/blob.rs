//! The table `blobs`: every object in storage, from before its first byte.

use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};

use media_domain::{
    ids::{BlobId, JobId},
    job::Attempt,
};

/// The state of a stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum BlobStatus {
    /// An attempt or an upload is writing it.
    #[sea_orm(string_value = "staged")]
    Staged,
    /// A media points to it.
    #[sea_orm(string_value = "live")]
    Live,
    /// Nothing refers to it; the collector will delete it.
    #[sea_orm(string_value = "garbage")]
    Garbage,
}

/// A stored object. Written by [`crate::blob_repository`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "blobs")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BlobId,
    /// The object's key in storage.
    pub storage_key: String,
    /// Its state.
    pub status: BlobStatus,
    /// The job whose attempt writes it; none for an upload.
    pub job_id: Option<JobId>,
    /// That attempt.
    pub attempt: Option<Attempt>,
    /// Staged: the end of an upload's reservation; none for a job, whose lease decides.
    /// Garbage that was abandoned: the time at which its object is deleted once more.
    pub expires_at: Option<DateTimeUtc>,
    /// The time from which the collector may delete it.
    pub collect_after: Option<DateTimeUtc>,
    /// Staged: the checkpoint from which the job's next attempt can resume.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub checkpoint: Option<Json>,
    /// The project that the bytes count for.
    pub project_id: Option<String>,
    /// The bytes that count for the project while the blob is staged or live.
    pub charged: i64,
    /// When it was staged.
    pub created_at: DateTimeUtc,
    /// When its status last changed.
    pub updated_at: DateTimeUtc,
}

/// No relations: the repositories join by hand.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
