//! The parameters that lists share.

use media_shared::page::{PageRequest, PageSize, PageStart};
use poem::Request;
use url::form_urlencoded;
use uuid::Uuid;

use crate::jsonapi::{ApiError, ErrorCode};

/// The parameters of a list that has no filters.
pub const LIST_PARAMETERS: [&str; 4] = ["page[number]", "page[size]", "page[after]", "count"];

/// Refuses a query with a parameter that is not among `known`: a misspelt one would otherwise be
/// passed over in silence.
pub fn refuse_unknown_parameters(request: &Request, known: &[&str]) -> Result<(), ApiError> {
    let query = request.uri().query().unwrap_or_default();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        if !known.contains(&name.as_ref()) {
            return Err(ApiError::at_parameter(
                ErrorCode::UnknownParameter,
                name,
                "this path does not know the parameter; see /docs",
            ));
        }
    }
    Ok(())
}

/// What part of the list the parameters ask for.
pub fn page_request(
    number: Option<u32>,
    size: Option<u32>,
    after: Option<&str>,
    count: Option<bool>,
) -> Result<PageRequest, ApiError> {
    let invalid = |parameter: &str, detail: &str| {
        ApiError::at_parameter(ErrorCode::InvalidValue, parameter, detail)
    };
    let size = match size {
        None => PageSize::MAX,
        Some(size) => PageSize::new(u64::from(size))
            .ok_or_else(|| invalid("page[size]", "must be 1 to 1000"))?,
    };
    let start = match (number, after) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "page[after]",
                "cannot be used together with page[number]",
            ));
        }
        (Some(0), None) => return Err(invalid("page[number]", "must be 1 or more")),
        (Some(number), None) => PageStart::Number(u64::from(number)),
        (None, None) => PageStart::Number(1),
        (None, Some(after)) => PageStart::After(
            Uuid::try_parse(after)
                .map_err(|_| invalid("page[after]", "must be taken from a link `next`"))?,
        ),
    };
    Ok(PageRequest {
        size,
        start,
        count: count.unwrap_or(false),
    })
}
