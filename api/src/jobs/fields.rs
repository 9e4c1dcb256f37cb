//! The fields and relationships of a job.

use media_database::entities::job;
use media_domain::job::{ImportArguments, JobStatus};
use serde_json::{Value as Json, json};

use crate::{
    media::MediaResource,
    resource::{
        Field,
        Operator::{self, AtLeast, AtMost, Equal, Exists, In, NotEqual, Prefix},
        Relationship, Resource, ValueType,
        value_type::time,
    },
};

/// The relationship to the media that a job has stored.
pub(super) const MEDIA: &str = "media";

/// Jobs, `media:jobs`.
#[derive(Clone, Debug)]
pub(crate) struct JobResource;

/// The values of `status`.
const STATUSES: ValueType = ValueType::OneOf(&[
    JobStatus::Scheduled.as_str(),
    JobStatus::Pending.as_str(),
    JobStatus::Running.as_str(),
    JobStatus::Paused.as_str(),
    JobStatus::Succeeded.as_str(),
    JobStatus::Failed.as_str(),
    JobStatus::Cancelled.as_str(),
]);

/// The operators of texts, ids and enumerations.
const LISTED: &[Operator] = &[Equal, NotEqual, Exists, In];
/// The operators of texts with an index.
const BEGINNINGS: &[Operator] = &[Equal, NotEqual, Exists, In, Prefix];
/// The operators of numbers and times.
const ORDERED: &[Operator] = &[Equal, NotEqual, Exists, AtLeast, AtMost];

/// The defaults: a text, not null, a sort key.
const PLAIN: Field<job::Entity> = Field {
    name: "",
    column: job::Column::Id,
    value_type: ValueType::Text,
    nullable: false,
    operators: LISTED,
    sortable: true,
    ordered_by_id: false,
    show: |_| Json::Null,
    description: "",
    example: "null",
};

impl Resource for JobResource {
    type Entity = job::Entity;
    const TYPE: &'static str = "media:jobs";
    const NAME: &'static str = "Job";
    const PATH: &'static str = "/jobs";
    const RELATIONSHIPS: &'static [Relationship<job::Model>] = &[Relationship {
        name: MEDIA,
        resource_type: MediaResource::TYPE,
        id: |job| media_of(job).map(|id| id.0),
    }];
    const PROJECT: job::Column = job::Column::ProjectId;
    const INDEX_PREFIX_FIELDS: &'static [&'static str] =
        &["unicity", "status", "priority", "job_class", "project_id"];

    #[rustfmt::skip]
    const FIELDS: &'static [Field<job::Entity>] = &[
        Field { name: "id", column: job::Column::Id, value_type: ValueType::Id, show: |job| json!(job.id), description: "The job's id", example: "\"01a209d3-ac64-703f-91dc-9affcb76ba68\"", ..PLAIN },
        Field { name: "job_class", column: job::Column::JobClass, operators: BEGINNINGS, show: |job| json!(job.job_class), description: "The class of the job", example: "\"media:import\"", ..PLAIN },
        Field { name: "priority", column: job::Column::Priority, value_type: ValueType::Integer, operators: ORDERED, show: |job| json!(job.priority), description: "-100 to 100, higher first", example: "10", ..PLAIN },
        Field { name: "status", column: job::Column::Status, value_type: STATUSES, show: |job| json!(job.status), description: "The state of the job", example: "\"running\"", ..PLAIN },
        Field { name: "progress", column: job::Column::Progress, value_type: ValueType::Integer, operators: ORDERED, show: |job| json!(job.progress), description: "The progress in percent, 0 to 100", example: "40", ..PLAIN },
        Field { name: "bytes_done", column: job::Column::BytesDone, value_type: ValueType::Integer, operators: ORDERED, show: |job| json!(job.bytes_done), description: "The number of bytes that the current attempt has fetched", example: "40960", ..PLAIN },
        Field { name: "bytes_total", column: job::Column::BytesTotal, value_type: ValueType::Integer, nullable: true, operators: ORDERED, show: |job| json!(job.bytes_total), description: "The size that the origin announced; null if it did not", example: "102400", ..PLAIN },
        Field { name: "retry_count", column: job::Column::RetryCount, value_type: ValueType::Integer, operators: ORDERED, show: |job| json!(job.retry_count), description: "The number of attempts after the first", example: "1", ..PLAIN },
        Field { name: "max_retries", column: job::Column::MaxRetries, value_type: ValueType::Integer, operators: ORDERED, show: |job| json!(job.max_retries), description: "The most attempts after the first", example: "5", ..PLAIN },
        Field { name: "error", column: job::Column::Error, nullable: true, show: |job| json!(job.error), description: "The stable code of the last failure", example: "\"origin_not_found\"", ..PLAIN },
        Field { name: "error_detail", column: job::Column::ErrorDetail, nullable: true, sortable: false, show: |job| json!(job.error_detail), description: "The sentence that explains the last failure", example: "\"http://origin.test/a.jpg answered 404 Not Found; check the URL\"", ..PLAIN },
        Field { name: "unicity", column: job::Column::Unicity, nullable: true, operators: BEGINNINGS, show: |job| json!(job.unicity), description: "At most one unfinished job has a given value", example: "\"avatar-42\"", ..PLAIN },
        Field { name: "scheduled_at", column: job::Column::ScheduledAt, value_type: ValueType::Time, nullable: true, operators: ORDERED, show: |job| json!(job.scheduled_at.map(time)), description: "The job does not start before this time; back-off sets it for a retry", example: "\"2030-01-31T12:00:00.000000Z\"", ..PLAIN },
        Field { name: "arguments", column: job::Column::Arguments, value_type: ValueType::Object, operators: &[Exists], sortable: false, show: |job| redacted(&job.arguments), description: "The arguments of the job, secrets redacted", example: "{\"url\":\"http://origin.test/a.jpg\",\"resource\":\"avatars\",\"key\":\"42\",\"public\":false}", ..PLAIN },
        Field { name: "created_by", column: job::Column::CreatedBy, nullable: true, show: |job| json!(job.created_by), description: "The subject of the caller that created it", example: "\"user-7\"", ..PLAIN },
        Field { name: "created_role", column: job::Column::CreatedRole, nullable: true, show: |job| json!(job.created_role), description: "The role of that caller", example: "\"user\"", ..PLAIN },
        Field { name: "project_id", column: job::Column::ProjectId, nullable: true, show: |job| json!(job.project_id), description: "The project that the job belongs to", example: "\"project-1\"", ..PLAIN },
        Field { name: "created_at", column: job::Column::CreatedAt, value_type: ValueType::Time, operators: ORDERED, ordered_by_id: true, show: |job| time(job.created_at), description: "The time of creation", example: "\"2026-11-23T19:13:16.894472Z\"", ..PLAIN },
        Field { name: "updated_at", column: job::Column::UpdatedAt, value_type: ValueType::Time, operators: ORDERED, show: |job| time(job.updated_at), description: "The time of the last change", example: "\"2026-11-23T19:13:16.894472Z\"", ..PLAIN },
        Field { name: "started_at", column: job::Column::StartedAt, value_type: ValueType::Time, nullable: true, operators: ORDERED, show: |job| json!(job.started_at.map(time)), description: "The time at which the first attempt started", example: "\"2026-11-23T19:13:16.894472Z\"", ..PLAIN },
        Field { name: "finished_at", column: job::Column::FinishedAt, value_type: ValueType::Time, nullable: true, operators: ORDERED, show: |job| json!(job.finished_at.map(time)), description: "The time at which the job ended", example: "\"2026-11-23T19:13:17.394472Z\"", ..PLAIN },
    ];

    fn links(job: &job::Model) -> Json {
        json!({ "self": format!("/jobs/{}", job.id) })
    }
}

/// The media that a job has stored.
pub(super) fn media_of(job: &job::Model) -> Option<media_domain::ids::MediaId> {
    job.media_id.filter(|_| job.status == JobStatus::Succeeded)
}

/// Redacts secrets. Arguments that this version cannot parse are left out, as they may contain unknown secrets.
fn redacted(arguments: &Json) -> Json {
    serde_json::from_value::<ImportArguments>(arguments.clone())
        .map_or_else(|_| json!({}), |arguments| arguments.redacted())
}
