//! Lists of jobs and media, page by page.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{ApiClient, ClientError, Resource};

/// The largest page that the service sends.
const MAX_PAGE_SIZE: usize = 1000;

/// A query of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    /// The parameters of the query, such as `filter[status]`.
    pub(crate) parameters: Vec<(String, String)>,
    /// The most items to read.
    pub(crate) limit: usize,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Resource>,
    #[serde(default)]
    links: Value,
    #[serde(default)]
    meta: Value,
}

impl ApiClient {
    /// Reads a list, `jobs` or `medias`, and gives each item to `write`. Returns whether there are more items than
    /// the limit.
    pub(crate) async fn list(
        &self,
        name: &str,
        query: &ListQuery,
        mut write: impl FnMut(Resource),
    ) -> Result<bool, ClientError> {
        let mut left = query.limit;
        let mut parameters = query.parameters.clone();
        // One more item than the limit shows whether there are more.
        let size = MAX_PAGE_SIZE.min(left.saturating_add(1));
        parameters.push(("page[size]".to_owned(), size.to_string()));
        loop {
            let page = self.page(name, &parameters).await?;
            for item in page.data {
                if left == 0 {
                    return Ok(true);
                }
                left -= 1;
                write(item);
            }
            let Some(next) = page.links["next"].as_str() else {
                return Ok(false);
            };
            parameters = query_of(&self.base, next);
        }
    }

    /// Counts the items of a list.
    pub(crate) async fn count(&self, name: &str, query: &ListQuery) -> Result<u64, ClientError> {
        let mut parameters = query.parameters.clone();
        parameters.push(("count".to_owned(), "true".to_owned()));
        parameters.push(("page[size]".to_owned(), "1".to_owned()));
        let page = self.page(name, &parameters).await?;
        Ok(page.meta["count"].as_u64().unwrap_or_default())
    }

    async fn page(&self, name: &str, parameters: &[(String, String)]) -> Result<Page, ClientError> {
        let request = self.request(Method::GET, &[name])?;
        self.document(request.query(parameters)).await
    }
}

/// The parameters in a link. Its host and path may be those of a proxy before the service.
fn query_of(base: &Url, link: &str) -> Vec<(String, String)> {
    base.join(link)
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}
