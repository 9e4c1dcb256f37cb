//! Counts requests, by the route that they fit.

use std::{sync::Arc, time::Instant};

use media_shared::metrics::{RequestGuard, figures};
use poem::{Endpoint, IntoResponse, Request, Response, Result, http::Method};

use crate::operation_paths::OperationPaths;

/// What is counted for a path that no route fits.
const NO_ROUTE: &str = "none";

/// Answers, and counts the answer.
pub(crate) async fn count<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    paths: OperationPaths,
) -> Result<Response> {
    let begun = Instant::now();
    let path = request.uri().path();
    let route = paths.template_of(path).or_else(|| document(path));
    let route = route.unwrap_or(NO_ROUTE).to_owned();
    let method = known(request.method());
    let under_way = RequestGuard::begin();
    let answer = endpoint
        .call(request)
        .await
        .map(IntoResponse::into_response);
    drop(under_way);
    let status = match &answer {
        Ok(response) => response.status(),
        Err(error) => error.status(),
    };
    figures().answered(method, &route, status.as_u16(), begun.elapsed());
    answer
}

/// The route of a page that describes the API.
fn document(path: &str) -> Option<&'static str> {
    ["/docs", "/openapi.json"]
        .into_iter()
        .find(|each| *each == path)
}

/// A method that routes know; clients may make up others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
