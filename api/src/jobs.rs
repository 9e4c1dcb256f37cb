//! `/jobs`: enter, look up, list and delete.

use media_shared::{
    ids::JobId,
    job::{ImportArguments, JobClass, MediaImport, Priority, Unicity},
    job_ledger::{Created, LedgerError, NewJob},
    services::Services,
};
use poem::Request;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use crate::{
    Tags,
    jsonapi::{ApiError, ErrorCode, JsonApiBody, JsonApiResponse, ListLinks},
    listing::{LIST_PARAMETERS, page_request, refuse_unknown_parameters},
};

mod document;

pub(crate) use document::ListMeta;
use document::{JobDocument, JobList, JobMeta, NewJobAttributes, NewJobDocument};

/// The latest time that a job can be scheduled for; later ones have no RFC 3339 form.
const LAST_YEAR: i32 = 9999;
/// The most retries that a client can ask for.
const MAX_RETRIES: i32 = 100;

/// The operations on jobs.
pub struct JobsApi {
    services: Services,
}

#[derive(ApiResponse)]
enum CreateResponse {
    /// The job was entered.
    #[oai(status = 201)]
    Created(
        JsonApiResponse<JobDocument>,
        /// Where the job is.
        #[oai(header = "Location")]
        String,
    ),
    /// An unfinished job holds the same unicity: this one. `meta.deduplicated` is true.
    #[oai(status = 200)]
    Existing(JsonApiResponse<JobDocument>),
}

#[derive(ApiResponse)]
enum ShowResponse {
    /// The job.
    #[oai(status = 200)]
    Found(JsonApiResponse<JobDocument>),
}

#[derive(ApiResponse)]
enum ListResponse {
    /// A page of the list.
    #[oai(status = 200)]
    Page(JsonApiResponse<JobList>),
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The job is gone.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(tag = "Tags::Jobs")]
impl JobsApi {
    /// Enter a job.
    ///
    /// Asks for an import. The answer comes at once; the job's status tells how the import goes.
    #[oai(path = "/jobs", method = "post", operation_id = "createJob")]
    async fn create(
        &self,
        request: &Request,
        body: JsonApiBody<NewJobDocument>,
    ) -> Result<CreateResponse, ApiError> {
        refuse_unknown_parameters(request, &[])?;
        let job = new_job(body.0.data.attributes)?;
        match self.services.jobs.create(job).await.map_err(refused)? {
            Created::New(job) => {
                self.services.tickets.post(1).await;
                let location = format!("/jobs/{}", job.id);
                let document = JobDocument::new(job, None);
                Ok(CreateResponse::Created(JsonApiResponse(document), location))
            }
            Created::Existing(job) => {
                let meta = JobMeta { deduplicated: true };
                let document = JobDocument::new(job, Some(meta));
                Ok(CreateResponse::Existing(JsonApiResponse(document)))
            }
        }
    }

    /// List jobs.
    ///
    /// In the order of creation, a page at a time.
    #[oai(path = "/jobs", method = "get", operation_id = "listJobs")]
    async fn list(
        &self,
        request: &Request,
        /// The page number, default to 1.
        #[oai(name = "page[number]", validator(minimum(value = "1")))]
        number: Query<Option<u32>>,
        /// The number of items per page, default to 1000, which is also the most.
        #[oai(
            name = "page[size]",
            validator(minimum(value = "1"), maximum(value = "1000"))
        )]
        size: Query<Option<u32>>,
        /// The cursor of a link `next`, instead of a page number.
        #[oai(name = "page[after]")]
        after: Query<Option<String>>,
        /// Set to true to return the total number of items in the collection.
        count: Query<Option<bool>>,
    ) -> Result<ListResponse, ApiError> {
        refuse_unknown_parameters(request, &LIST_PARAMETERS)?;
        let wanted = page_request(number.0, size.0, after.0.as_deref(), count.0)?;
        let page = self.services.jobs.list(wanted).await?;
        let links = ListLinks::of("/jobs", wanted, &page, |job| job.id.0);
        Ok(ListResponse::Page(JsonApiResponse(JobList::new(
            page, links,
        ))))
    }

    /// Show a job.
    #[oai(path = "/jobs/:resource_id", method = "get", operation_id = "showJob")]
    async fn show(
        &self,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
    ) -> Result<ShowResponse, ApiError> {
        refuse_unknown_parameters(request, &[])?;
        let job = self
            .services
            .jobs
            .find(job_id(&resource_id)?)
            .await?
            .ok_or_else(no_such_job)?;
        Ok(ShowResponse::Found(JsonApiResponse(JobDocument::new(
            job, None,
        ))))
    }

    /// Delete a job.
    ///
    /// A running job is cancelled first. Media that it has stored stays.
    #[oai(
        path = "/jobs/:resource_id",
        method = "delete",
        operation_id = "deleteJob"
    )]
    async fn delete(
        &self,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
    ) -> Result<DeleteResponse, ApiError> {
        refuse_unknown_parameters(request, &[])?;
        if self.services.jobs.delete(job_id(&resource_id)?).await? {
            Ok(DeleteResponse::Deleted)
        } else {
            Err(no_such_job())
        }
    }
}

impl JobsApi {
    /// The operations, on these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }
}

fn job_id(text: &str) -> Result<JobId, ApiError> {
    Uuid::try_parse(text).map(JobId).map_err(|_| no_such_job())
}

fn no_such_job() -> ApiError {
    ApiError::not_found("there is no job with this id")
}

/// Checks all attributes and reports all that is wrong with them at once.
fn new_job(attributes: NewJobAttributes) -> Result<NewJob, ApiError> {
    let mut faults = Vec::new();
    let mut fault = |name: &str, detail: String| {
        faults.push((
            format!("/data/attributes/{name}"),
            format!("`{name}` {detail}"),
        ));
    };
    if attributes.job_class != MediaImport::NAME {
        fault("job_class", format!("must be `{}`", MediaImport::NAME));
    }
    let priority = Priority::new(attributes.priority.unwrap_or_default()).unwrap_or_else(|| {
        fault("priority", "must be -100 to 100".to_owned());
        Priority::default()
    });
    let unicity = attributes.unicity.as_deref().and_then(|text| {
        Unicity::new(text)
            .map_err(|reason| fault("unicity", reason.to_owned()))
            .ok()
    });
    if let Some(at) = attributes.scheduled_at
        && !(1970..=LAST_YEAR).contains(&chrono::Datelike::year(&at))
    {
        fault("scheduled_at", "must lie between 1970 and 9999".to_owned());
    }
    let max_retries = attributes.max_retries.unwrap_or(MediaImport::MAX_RETRIES);
    if !(0..=MAX_RETRIES).contains(&max_retries) {
        fault("max_retries", format!("must be 0 to {MAX_RETRIES}"));
    }
    let arguments = ImportArguments::check(attributes.arguments.into());
    match arguments {
        Ok(arguments) if faults.is_empty() => Ok(NewJob::new::<MediaImport>(&arguments)
            .map_err(|error| ApiError::internal("arguments", &error))?
            .priority(priority)
            .unicity(unicity)
            .scheduled_at(attributes.scheduled_at)
            .max_retries(max_retries)),
        arguments => {
            for error in arguments.err().unwrap_or_default() {
                let pointer = format!("/data/attributes/arguments/{}", error.field);
                faults.push((pointer, error.to_string()));
            }
            Err(ApiError::at_pointers(ErrorCode::InvalidValue, faults))
        }
    }
}

fn refused(error: LedgerError) -> ApiError {
    match error {
        LedgerError::NotFound => no_such_job(),
        LedgerError::SignalRefused { .. } | LedgerError::UnicityTaken | LedgerError::LeaseLost => {
            ApiError::new(ErrorCode::Conflict, error.to_string())
        }
        LedgerError::Database(error) => error.into(),
        LedgerError::BlobLost => ApiError::internal("ledger", &error),
    }
}
