//! The table `jobs`: the queue's truth.

use sea_orm::entity::prelude::*;

use crate::{
    ids::{JobId, MediaId, WorkerId},
    job::{JobStatus, Signal},
    list::{DocumentLength, json_text_bytes},
};

/// A job. Written by [`crate::job_ledger`] alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: JobId,
    /// The kind of work, such as `media:import`.
    pub job_class: String,
    /// −100…100, higher first.
    pub priority: i16,
    /// Where the job stands.
    pub status: JobStatus,
    /// 0…100.
    pub progress: i16,
    /// Bytes fetched by the present attempt.
    pub bytes_done: i64,
    /// Bytes that the origin announced, if it did.
    pub bytes_total: Option<i64>,
    /// Attempts spent beyond the first.
    pub retry_count: i32,
    /// How many retries there may be.
    pub max_retries: i32,
    /// The fencing token: one higher with every claim, never lower. A write that names a past
    /// attempt changes nothing.
    pub attempt: i32,
    /// The stable code of the last failure.
    pub error: Option<String>,
    /// The sentence that goes with it.
    pub error_detail: Option<String>,
    /// At most one unfinished job holds a given value.
    pub unicity: Option<String>,
    /// Not before this time.
    pub scheduled_at: Option<DateTimeUtc>,
    /// The version of `arguments`.
    pub arguments_version: i16,
    /// What was asked for.
    #[sea_orm(column_type = "JsonBinary")]
    pub arguments: Json,
    /// What a running job has yet to obey: `cancel` or `pause`.
    pub signal: Option<Signal>,
    /// The worker that runs the job.
    pub worker_id: Option<WorkerId>,
    /// Until when the worker holds the job, unless it renews.
    pub lease_until: Option<DateTimeUtc>,
    /// What the job made.
    pub media_id: Option<MediaId>,
    /// Who asked for it.
    pub created_by: Option<String>,
    /// In which role.
    pub created_role: Option<String>,
    /// For which project.
    pub project_id: Option<String>,
    /// Where it belongs in the trace that it was asked for in: a `traceparent`.
    pub trace_parent: Option<String>,
    /// When it was asked for.
    pub created_at: DateTimeUtc,
    /// When anything about it last changed.
    pub updated_at: DateTimeUtc,
    /// When its first attempt started.
    pub started_at: Option<DateTimeUtc>,
    /// When it ended.
    pub finished_at: Option<DateTimeUtc>,
}

/// No relations: a job outlives its media and the other way round.
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
