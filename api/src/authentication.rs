//! Who makes a request: looks at the token of every request, and hands on a [`Caller`].

use std::{convert::Infallible, future::pending, sync::Arc};

use media_domain::caller::Caller;
use media_services::config::{AuthenticationConfig, TokenKeys};
use poem::{
    Endpoint, Request, Result,
    http::{HeaderMap, header},
};

use crate::{
    jsonapi::{ApiError, ErrorCode},
    routes::{CallerRule, MatchedRoute},
};

mod key_set;
mod published_keys;
mod signatures;
mod token;

use published_keys::KeyRefresh;
use token::{Refusal, TokenVerifier};

/// Finds out who makes a request.
#[derive(Clone)]
pub(crate) struct Authentication(Option<Arc<TokenVerifier>>);

/// What keeps the keys fresh as long as it runs.
pub(crate) struct KeyUpkeep(Option<KeyRefresh>);

impl Authentication {
    /// As configured. Keys that a server publishes are asked for once before this returns; the server
    /// may be away.
    pub(crate) async fn open(
        config: Option<&AuthenticationConfig>,
    ) -> std::io::Result<(Self, KeyUpkeep)> {
        let Some(config) = config else {
            tracing::warn!("there is no authentication: whoever reaches this service may do all");
            return Ok((Self(None), KeyUpkeep(None)));
        };
        signatures::install();
        let (verifier, refresh) = match &config.keys {
            TokenKeys::Secret(secret) => {
                tracing::info!("callers are known by tokens signed with MEDIA_JWT_SECRET");
                (TokenVerifier::with_secret(config, secret), None)
            }
            TokenKeys::Published { url, algorithms } => {
                tracing::info!(
                    "callers are known by tokens signed with the keys of MEDIA_JWKS_URL"
                );
                let (keys, mut refresh) = published_keys::open(url, algorithms)?;
                refresh.refresh().await;
                (TokenVerifier::with_published(config, keys), Some(refresh))
            }
        };
        Ok((Self(Some(Arc::new(verifier))), KeyUpkeep(refresh)))
    }

    /// Whether there is any.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    async fn caller(&self, request: &Request) -> Result<Caller, ApiError> {
        let Some(verifier) = &self.0 else {
            return Ok(Caller::Unrestricted);
        };
        let rule = MatchedRoute::from_request(request).caller();
        if rule == CallerRule::Anybody {
            return Ok(Caller::Anonymous);
        }
        match (token(request.headers())?, rule) {
            (Some(token), _) => match verifier.verify(token).await {
                Ok(principal) => Ok(Caller::Authenticated(principal)),
                Err(Refusal::Invalid(detail)) => Err(invalid(detail)),
                Err(Refusal::NoKeys) => Err(ApiError::new(
                    ErrorCode::Unavailable,
                    "the keys that tokens are checked with are not there yet; try again in a moment",
                )
                .with_header(header::RETRY_AFTER, "1")),
            },
            (None, CallerRule::Required) => Err(unauthenticated(
                "this needs a token: send it as `Authorization: Bearer …`",
            )),
            (None, _) => Ok(Caller::Anonymous),
        }
    }
}

impl KeyUpkeep {
    /// Runs for good; whoever drops it ends it.
    pub(crate) async fn run(self) -> Infallible {
        match self.0 {
            Some(refresh) => refresh.run().await,
            None => pending().await,
        }
    }
}

/// The token of a request (RFC 6750 §2.1); in no other place is one looked for.
fn token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("there is more than one header Authorization"));
    }
    let value = value
        .to_str()
        .map_err(|_| invalid("the header Authorization has bytes that are no text"))?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => Ok(Some(token.trim())),
        _ => Err(unauthenticated(
            "the header Authorization must be `Bearer` and a token",
        )),
    }
}

/// RFC 6750 §3.1: whoever sent no token is told no more than that one is needed.
fn unauthenticated(detail: &str) -> ApiError {
    ApiError::at_header(ErrorCode::Unauthenticated, "Authorization", detail)
        .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"media\"")
}

/// The detail has no quotes and no backslashes (RFC 6750 §3).
fn invalid(detail: &str) -> ApiError {
    tracing::debug!(detail, "a token was refused");
    let challenge =
        format!("Bearer realm=\"media\", error=\"invalid_token\", error_description=\"{detail}\"");
    ApiError::at_header(ErrorCode::InvalidToken, "Authorization", detail)
        .with_header(header::WWW_AUTHENTICATE, challenge)
}

/// Authenticates the caller of a request, for everything beneath.
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
        match token(&headers) {
            Ok(token) => Ok(token.map(ToOwned::to_owned)),
            Err(error) if error.to_string().starts_with("invalid_token") => Err("invalid"),
            Err(error) => {
                assert!(error.to_string().starts_with("unauthenticated"), "{error}");
                Err("unauthenticated")
            }
        }
    }

    #[test]
    fn a_token_comes_in_one_header_alone() {
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
