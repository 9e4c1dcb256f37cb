//! How much the head of a request may weigh.

use poem::{Endpoint, Middleware, Request, Result, http::header};

use crate::jsonapi::{ApiError, ErrorCode};

/// The most bytes of a path and query.
const MAX_TARGET_BYTES: usize = 16 * 1024;
/// The most bytes of all names and values of headers, but for the token, which has a limit of its own.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Refuses heads that are too large.
pub(crate) struct RequestHead;

impl<E: Endpoint> Middleware<E> for RequestHead {
    type Output = HeadEndpoint<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        HeadEndpoint(endpoint)
    }
}

/// An endpoint that gets no heads that are too large.
pub(crate) struct HeadEndpoint<E>(E);

impl<E: Endpoint> Endpoint for HeadEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        judge(&request)?;
        self.0.call(request).await
    }
}

fn judge(request: &Request) -> Result<(), ApiError> {
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        return Err(ApiError::new(
            ErrorCode::UriTooLong,
            format!("path and query are longer than {MAX_TARGET_BYTES} bytes"),
        ));
    }
    let headers = request.headers().iter();
    let weight: usize = headers
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if weight > MAX_HEADER_BYTES {
        return Err(ApiError::new(
            ErrorCode::HeadersTooLarge,
            format!("the headers are larger than {MAX_HEADER_BYTES} bytes"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_a_largest_size() {
        let with = |target: usize, header: usize| {
            let path = format!("/{}", "a".repeat(target - 1));
            let request = Request::builder().uri_str(path);
            judge(&request.header("x", "a".repeat(header - 1)).finish())
        };
        assert_eq!(with(MAX_TARGET_BYTES, MAX_HEADER_BYTES), Ok(()));
        assert!(with(MAX_TARGET_BYTES + 1, 1).is_err());
        assert!(with(1, MAX_HEADER_BYTES + 1).is_err());
    }
}
