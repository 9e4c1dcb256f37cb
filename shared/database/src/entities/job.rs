//! The table `jobs`: the queue.

use sea_orm::entity::prelude::*;

use crate::pagination::{DocumentLength, json_text_bytes};
use media_domain::{
    caller::Role,
    ids::{JobId, MediaId, WorkerId},
    job::{Attempt, JobStatus, RetryCount, Signal},
};

/// A job. Written by [`crate::job_repository`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: JobId,
    /// The class, such as `media:import`.
    pub job_class: String,
    /// −100…100, higher first.
    pub priority: i16,
    /// The status.
    pub status: JobStatus,
    /// 0…100.
    pub progress: i16,
    /// Bytes received by the present attempt.
    pub bytes_done: i64,
    /// The size that the origin announced, if it did.
    pub bytes_total: Option<i64>,
    /// Attempts spent beyond the first.
    pub retry_count: RetryCount,
    /// The number of retries allowed.
    pub max_retries: RetryCount,
    /// The fencing token: one higher with every claim. A write that names a past attempt changes nothing.
    pub attempt: Attempt,
    /// The stable code of the last failure.
    pub error: Option<String>,
    /// The sentence that explains it.
    pub error_detail: Option<String>,
    /// At most one unfinished job holds a given value.
    pub unicity: Option<String>,
    /// The time before which the job does not start.
    pub scheduled_at: Option<DateTimeUtc>,
    /// The version of `arguments`.
    pub arguments_version: i16,
    /// The arguments of the class.
    #[sea_orm(column_type = "JsonBinary")]
    pub arguments: Json,
    /// A signal that the worker has yet to obey: `cancel` or `pause`.
    pub signal: Option<Signal>,
    /// The worker that runs the job.
    pub worker_id: Option<WorkerId>,
    /// The end of the worker's lease, unless it renews.
    pub lease_until: Option<DateTimeUtc>,
    /// The media that the job created.
    pub media_id: Option<MediaId>,
    /// The subject of the token that created it.
    pub created_by: Option<String>,
    /// The role of that caller.
    pub created_role: Option<Role>,
    /// The project that it belongs to.
    pub project_id: Option<String>,
    /// The `traceparent` of the request that created it.
    pub trace_parent: Option<String>,
    /// The time of its creation.
    pub created_at: DateTimeUtc,
    /// The time of its last change.
    pub updated_at: DateTimeUtc,
    /// The start of its first attempt.
    pub started_at: Option<DateTimeUtc>,
    /// The time of its end.
    pub finished_at: Option<DateTimeUtc>,
}

/// No relations: jobs and media are deleted independently.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl DocumentLength for Model {
    fn text_bytes(&self) -> usize {
        let texts = [&self.unicity, &self.error_detail, &self.created_by];
        let texts = texts.into_iter().flatten().map(String::len);
        json_text_bytes(&self.arguments) + texts.sum::<usize>()
    }
}
