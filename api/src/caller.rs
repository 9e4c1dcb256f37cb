//! Extractors of the caller of a request. Each checks the access that its name states, and declares the security
//! scheme.

use std::ops::Deref;

use media_domain::{
    caller::Caller,
    permissions::{Denied, MediaReadScope, ReadScope, WriteScope},
};
use poem::{Request, RequestBody, Result, http::header};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::jsonapi::{ApiError, ErrorCode};

/// The challenge of responses to requests without valid credentials (RFC 6750 §3).
pub(crate) const CHALLENGE: &str = "Bearer realm=\"media\"";
/// The name of the security scheme in the OpenAPI document.
pub(crate) const SECURITY_SCHEME: &str = "token";

/// A caller that may read.
pub(crate) struct ReadCaller {
    caller: Caller,
    /// The projects that it may read.
    pub(crate) scope: ReadScope,
}

/// A caller that may write.
pub(crate) struct WriteCaller {
    caller: Caller,
    /// The projects and owners whose resources it may change.
    pub(crate) reach: WriteScope,
}

/// A caller that may be anonymous.
pub(crate) struct MaybeCaller {
    caller: Caller,
    /// The media that it may read one at a time.
    pub(crate) scope: MediaReadScope,
}

/// The caller that authentication has put into a request; anonymous if there is none.
pub(crate) fn caller_of(request: &Request) -> &Caller {
    request
        .extensions()
        .get::<Caller>()
        .unwrap_or(&Caller::Anonymous)
}

impl TryFrom<&Caller> for ReadCaller {
    type Error = Denied;

    fn try_from(caller: &Caller) -> Result<Self, Denied> {
        Ok(Self {
            scope: caller.read_scope()?,
            caller: caller.clone(),
        })
    }
}

impl TryFrom<&Caller> for WriteCaller {
    type Error = Denied;

    fn try_from(caller: &Caller) -> Result<Self, Denied> {
        Ok(Self {
            reach: caller.write_scope()?,
            caller: caller.clone(),
        })
    }
}

impl TryFrom<&Caller> for MaybeCaller {
    type Error = Denied;

    fn try_from(caller: &Caller) -> Result<Self, Denied> {
        Ok(Self {
            scope: caller.media_read_scope(),
            caller: caller.clone(),
        })
    }
}

/// Implements an extractor for a type with `TryFrom<&Caller>`; `optional` states whether it accepts anonymous callers.
macro_rules! caller_extractor {
    ($name:ident, optional: $optional:literal) => {
        impl Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.caller
            }
        }

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                registry.create_security_scheme(SECURITY_SCHEME, security_scheme());
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![SECURITY_SCHEME]
            }

            fn has_security_fallback() -> bool {
                $optional
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> Result<Self> {
                Ok(Self::try_from(caller_of(request)).map_err(ApiError::from)?)
            }
        }
    };
}

caller_extractor!(ReadCaller, optional: false);
caller_extractor!(WriteCaller, optional: false);
caller_extractor!(MaybeCaller, optional: true);

fn security_scheme() -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "http",
        description: Some("A JSON Web Token that names the caller"),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: Some("JWT"),
        flows: None,
        openid_connect_url: None,
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            // RFC 6750 §3: without credentials, no reason is given.
            Denied::Unauthenticated => Self::new(ErrorCode::Unauthenticated, detail)
                .with_header(header::WWW_AUTHENTICATE, CHALLENGE),
            Denied::Scope(scope) => Self::new(ErrorCode::InsufficientScope, detail).with_header(
                header::WWW_AUTHENTICATE,
                format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\""),
            ),
            Denied::WhichProject => Self::new(ErrorCode::InvalidValue, detail),
            Denied::NoProject
            | Denied::ForeignProject
            | Denied::NoProjects
            | Denied::NotAdmin
            | Denied::NotOwn => Self::new(ErrorCode::Forbidden, detail),
        }
    }
}
