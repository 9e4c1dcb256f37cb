//! The caller of a request, and how a refusal by the rules in [`media_shared::access`] is answered.

use media_shared::{
    access::{Belonging, Denied},
    caller::Caller,
};
use poem::{Request, http::header};

use crate::{
    jsonapi::{ApiError, ErrorCode},
    resource::query_string::{QueryString, invalid},
};

/// Says of which project a path or something new is.
const PARAMETER: &str = "project_id";

/// Who makes a request: nobody in particular, where nothing has said who.
pub(crate) fn caller_of(request: &Request) -> &Caller {
    request
        .extensions()
        .get::<Caller>()
        .unwrap_or(&Caller::Anonymous)
}

/// Takes the project from a query; an empty one is none.
pub(crate) fn take_project(query: &mut QueryString) -> Result<Belonging, ApiError> {
    match query.take(PARAMETER)? {
        None => Ok(Belonging::Any),
        Some(text) => Belonging::parse(&text).map_err(|reason| invalid(PARAMETER, reason)),
    }
}

/// The project of a request whose query can say nothing else.
pub(crate) fn project_of(request: &Request) -> Result<Belonging, ApiError> {
    let mut query = QueryString::of(request);
    let belonging = take_project(&mut query)?;
    query.finish()?;
    Ok(belonging)
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            // RFC 6750 §3: without credentials, no reason is given.
            Denied::Unauthenticated => Self::new(ErrorCode::Unauthenticated, detail)
                .with_header(header::WWW_AUTHENTICATE, "Bearer"),
            Denied::Scope(scope) => Self::new(ErrorCode::InsufficientScope, detail).with_header(
                header::WWW_AUTHENTICATE,
                format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
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
