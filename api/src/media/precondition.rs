//! The preconditions of requests that write media.

use media_shared::media::WritePrecondition;
use poem::{Request, http::header};

use super::headers::field;

/// Reads the precondition from the headers of a request.
pub(super) fn write_precondition(request: &Request) -> WritePrecondition {
    let value = |name| field(request.headers(), &name);
    WritePrecondition::new(value(header::IF_MATCH), value(header::IF_NONE_MATCH))
}
