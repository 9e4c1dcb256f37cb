//! Authentication: verifies the token of every request, and puts the [`Caller`] into the request.

use std::{convert::Infallible, future::pending, sync::Arc};

use media_domain::caller::Caller;
use media_services::config::{AuthenticationConfig, TokenKeys};
use poem::{
    Endpoint, Request, Result,
    http::{HeaderMap, header},
};

use crate::{
    caller::CHALLENGE,
    jsonapi::{ApiError, ErrorCode},
    routes::{CallerRule, MatchedRoute},
};

mod key_set;
mod published_keys;
mod signature_algorithms;
mod token_verifier;

use published_keys::JwksRefresher;
use token_verifier::{TokenError, TokenVerifier};

/// Identifies the callers of requests.
#[derive(Clone)]
pub(crate) struct Authentication(Option<Arc<TokenVerifier>>);

/// Refreshes the published keys, if tokens are verified with any.
pub(crate) struct JwksRefreshTask(Option<JwksRefresher>);

impl Authentication {
    /// Creates the authentication that is configured. Published keys are fetched once before this returns; if
    /// that fails, the task fetches them later.
    pub(crate) async fn open(
        config: Option<&AuthenticationConfig>,
    ) -> std::io::Result<(Self, JwksRefreshTask)> {
        let Some(config) = config else {
            tracing::warn!(
                "there is no authentication: every client of this service may do everything"
            );
            return Ok((Self(None), JwksRefreshTask(None)));
        };
        signature_algorithms::install();
        let (verifier, refresher) = match &config.keys {
            TokenKeys::Secret(secret) => {
                tracing::info!("tokens are verified with MEDIA_JWT_SECRET");
                (TokenVerifier::with_secret(config, secret), None)
            }
            TokenKeys::Published { url, algorithms } => {
                tracing::info!("tokens are verified with the keys of MEDIA_JWKS_URL");
                let (keys, mut refresher) = published_keys::open(url, algorithms)?;
                refresher.refresh().await;
                (TokenVerifier::with_published(config, keys), Some(refresher))
            }
        };
        Ok((Self(Some(Arc::new(verifier))), JwksRefreshTask(refresher)))
    }

    /// Whether callers are authenticated.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    async fn caller(&self, request: &Request) -> Result<Caller, ApiError> {
        let Some(verifier) = &self.0 else {
            return Ok(Caller::Unrestricted);
        };
        let rule = MatchedRoute::from_request(request).caller();
        if rule == CallerRule::Public {
            return Ok(Caller::Anonymous);
        }
        match (bearer_token(request.headers())?, rule) {
            (Some(token), _) => match verifier.verify(token).await {
                Ok(principal) => Ok(Caller::Authenticated(principal)),
                Err(TokenError::Invalid(detail)) => Err(invalid(detail)),
                Err(TokenError::NoKeys) => Err(ApiError::unavailable(
                    "the keys that verify tokens are not available yet",
                )),
            },
            (None, CallerRule::Required) => Err(unauthenticated(
                "this needs a token: send it as `Authorization: Bearer …`",
            )),
            (None, _) => Ok(Caller::Anonymous),
        }
    }
}

impl JwksRefreshTask {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) -> Infallible {
        match self.0 {
            Some(refresher) => refresher.run().await,
            None => pending().await,
        }
    }
}

/// The token in the `Authorization` header (RFC 6750 §2.1), the only place where tokens are accepted.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("there is more than one Authorization header"));
    }
    let value = value
        .to_str()
        .map_err(|_| invalid("the Authorization header has bytes that are no text"))?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => Ok(Some(token.trim())),
        _ => Err(unauthenticated(
            "the Authorization header must be `Bearer` and a token",
        )),
    }
}

/// A request without credentials gets a challenge without an error code (RFC 6750 §3.1).
fn unauthenticated(detail: &str) -> ApiError {
    ApiError::at_header(ErrorCode::Unauthenticated, "Authorization", detail)
        .with_header(header::WWW_AUTHENTICATE, CHALLENGE)
}

/// The detail must not contain quotes or backslashes (RFC 6750 §3).
fn invalid(detail: &str) -> ApiError {
    tracing::debug!(detail, "a token was refused");
    let challenge = format!("{CHALLENGE}, error=\"invalid_token\", error_description=\"{detail}\"");
    ApiError::at_header(ErrorCode::InvalidToken, "Authorization", detail)
        .with_header(header::WWW_AUTHENTICATE, challenge)
}

/// Authenticates the caller of a request, and puts it into the request's extensions.
pub(crate) async fn authenticate<E: Endpoint>(
    endpoint: Arc<E>,
    mut request: Request,
    authentication: Authentication,
) -> Result<E::Output> {
    let caller = authentication.caller(&request).await?;
    request.extensions_mut().insert(caller);
    endpoint.call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::AUTHORIZATION,
                header::HeaderValue::from_bytes(value).unwrap(),
            );
        }
        match bearer_token(&headers) {
            Ok(token) => Ok(token.map(ToOwned::to_owned)),
            Err(error) if error.to_string().starts_with("invalid_token") => Err("invalid"),
            Err(error) => {
                assert!(error.to_string().starts_with("unauthenticated"), "{error}");
                Err("unauthenticated")
            }
        }
    }

    #[test]
    fn a_token_is_read_from_a_single_header() {
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[b"Bearer a.b.c"]), Ok(Some("a.b.c".to_owned())));
        assert_eq!(found(&[b"bEARER  a.b.c "]), Ok(Some("a.b.c".to_owned())));
        assert_eq!(found(&[b"Bearer a", b"Bearer a"]), Err("invalid"));
        assert_eq!(found(&[b"Bearer \xff"]), Err("invalid"));
        for other in [&b""[..], b"Bearer", b"Basic dTpw", b"Bearera.b.c", b"a.b.c"] {
            assert_eq!(found(&[other]), Err("unauthenticated"));
        }
    }
}
