//! The jobs that a command is about: ids, or filters.

use std::str::FromStr;

use uuid::Uuid;

use crate::{
    client::{ApiClient, ClientError, ListQuery},
    filters::Filter,
};

/// The id of a job, or a filter.
#[derive(Clone, Debug)]
pub(crate) enum JobSelector {
    /// The id of a job.
    Id(String),
    /// A condition on jobs.
    Filter(Filter),
}

impl FromStr for JobSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            return text.parse().map(Self::Filter);
        }
        Uuid::parse_str(text)
            .map(|id| Self::Id(id.to_string()))
            .map_err(|_| {
                "it is neither the id of a job nor a filter such as status=failed".to_owned()
            })
    }
}

/// Splits selectors into ids and filters.
pub(crate) fn split(selectors: Vec<JobSelector>) -> (Vec<String>, Vec<Filter>) {
    let (mut ids, mut filters) = (Vec::new(), Vec::new());
    for selector in selectors {
        match selector {
            JobSelector::Id(id) => ids.push(id),
            JobSelector::Filter(filter) => filters.push(filter),
        }
    }
    (ids, filters)
}

/// The ids of the selected jobs: those given, and those that match all filters.
pub(crate) async fn select_jobs(
    client: &ApiClient,
    selectors: Vec<JobSelector>,
) -> Result<Vec<String>, ClientError> {
    let (mut ids, filters) = split(selectors);
    if filters.is_empty() {
        return Ok(ids);
    }
    let mut parameters: Vec<_> = filters.iter().map(Filter::parameter).collect();
    parameters.push(("fields".to_owned(), "id".to_owned()));
    let query = ListQuery {
        parameters,
        limit: usize::MAX,
    };
    client.list("jobs", &query, |job| ids.push(job.id)).await?;
    Ok(ids)
}
