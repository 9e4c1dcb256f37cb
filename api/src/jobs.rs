//! `/jobs`: enter, look up, list, change, signal, listen and delete.

use std::{future::pending, sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::StreamExt as _;

use media_shared::{
    access::{Belonging, Sight},
    caller::{Caller, Principal, Role},
    entities::job,
    ids::JobId,
    job::{ImportArguments, JobClass, JobStatus, MediaImport, Priority, Unicity},
    job_ledger::{Created, LedgerError, NewJob, Reschedule, Signalled},
    media::{MediaPath, WritePrecondition},
    services::Services,
};
use poem::{Request, http::header, web::sse::SSE};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
};
use serde_json::{Value as Json, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Tags,
    access::caller_of,
    audit::{self, Act},
    jsonapi::{ApiError, ErrorCode, JsonApiBody, JsonApiResponse},
    medias::MediaResource,
    resource::{
        document::{Many, One, resource_object},
        query::{ListQuery, View},
        query_string::refuse_parameters,
    },
};

mod document;
mod event_stream;
pub(crate) mod events;
mod fields;

use document::{JobChangeDocument, NewJobAttributes, NewJobDocument, ScheduledAt, SignalDocument};
use event_stream::EventStreamResponse;
use events::JobWatch;
pub(crate) use fields::JobResource;

/// The years that a job can be scheduled in: those that RFC 3339 can write.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;
/// The most retries that a client can ask for.
const MAX_RETRIES: i32 = 100;
/// How often a silent event stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The longest that an event stream goes on, for a caller whose token ends later.
const LONGEST_STREAM: Duration = Duration::from_hours(24);

/// The operations on jobs.
pub(crate) struct JobsApi {
    services: Services,
    watch: Arc<JobWatch>,
    shutdown: CancellationToken,
    user_max_priority: Priority,
}

#[derive(ApiResponse)]
enum CreateResponse {
    /// The job was entered.
    #[oai(status = 201)]
    Created(
        JsonApiResponse<One<JobResource>>,
        /// Where the job is.
        #[oai(header = "Location")]
        String,
    ),
    /// An unfinished job holds the same unicity: this one. `meta.deduplicated` is true.
    #[oai(status = 200)]
    Existing(JsonApiResponse<One<JobResource>>),
}

#[derive(ApiResponse)]
enum JobResponse {
    /// The job.
    #[oai(status = 200)]
    Job(JsonApiResponse<One<JobResource>>),
}

#[derive(ApiResponse)]
enum SignalResponse {
    /// The job has obeyed.
    #[oai(status = 200)]
    Done(JsonApiResponse<One<JobResource>>),
    /// The job runs; it obeys within two seconds.
    #[oai(status = 202)]
    Requested(JsonApiResponse<One<JobResource>>),
}

#[derive(ApiResponse)]
enum ListResponse {
    /// A page of the list.
    #[oai(status = 200)]
    Page(JsonApiResponse<Many<JobResource>>),
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
        refuse_parameters(request)?;
        if body.0.data.id.is_some() {
            return Err(ApiError::at_pointer(
                ErrorCode::Forbidden,
                "/data/id",
                "must not be given: the service names its jobs itself",
            ));
        }
        let caller = caller_of(request);
        let max_priority = self.max_priority(caller);
        let (job, path) = new_job(body.0.data.attributes, caller, max_priority)?;
        let medias = &self.services.medias;
        let condition = WritePrecondition::default();
        medias
            .check_place(&path, job.for_whom(), &condition)
            .await?;
        match self.services.jobs.create(job).await.map_err(refused)? {
            Created::New(job) => {
                self.wake_for(&job);
                let location = format!("/jobs/{}", job.id);
                Ok(CreateResponse::Created(document(&job), location))
            }
            Created::Existing(job) => {
                let document = One::new(&job, &View::full(), Vec::new());
                let document = document.with_meta(json!({ "deduplicated": true }));
                Ok(CreateResponse::Existing(JsonApiResponse(document)))
            }
        }
    }

    /// List jobs.
    ///
    /// A page at a time, in the order of creation unless `sort` says otherwise.
    #[oai(path = "/jobs", method = "get", operation_id = "listJobs")]
    async fn list(&self, request: &Request) -> Result<ListResponse, ApiError> {
        let sight = caller_of(request).sees()?;
        let query = ListQuery::<JobResource>::of(request)?;
        let page = self.services.jobs.list(query.request(&sight)?).await?;
        let included = self.included(&query.view, &page.items, &sight).await?;
        let document = Many::new(&page, &query, included);
        Ok(ListResponse::Page(JsonApiResponse(document)))
    }

    /// Show a job.
    #[oai(path = "/jobs/:resource_id", method = "get", operation_id = "showJob")]
    async fn show(
        &self,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
    ) -> Result<JobResponse, ApiError> {
        let sight = caller_of(request).sees()?;
        let view = View::of(request)?;
        let job = self.find(&resource_id, &sight).await?;
        let shown = std::slice::from_ref(&job);
        let included = self.included(&view, shown, &sight).await?;
        let document = One::new(&job, &view, included);
        Ok(JobResponse::Job(JsonApiResponse(document)))
    }

    /// Change a job that waits.
    ///
    /// Its priority, and when it may start. A job that runs or has ended cannot be changed.
    #[oai(
        path = "/jobs/:resource_id",
        method = "patch",
        operation_id = "changeJob"
    )]
    async fn change(
        &self,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
        body: JsonApiBody<JobChangeDocument>,
    ) -> Result<JobResponse, ApiError> {
        refuse_parameters(request)?;
        let id = self.find_own(request, &resource_id).await?;
        let max_priority = self.max_priority(caller_of(request));
        let change = checked_change(id, body.0, max_priority)?;
        let jobs = &self.services.jobs;
        let job = jobs.reschedule(id, change).await.map_err(refused)?;
        self.wake_for(&job);
        Ok(JobResponse::Job(document(&job)))
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
        refuse_parameters(request)?;
        let id = self.find_own(request, &resource_id).await?;
        if self.services.jobs.delete(id).await? {
            audit::note(Act::DeleteJob, id, caller_of(request));
            Ok(DeleteResponse::Deleted)
        } else {
            Err(no_such_job())
        }
    }

    /// Signal a job.
    ///
    /// `cancel` ends it, `pause` holds it, `resume` lets it go on, `retry` starts an ended one anew.
    /// A signal that the job's status does not allow is a conflict.
    #[oai(
        path = "/jobs/:resource_id/signal",
        method = "post",
        operation_id = "signalJob"
    )]
    async fn signal(
        &self,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
        body: JsonApiBody<SignalDocument>,
    ) -> Result<SignalResponse, ApiError> {
        refuse_parameters(request)?;
        let id = self.find_own(request, &resource_id).await?;
        let signal = body.0.data.attributes.signal.into();
        let jobs = &self.services.jobs;
        let signalled = jobs.signal(id, signal).await.map_err(refused)?;
        audit::note(Act::SignalJob(signal), id, caller_of(request));
        match signalled {
            Signalled::Done(job) => {
                self.wake_for(&job);
                Ok(SignalResponse::Done(document(&job)))
            }
            Signalled::Requested(job) => Ok(SignalResponse::Requested(document(&job))),
        }
    }

    /// Listen to a job.
    ///
    /// Server-sent events: `progress` with the job's document for each change, then one `end`.
    #[oai(
        path = "/jobs/:resource_id/events",
        method = "get",
        operation_id = "listenToJob"
    )]
    async fn events(
        &self,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
        /// The last event that the listener knows.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventStreamResponse, ApiError> {
        refuse_parameters(request)?;
        let job = self.find(&resource_id, &caller_of(request).sees()?).await?;
        let end = self.shutdown.clone();
        let events = events::events(&self.watch, &job, last_event_id.0, end);
        // Whoever still may can go on with a new token.
        let events = events.take_until(expiry(caller_of(request)));
        Ok(EventStreamResponse(SSE::new(events).keep_alive(KEEP_ALIVE)))
    }
}

impl JobsApi {
    /// The operations, on these services, until `shutdown`.
    pub(crate) fn new(
        services: Services,
        user_max_priority: Priority,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            watch: JobWatch::start(services.jobs.clone(), shutdown.clone()),
            services,
            shutdown,
            user_max_priority,
        }
    }

    /// The highest priority that a caller may give to a job.
    fn max_priority(&self, caller: &Caller) -> Priority {
        match caller {
            Caller::Known(Principal {
                role: Role::User, ..
            }) => self.user_max_priority,
            _ => Priority::HIGHEST,
        }
    }

    async fn find(&self, id: &str, sight: &Sight) -> Result<job::Model, ApiError> {
        let found = self.services.jobs.find_seen(job_id(id)?, sight).await?;
        found.ok_or_else(no_such_job)
    }

    /// Says that there is work, if a worker could run the job now.
    fn wake_for(&self, job: &job::Model) {
        if job.status == JobStatus::Pending {
            self.services.tickets.post(1);
        }
    }

    /// The job that a request changes, if it may. Whose a job is never changes, so this holds until
    /// the change is made.
    async fn find_own(&self, request: &Request, id: &str) -> Result<JobId, ApiError> {
        let reach = caller_of(request).reaches()?;
        let job = self.find(id, &reach.projects).await?;
        reach.allows(job.created_by.as_deref())?;
        Ok(job.id)
    }

    /// The media that these jobs made, where the view includes them.
    async fn included(
        &self,
        view: &View<JobResource>,
        jobs: &[job::Model],
        sight: &Sight,
    ) -> Result<Vec<Json>, ApiError> {
        if !view.include.contains(&"media") {
            return Ok(Vec::new());
        }
        let mut ids: Vec<_> = jobs.iter().filter_map(fields::media_of).collect();
        ids.sort();
        ids.dedup();
        let media_view = View::<MediaResource>::of_included(&view.other_fields)?;
        let medias = self.services.medias.find_all(ids, sight).await?;
        Ok(medias
            .iter()
            .map(|media| resource_object::<MediaResource>(media, &media_view))
            .collect())
    }
}

/// Ends when the caller's token does.
fn expiry(caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
    let left = match caller {
        Caller::Known(principal) => Some(principal.expires.saturating_sub(Utc::now().timestamp())),
        Caller::Trusted | Caller::Anonymous => None,
    };
    async move {
        match left {
            Some(left) => {
                let left = Duration::from_secs(left.max(0).unsigned_abs());
                sleep(left.min(LONGEST_STREAM)).await;
            }
            None => pending().await,
        }
    }
}

fn document(job: &job::Model) -> JsonApiResponse<One<JobResource>> {
    JsonApiResponse(One::new(job, &View::full(), Vec::new()))
}

fn job_id(text: &str) -> Result<JobId, ApiError> {
    Uuid::try_parse(text).map(JobId).map_err(|_| no_such_job())
}

fn no_such_job() -> ApiError {
    ApiError::not_found("there is no job with this id")
}

/// What is wrong with the attributes of a request.
struct Faults {
    found: Vec<(String, String)>,
    /// The highest priority that the caller may give.
    max_priority: Priority,
}

impl Faults {
    fn new(max_priority: Priority) -> Self {
        Self {
            found: Vec::new(),
            max_priority,
        }
    }

    fn add(&mut self, name: &str, detail: impl std::fmt::Display) {
        self.found.push((
            format!("/data/attributes/{name}"),
            format!("`{name}` {detail}"),
        ));
    }

    fn priority(&mut self, number: i64) -> Priority {
        let allowed = Priority::new(number).filter(|priority| *priority <= self.max_priority);
        allowed.unwrap_or_else(|| {
            let most = self.max_priority.get();
            self.add(
                "priority",
                format!("must be -100 to {most} for this caller"),
            );
            Priority::default()
        })
    }

    fn time(&mut self, name: &str, time: chrono::DateTime<chrono::Utc>) {
        if !YEARS.contains(&chrono::Datelike::year(&time)) {
            self.add(name, "must lie between 1970 and 9999");
        }
    }

    fn into_error(self) -> ApiError {
        ApiError::at_pointers(ErrorCode::InvalidValue, self.found)
    }
}

/// Checks all attributes and reports all that is wrong with them at once.
fn new_job(
    attributes: NewJobAttributes,
    caller: &Caller,
    max_priority: Priority,
) -> Result<(NewJob, MediaPath), ApiError> {
    let mut faults = Faults::new(max_priority);
    if attributes.job_class != MediaImport::NAME {
        faults.add("job_class", format!("must be `{}`", MediaImport::NAME));
    }
    let priority = faults.priority(attributes.priority.unwrap_or_default());
    let unicity = attributes.unicity.as_deref().and_then(|text| {
        Unicity::new(text)
            .map_err(|reason| faults.add("unicity", reason))
            .ok()
    });
    if let Some(at) = attributes.scheduled_at {
        faults.time("scheduled_at", at);
    }
    let max_retries = attributes.max_retries.unwrap_or(MediaImport::MAX_RETRIES);
    if !(0..=MAX_RETRIES).contains(&max_retries) {
        faults.add("max_retries", format!("must be 0 to {MAX_RETRIES}"));
    }
    let belonging = match attributes.project_id.as_deref().map(Belonging::parse) {
        None => Belonging::Any,
        Some(Ok(belonging)) => belonging,
        Some(Err(reason)) => {
            faults.add("project_id", reason);
            Belonging::Any
        }
    };
    match ImportArguments::check(attributes.arguments.into()) {
        Ok(arguments) if faults.found.is_empty() => {
            let job = NewJob::new::<MediaImport>(&arguments)
                .map_err(|error| ApiError::internal("arguments", &error))?
                .priority(priority)
                .unicity(unicity)
                .scheduled_at(attributes.scheduled_at)
                .max_retries(max_retries)
                .creator(caller.creates(&belonging)?);
            Ok((job, arguments.path))
        }
        arguments => {
            for error in arguments.err().unwrap_or_default() {
                faults.add(&format!("arguments/{}", error.field), error.reason);
            }
            Err(faults.into_error())
        }
    }
}

fn checked_change(
    id: JobId,
    document: JobChangeDocument,
    max_priority: Priority,
) -> Result<Reschedule, ApiError> {
    if document.data.id != id.0 {
        return Err(ApiError::at_pointer(
            ErrorCode::Conflict,
            "/data/id",
            "must be the id in the path",
        ));
    }
    let attributes = document.data.attributes.unwrap_or_default();
    let mut faults = Faults::new(max_priority);
    let change = Reschedule {
        priority: attributes.priority.map(|number| faults.priority(number)),
        scheduled_at: match attributes.scheduled_at {
            None | Some(ScheduledAt::Undefined) => None,
            Some(ScheduledAt::Null) => Some(None),
            Some(ScheduledAt::Value(at)) => {
                faults.time("scheduled_at", at);
                Some(Some(media_shared::clock::to_micros(at)))
            }
        },
    };
    if faults.found.is_empty() {
        Ok(change)
    } else {
        Err(faults.into_error())
    }
}

fn refused(error: LedgerError) -> ApiError {
    match error {
        LedgerError::NotFound => no_such_job(),
        LedgerError::SignalRefused { .. }
        | LedgerError::NotWaiting { .. }
        | LedgerError::UnicityTaken
        | LedgerError::LeaseLost => ApiError::new(ErrorCode::Conflict, error.to_string()),
        LedgerError::SecretsRemoved => ApiError::new(ErrorCode::SecretsRemoved, error.to_string()),
        LedgerError::Denied(denied) => denied.into(),
        LedgerError::TooManyOpen { .. } => ApiError::new(
            ErrorCode::TooManyJobs,
            format!("{error}; wait until some have ended, or cancel some"),
        )
        .with_header(header::RETRY_AFTER, "60"),
        LedgerError::Database(error) => error.into(),
        LedgerError::BlobLost => ApiError::internal("ledger", &error),
    }
}
