//! Turns errors and panics into JSON:API error documents.

use std::{any::Any, sync::Arc};

use media_shared::telemetry::panic_message;
use poem::{Endpoint, IntoResponse, Request, Response, error::MethodNotAllowedError, http::header};

use crate::{jsonapi::ApiError, routes::RouteTable};

/// Answers every error with a document.
pub(crate) async fn answer_errors<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    routes: RouteTable,
) -> poem::Result<Response> {
    let path = request.uri().path().to_owned();
    match endpoint.call(request).await {
        Ok(output) => Ok(output.into_response()),
        Err(error) if error.is::<MethodNotAllowedError>() => {
            let error = ApiError::from_framework(&error);
            Ok(error
                .with_header(header::ALLOW, routes.allowed_methods(&path))
                .into_response())
        }
        Err(error) => Ok(ApiError::from_framework(&error).into_response()),
    }
}

/// Answers a panic with a document, and logs its message.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the signature that the framework requires"
)]
pub(crate) fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    ApiError::internal("panic", &panic_message(&*panic)).into_response()
}
