//! Conditions that requests make on the media that they write.

use media_domain::media::WritePrecondition;
use poem::{Request, http::header};

use super::headers::field;

/// The condition in the headers of a request.
pub(super) fn write_precondition(request: &Request) -> WritePrecondition {
    let value = |name| field(request.headers(), &name);
    WritePrecondition::new(value(header::IF_MATCH), value(header::IF_NONE_MATCH))
}
