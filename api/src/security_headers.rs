//! What every answer tells browsers and caches, unless it says something else itself.

use poem::{
    Endpoint, IntoResponse, Middleware, Request, Response, Result,
    http::{HeaderName, HeaderValue, header},
};

/// Where answers are pages with scripts of their own.
const PAGE: &str = "/docs";
/// Of the page: its scripts and styles stand in it, and it asks this service alone.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
);
/// Of documents: nothing in them is to run, and nobody shows them in a frame.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// What a cache may keep that says nothing of it itself.
const CACHE: HeaderValue = HeaderValue::from_static("no-store");

/// Where media are, which pages of other sites may show if they are public or a link is signed.
const MEDIA: &str = "/medias/files/";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds what is missing.
pub(crate) struct SecurityHeaders {
    /// Whether callers are known by tokens. Otherwise media are for this machine alone.
    pub(crate) guarded: bool,
}

impl<E: Endpoint> Middleware<E> for SecurityHeaders {
    type Output = SecuredEndpoint<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        SecuredEndpoint {
            guarded: self.guarded,
            endpoint,
        }
    }
}

/// An endpoint whose answers tell browsers what to make of them.
pub(crate) struct SecuredEndpoint<E> {
    guarded: bool,
    endpoint: E,
}

impl<E: Endpoint> Endpoint for SecuredEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let policy = if request.uri().path() == PAGE {
            PAGE_POLICY
        } else {
            POLICY
        };
        let shown_anywhere = self.guarded && request.uri().path().starts_with(MEDIA);
        let resource_policy = if shown_anywhere {
            "cross-origin"
        } else {
            "same-origin"
        };
        let mut response = self.endpoint.call(request).await?.into_response();
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::CACHE_CONTROL, CACHE),
            (RESOURCE_POLICY, HeaderValue::from_static(resource_policy)),
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            ),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        ] {
            headers.entry(name).or_insert(value);
        }
        Ok(response)
    }
}
