//! Jobs as JSON:API documents.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use media_shared::{
    entities::job,
    job::{ImportArguments, JobStatus, arguments::RawImportArguments},
    page::Page,
};
use poem_openapi::{Enum, Object, types::Any};
use serde::Deserialize;
use uuid::Uuid;

use crate::jsonapi::{ListLinks, Timestamp};

/// The type of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
pub(super) enum JobType {
    /// The only one.
    #[oai(rename = "media:jobs")]
    #[serde(rename = "media:jobs")]
    Jobs,
}

/// A request to enter a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJobDocument")]
#[serde(deny_unknown_fields)]
pub(super) struct NewJobDocument {
    /// The job.
    pub(super) data: NewJobResource,
}

/// A job to be entered.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJob")]
#[serde(deny_unknown_fields)]
pub(super) struct NewJobResource {
    /// Always `media:jobs`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub(super) kind: JobType,
    /// What is asked for.
    pub(super) attributes: NewJobAttributes,
}

/// What is asked for.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJobAttributes")]
#[serde(deny_unknown_fields)]
pub(super) struct NewJobAttributes {
    /// The kind of work: `media:import`.
    pub(super) job_class: String,
    /// −100…100, higher first; default 0.
    pub(super) priority: Option<i64>,
    /// At most one unfinished job holds a given value; a second request gets the existing job.
    pub(super) unicity: Option<String>,
    /// Not before this time: RFC 3339 with a zone.
    pub(super) scheduled_at: Option<DateTime<Utc>>,
    /// Attempts beyond the first, 0…100; default 5.
    pub(super) max_retries: Option<i32>,
    /// What to import.
    pub(super) arguments: NewImportArguments,
}

/// What to import.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewImportArguments")]
#[serde(deny_unknown_fields)]
pub(super) struct NewImportArguments {
    /// Where the bytes are: http or https.
    url: String,
    /// Where to keep the media: 1 to 255 bytes, no slash.
    resource: String,
    /// Where within the resource; with the resource it names one media, which is replaced.
    key: Option<String>,
    /// The name to keep it under, instead of the origin's.
    filename: Option<String>,
    /// Whether anyone may download it; default false.
    public: Option<bool>,
    /// What the bytes must hash to: 64 hexadecimal digits.
    sha256: Option<String>,
    /// How many bytes there must be.
    size: Option<i64>,
    /// Sent to the first origin only, never after a redirect to another; never shown again.
    headers: Option<BTreeMap<String, String>>,
    /// The most bytes to accept.
    max_bytes: Option<i64>,
}

impl From<NewImportArguments> for RawImportArguments {
    fn from(new: NewImportArguments) -> Self {
        Self {
            url: new.url,
            resource: new.resource,
            key: new.key,
            filename: new.filename,
            public: new.public,
            sha256: new.sha256,
            size: new.size,
            headers: new.headers,
            max_bytes: new.max_bytes,
        }
    }
}

/// A job.
#[derive(Clone, Debug, Object)]
#[oai(rename = "JobDocument", skip_serializing_if_is_none)]
pub(super) struct JobDocument {
    data: JobResource,
    meta: Option<JobMeta>,
}

/// What there is to say about the answer itself.
#[derive(Clone, Debug, Object)]
#[oai(rename = "JobMeta")]
pub(super) struct JobMeta {
    /// The request met an unfinished job with the same unicity.
    pub(super) deduplicated: bool,
}

/// A part of the list of jobs.
#[derive(Clone, Debug, Object)]
#[oai(rename = "JobList", skip_serializing_if_is_none)]
pub(super) struct JobList {
    data: Vec<JobResource>,
    links: ListLinks,
    meta: Option<ListMeta>,
}

/// What there is to say about the list as a whole.
#[derive(Clone, Debug, Object)]
#[oai(rename = "ListMeta")]
pub(crate) struct ListMeta {
    /// How many items there are in all.
    pub(crate) count: u64,
}

/// A job as a resource.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Job")]
struct JobResource {
    #[oai(rename = "type")]
    kind: JobType,
    id: Uuid,
    attributes: JobAttributes,
}

/// All there is to know about a job.
#[derive(Clone, Debug, Object)]
#[oai(rename = "JobAttributes")]
struct JobAttributes {
    /// The kind of work.
    job_class: String,
    /// −100…100, higher first.
    priority: i16,
    /// `scheduled`, `pending`, `running`, `paused`, `succeeded`, `failed` or `cancelled`.
    status: String,
    /// 0…100.
    progress: i16,
    /// Bytes fetched by the present attempt.
    bytes_done: i64,
    /// Bytes that the origin announced; null if it did not.
    #[oai(nullable)]
    bytes_total: Option<i64>,
    /// Attempts spent beyond the first.
    retry_count: i32,
    /// How many retries there may be.
    max_retries: i32,
    /// The stable code of the last failure.
    #[oai(nullable)]
    error: Option<String>,
    /// The sentence that goes with it.
    #[oai(nullable)]
    error_detail: Option<String>,
    /// At most one unfinished job holds a given value.
    #[oai(nullable)]
    unicity: Option<String>,
    /// Not before this time.
    #[oai(nullable)]
    scheduled_at: Option<Timestamp>,
    /// What was asked for, secrets redacted.
    arguments: Any<serde_json::Value>,
    /// The media that the job made.
    #[oai(nullable)]
    media_id: Option<Uuid>,
    /// Who asked for it.
    #[oai(nullable)]
    created_by: Option<String>,
    /// In which role.
    #[oai(nullable)]
    created_role: Option<String>,
    /// For which project.
    #[oai(nullable)]
    project_id: Option<String>,
    /// When it was asked for.
    created_at: Timestamp,
    /// When anything about it last changed.
    updated_at: Timestamp,
    /// When its first attempt started.
    #[oai(nullable)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[oai(nullable)]
    finished_at: Option<Timestamp>,
}

impl JobDocument {
    pub(super) fn new(job: job::Model, meta: Option<JobMeta>) -> Self {
        Self {
            data: job.into(),
            meta,
        }
    }
}

impl JobList {
    pub(super) fn new(page: Page<job::Model>, links: ListLinks) -> Self {
        Self {
            data: page.items.into_iter().map(JobResource::from).collect(),
            links,
            meta: page.total.map(|count| ListMeta { count }),
        }
    }
}

impl From<job::Model> for JobResource {
    fn from(job: job::Model) -> Self {
        let succeeded = job.status == JobStatus::Succeeded;
        Self {
            kind: JobType::Jobs,
            id: job.id.0,
            attributes: JobAttributes {
                job_class: job.job_class,
                priority: job.priority,
                status: job.status.as_str().to_owned(),
                progress: job.progress,
                bytes_done: job.bytes_done,
                bytes_total: job.bytes_total,
                retry_count: job.retry_count,
                max_retries: job.max_retries,
                error: job.error,
                error_detail: job.error_detail,
                unicity: job.unicity,
                scheduled_at: job.scheduled_at.map(Timestamp),
                arguments: Any(redacted(job.arguments)),
                media_id: job.media_id.filter(|_| succeeded).map(|id| id.0),
                created_by: job.created_by,
                created_role: job.created_role,
                project_id: job.project_id,
                created_at: Timestamp(job.created_at),
                updated_at: Timestamp(job.updated_at),
                started_at: job.started_at.map(Timestamp),
                finished_at: job.finished_at.map(Timestamp),
            },
        }
    }
}

/// Arguments that this program cannot read are not shown: it could not tell what is secret.
fn redacted(arguments: serde_json::Value) -> serde_json::Value {
    serde_json::from_value::<ImportArguments>(arguments)
        .map(|arguments| arguments.redacted())
        .unwrap_or_default()
}
