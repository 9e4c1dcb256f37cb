//! Requests on jobs.

use std::collections::HashMap;

use media_domain::{
    job::{IfExists, ImportArguments},
    media::MediaPath,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiClient, ClientError, Document, Job, Resource};

/// An import to request.
#[derive(Clone, Debug)]
pub(crate) struct NewImport {
    /// The checked arguments.
    pub(crate) arguments: ImportArguments,
    /// The URL as the user has written it.
    pub(crate) url: String,
    /// The most attempts after the first.
    pub(crate) max_retries: Option<i64>,
    /// The priority, -100 to 100.
    pub(crate) priority: Option<i64>,
    /// At most one unfinished job has a given value.
    pub(crate) unicity: Option<String>,
    /// The time before which the job does not start, in RFC 3339.
    pub(crate) scheduled_at: Option<String>,
    /// The project of the job and its media.
    pub(crate) project_id: Option<String>,
}

/// A job and, once it has succeeded, its media.
#[derive(Clone, Debug)]
pub(crate) struct JobSnapshot {
    /// The job.
    pub(crate) job: Job,
    /// The record of the media; none if it has been replaced or deleted since.
    pub(crate) media: Option<Value>,
}

impl NewImport {
    /// An import of a public media, without retries.
    pub(crate) fn public(url: &str, path: MediaPath) -> anyhow::Result<Self> {
        Ok(Self {
            arguments: ImportArguments {
                url: url.parse()?,
                path,
                filename: None,
                public: true,
                sha256: None,
                size: None,
                headers: None,
                max_bytes: None,
                accept_types: None,
                md5: None,
                meta: None,
                expires_at: None,
                if_exists: IfExists::default(),
            },
            url: url.to_owned(),
            max_retries: Some(0),
            priority: None,
            unicity: None,
            scheduled_at: None,
            project_id: None,
        })
    }
}

#[derive(Deserialize)]
struct JobPage {
    data: Vec<Job>,
    #[serde(default)]
    included: Vec<Value>,
}

impl ApiClient {
    /// Requests an import.
    pub(crate) async fn create_job(&self, import: &NewImport) -> Result<Job, ClientError> {
        let mut attributes = json!({
            "job_class": "media:import",
            "max_retries": import.max_retries,
            "priority": import.priority,
            "unicity": import.unicity,
            "scheduled_at": import.scheduled_at,
            "project_id": import.project_id,
            "arguments": import.arguments,
        });
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.retain(|_, value| !value.is_null());
        }
        let document = json!({ "data": { "type": "media:jobs", "attributes": attributes } });
        let request = self.request(Method::POST, &["jobs"])?.json(&document);
        let answer: Document<Job> = self.document(request).await?;
        Ok(answer.data)
    }

    /// Looks up a job.
    pub(crate) async fn job(&self, id: &str) -> Result<Resource, ClientError> {
        let request = self.request(Method::GET, &["jobs", id])?;
        let answer: Document<Resource> = self.document(request).await?;
        Ok(answer.data)
    }

    /// Looks up jobs and their media by the jobs' ids, at most 100. Jobs that do not exist are left out.
    pub(crate) async fn snapshots(
        &self,
        ids: &[String],
    ) -> Result<HashMap<String, JobSnapshot>, ClientError> {
        let request = self.request(Method::GET, &["jobs"])?;
        let query = [
            ("filter[id__in]", ids.join(",")),
            ("include", "media".to_owned()),
        ];
        let page: JobPage = self.document(request.query(&query)).await?;
        let mut media: HashMap<String, Value> = page
            .included
            .into_iter()
            .filter_map(|media| Some((media["id"].as_str()?.to_owned(), media)))
            .collect();
        let snapshot = |job: Job| {
            let media = job.media_id().and_then(|id| media.remove(id));
            (job.id.clone(), JobSnapshot { job, media })
        };
        Ok(page.data.into_iter().map(snapshot).collect())
    }

    /// Sends a signal to a job: `cancel`, `pause`, `resume` or `retry`.
    pub(crate) async fn signal(&self, id: &str, signal: &str) -> Result<Resource, ClientError> {
        let document =
            json!({ "data": { "type": "media:signals", "attributes": { "signal": signal } } });
        let request = self.request(Method::POST, &["jobs", id, "signal"])?;
        let answer: Document<Resource> = self.document(request.json(&document)).await?;
        Ok(answer.data)
    }

    /// Deletes a job.
    pub(crate) async fn delete_job(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["jobs", id])?;
        self.send(request.timeout(super::REQUEST_TIMEOUT)).await?;
        Ok(())
    }
}
