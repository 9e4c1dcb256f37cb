//! `POST /jobs`.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use media_database::job_repository::{Created, NewJob};
use media_domain::{
    caller::Caller,
    job::{
        IfExists, ImportArguments, JobClass as _, MediaImport, Priority, RetryCount, Unicity,
        arguments::RawImportArguments,
    },
    media::{MediaPath, NameError, WritePrecondition},
    permissions::ProjectSelector,
};
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Any};
use serde::Deserialize;
use serde_json::json;

use super::{
    attribute_checks::{AttributeFaults, JobType, max_priority},
    document::document,
    fields::JobResource,
    wake::wake_for,
};
use crate::{
    caller::WriteCaller,
    jsonapi::{ApiError, ErrorCode, JsonApiBody, JsonApiResponse},
    openapi_tags::Tags,
    resource::{document::ResourceDocument, query_string::refuse_parameters},
};

/// Creates a job.
pub(crate) struct CreateJob {
    pub(super) services: Arc<Services>,
    pub(super) user_max_priority: Priority,
}

#[derive(ApiResponse)]
enum CreateResponse {
    /// The job was created.
    #[oai(status = 201)]
    Created(
        JsonApiResponse<ResourceDocument<JobResource>>,
        /// The path of the job.
        #[oai(header = "Location")]
        String,
    ),
    /// The unfinished job that has the same unicity. `meta.deduplicated` is true.
    #[oai(status = 200)]
    Existing(JsonApiResponse<ResourceDocument<JobResource>>),
}

#[OpenApi(tag = "Tags::Jobs")]
impl CreateJob {
    /// Create a job.
    ///
    /// Requests an import. The answer does not wait for the import; the status of the job shows its progress.
    #[oai(path = "/jobs", method = "post", operation_id = "createJob")]
    async fn create(
        &self,
        caller: WriteCaller,
        request: &Request,
        body: JsonApiBody<NewJobDocument>,
    ) -> Result<CreateResponse, ApiError> {
        refuse_parameters(request)?;
        if body.0.data.id.is_some() {
            return Err(ApiError::at_pointer(
                ErrorCode::Forbidden,
                "/data/id",
                "must not be set: the service generates the ids of jobs",
            ));
        }
        let max_priority = max_priority(&caller, self.user_max_priority);
        let (job, path) = check(body.0.data.attributes, &caller, max_priority)?;
        let condition = WritePrecondition::default();
        self.services
            .medias
            .check_write(&path, job.creator(), &condition)
            .await?;
        match self.services.jobs.create(job).await? {
            Created::New(job) => {
                wake_for(&self.services, &job);
                let location = format!("/jobs/{}", job.id);
                Ok(CreateResponse::Created(document(&job), location))
            }
            Created::Existing(job) => {
                let document = ResourceDocument::with_all_fields(&job);
                let document = document.with_meta(json!({ "deduplicated": true }));
                Ok(CreateResponse::Existing(JsonApiResponse(document)))
            }
        }
    }
}

/// Checks all attributes, and reports all faults in one error.
fn check(
    attributes: NewJobAttributes,
    caller: &Caller,
    max_priority: Priority,
) -> Result<(NewJob, MediaPath), ApiError> {
    let mut faults = AttributeFaults::new(max_priority);
    if attributes.job_class != MediaImport::NAME {
        faults.add("job_class", format!("must be `{}`", MediaImport::NAME));
    }
    let priority = faults.priority(attributes.priority.unwrap_or_default());
    let unicity = attributes.unicity.as_deref().and_then(|text| {
        Unicity::new(text)
            .map_err(|error| match error {
                NameError::Empty => {
                    faults.add("unicity", "must not be empty; leave it out instead");
                }
                error => faults.add("unicity", error),
            })
            .ok()
    });
    if let Some(at) = attributes.scheduled_at {
        faults.time("scheduled_at", at);
    }
    let max_retries = match attributes.max_retries {
        None => MediaImport::MAX_RETRIES,
        Some(number) => RetryCount::new(number.into()).unwrap_or_else(|error| {
            faults.add("max_retries", error);
            RetryCount::ZERO
        }),
    };
    let selector = match attributes.project_id.as_deref().map(ProjectSelector::new) {
        None => ProjectSelector::Any,
        Some(Ok(selector)) => selector,
        Some(Err(reason)) => {
            faults.add("project_id", reason);
            ProjectSelector::Any
        }
    };
    if let Some(at) = attributes.arguments.expires_at {
        faults.time("arguments/expires_at", at);
        if at <= Utc::now() {
            faults.add("arguments/expires_at", "must lie in the future");
        }
    }
    let arguments = ImportArguments::check(attributes.arguments.into()).map_err(|errors| {
        for error in errors {
            faults.add(&format!("arguments/{}", error.field), error.reason);
        }
    });
    let arguments = faults.finish(arguments.ok())?;
    let job = NewJob::new::<MediaImport>(&arguments)
        .map_err(|error| ApiError::internal("arguments", &error))?
        .priority(priority)
        .unicity(unicity)
        .scheduled_at(attributes.scheduled_at)
        .max_retries(max_retries)
        .with_creator(caller.creator_for(&selector)?);
    Ok((job, arguments.path))
}

/// A request to create a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJobDocument", example)]
struct NewJobDocument {
    /// The job.
    data: NewJobResource,
}

/// A job to be created.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJob")]
struct NewJobResource {
    /// Always `media:jobs`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: JobType,
    /// Must be absent: the service generates the ids of jobs.
    #[oai(skip)]
    id: Option<serde_json::Value>,
    /// The attributes of the job.
    attributes: NewJobAttributes,
}

/// The attributes of a job to be created.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJobAttributes")]
#[serde(deny_unknown_fields)]
struct NewJobAttributes {
    /// The class of the job: `media:import`.
    job_class: String,
    /// -100 to 100, higher first; default 0.
    #[oai(nullable)]
    priority: Option<i64>,
    /// At most one unfinished job has a given value; a second request gets the existing job.
    #[oai(nullable)]
    unicity: Option<String>,
    /// The job does not start before this time: RFC 3339 with a zone.
    #[oai(nullable)]
    #[serde(default, deserialize_with = "crate::time::deserialize")]
    scheduled_at: Option<DateTime<Utc>>,
    /// The most attempts after the first, 0 to 100; default 5.
    #[oai(nullable)]
    max_retries: Option<i32>,
    /// The project of the job and its media: one that the token names; the default is the only one that it names.
    #[oai(nullable)]
    project_id: Option<String>,
    /// The arguments of the import.
    arguments: NewImportArguments,
}

/// The arguments of an import.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "NewImportArguments")]
#[serde(deny_unknown_fields)]
struct NewImportArguments {
    /// The URL of the bytes: http or https.
    url: String,
    /// The resource to store the media in: 1 to 255 bytes, no slash.
    resource: String,
    /// The key within the resource. Resource and key name one media, which the import replaces.
    #[oai(nullable)]
    key: Option<String>,
    /// The name of the file, instead of the one from the origin.
    #[oai(nullable)]
    filename: Option<String>,
    /// Whether anyone may download the media; default false.
    #[oai(nullable)]
    public: Option<bool>,
    /// The SHA-256 that the bytes must have: 64 hexadecimal digits.
    #[oai(nullable)]
    sha256: Option<String>,
    /// The size that the file must have, in bytes.
    #[oai(nullable)]
    size: Option<i64>,
    /// Headers for the first origin. They are not sent after a redirect to another origin, and never shown.
    #[oai(nullable)]
    headers: Option<BTreeMap<String, String>>,
    /// The largest accepted size, in bytes.
    #[oai(nullable)]
    max_bytes: Option<i64>,
    /// The accepted types, such as `image/png` or `image/*`; all by default. The type is that of the bytes, or else the
    /// one that the origin declares, or else that of the name. Other types fail with `type_not_allowed`.
    #[oai(nullable)]
    accept_types: Option<Vec<String>>,
    /// The MD5 that the bytes must have: 32 hexadecimal digits.
    #[oai(nullable)]
    md5: Option<String>,
    /// Data of the client to keep beside the media: a JSON object of at most 16 KiB and 8 levels.
    #[oai(nullable)]
    meta: Option<BTreeMap<String, Any<serde_json::Value>>>,
    /// The time from which on the media is gone: RFC 3339 with a zone, in the future.
    #[oai(nullable)]
    #[serde(default, deserialize_with = "crate::time::deserialize")]
    expires_at: Option<DateTime<Utc>>,
    /// The treatment of a media that is at the resource and key already: `replace` (default) replaces it; `fail` fails
    /// with `already_exists`; `skip` succeeds with it, and nothing is fetched; `refresh` asks the origin whether the
    /// bytes have changed, and replaces it only if they have.
    #[oai(nullable)]
    if_exists: Option<IfExistsArgument>,
}

/// The treatment of a media that is at the path already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename = "IfExists", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum IfExistsArgument {
    /// It is replaced.
    Replace,
    /// The import fails with `already_exists`.
    Fail,
    /// The import succeeds with it, and nothing is fetched.
    Skip,
    /// It is replaced if the origin has other bytes by now.
    Refresh,
}

impl From<IfExistsArgument> for IfExists {
    fn from(argument: IfExistsArgument) -> Self {
        match argument {
            IfExistsArgument::Replace => Self::Replace,
            IfExistsArgument::Fail => Self::Fail,
            IfExistsArgument::Skip => Self::Skip,
            IfExistsArgument::Refresh => Self::Refresh,
        }
    }
}

impl poem_openapi::types::Example for NewJobDocument {
    fn example() -> Self {
        Self {
            data: NewJobResource {
                kind: JobType::Jobs,
                id: None,
                attributes: NewJobAttributes {
                    job_class: "media:import".to_owned(),
                    priority: Some(10),
                    unicity: None,
                    scheduled_at: None,
                    max_retries: None,
                    project_id: None,
                    arguments: NewImportArguments {
                        url: "https://origin.example/portrait.jpg".to_owned(),
                        resource: "avatars".to_owned(),
                        key: Some("42".to_owned()),
                        ..NewImportArguments::default()
                    },
                },
            },
        }
    }
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
            accept_types: new.accept_types,
            md5: new.md5,
            meta: new.meta.map(|members| {
                let members = members.into_iter().map(|(name, Any(value))| (name, value));
                serde_json::Value::Object(members.collect())
            }),
            expires_at: new.expires_at,
            if_exists: new.if_exists.map(IfExists::from),
        }
    }
}
