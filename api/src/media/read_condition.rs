//! The conditions of requests that read a media or its record (RFC 9110 §13).

use parse_net::{
    date::{HttpDate, http_date},
    etag::{self, EntityTag},
};
use poem::http::{HeaderMap, HeaderName, header};

use super::headers::field;

/// The result of the conditions of a request that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadCondition {
    /// They hold, or there are none.
    Holds,
    /// The client has the present state: 304.
    NotModified,
    /// 412.
    Failed,
}

impl ReadCondition {
    /// Evaluates the conditions in the order of RFC 9110 §13.2.2 against the present tag and time of change.
    pub(super) fn evaluate(
        headers: &HeaderMap,
        current: &EntityTag<'_>,
        modified: Option<HttpDate>,
    ) -> Self {
        if let Some(value) = field(headers, &header::IF_MATCH) {
            if !etag::if_match(&value, Some(current)).unwrap_or(false) {
                return Self::Failed;
            }
        } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
            && modified.is_some_and(|modified| modified.unix() > since.unix())
        {
            return Self::Failed;
        }
        if let Some(value) = field(headers, &header::IF_NONE_MATCH) {
            if etag::if_none_match(&value, current).unwrap_or(false) {
                return Self::NotModified;
            }
        } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
            && modified.is_some_and(|modified| modified.unix() <= since.unix())
        {
            return Self::NotModified;
        }
        Self::Holds
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<HttpDate> {
    field(headers, name).and_then(|value| http_date(&value).ok())
}
