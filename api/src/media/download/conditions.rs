//! The conditions and the range of a download (RFC 9110 §13, §14).

use std::ops::Range;

use media_shared::entities::media;
use parse_net::{
    ByteRange, Limits, RangeOutcome,
    date::{HttpDate, http_date},
    etag::{self, EntityTag},
    range::{self, IfRange, parse_if_range},
};
use poem::http::{HeaderMap, HeaderName, Method, header};

use crate::media::headers::{self, field};

/// The part of a media that the conditions and the range of a request select.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    Part(Range<u64>),
    NotModified,
    PreconditionFailed,
    OutOfRange,
}

/// Evaluates the conditions in the order of RFC 9110 §13.2.2, then the range.
pub(super) fn evaluate_conditions(
    headers: &HeaderMap,
    media: &media::Model,
    size: u64,
    method: &Method,
) -> Selection {
    let opaque = media.sha256.as_bytes();
    // Hexadecimal digits are always a valid tag.
    let Ok(current) = EntityTag::strong(opaque) else {
        return Selection::Whole;
    };
    let modified = headers::last_modified(media);
    if let Some(value) = field(headers, &header::IF_MATCH) {
        if !etag::if_match(&value, Some(&current)).unwrap_or(false) {
            return Selection::PreconditionFailed;
        }
    } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && modified.is_some_and(|modified| modified.unix() > since.unix())
    {
        return Selection::PreconditionFailed;
    }
    if let Some(value) = field(headers, &header::IF_NONE_MATCH) {
        if etag::if_none_match(&value, &current).unwrap_or(false) {
            return Selection::NotModified;
        }
    } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
        && modified.is_some_and(|modified| modified.unix() <= since.unix())
    {
        return Selection::NotModified;
    }
    // Range is defined for GET alone (RFC 9110 §14.2).
    match field(headers, &header::RANGE) {
        Some(value) if method == Method::GET && if_range_holds(headers, &current) => {
            parse_range(&value, size)
        }
        _ => Selection::Whole,
    }
}

/// Whether `If-Range` holds. A date never does: the media may have changed twice within its second (RFC 9110 §13.1.5,
/// §8.8.2.2).
fn if_range_holds(headers: &HeaderMap, current: &EntityTag<'_>) -> bool {
    match field(headers, &header::IF_RANGE)
        .as_deref()
        .map(parse_if_range)
    {
        None => true,
        Some(Ok(IfRange::Tag(tag))) => tag.strong_eq(current),
        Some(_) => false,
    }
}

/// The range of a request for a media of `size` bytes, if the answer is partial.
#[cfg(feature = "fuzzing")]
pub(crate) fn range_of(value: &[u8], size: u64) -> Option<Range<u64>> {
    match parse_range(value, size) {
        Selection::Part(range) => Some(range),
        _ => None,
    }
}

/// Parses a range. Several ranges, or an invalid one, select the whole media (RFC 9110 §14.2).
fn parse_range(value: &[u8], size: u64) -> Selection {
    let mut ranges = [ByteRange { start: 0, end: 0 }; 2];
    let Ok(parsed) = range::parse(value, &Limits::DEFAULT) else {
        return Selection::Whole;
    };
    if !parsed.is_bytes() || parsed.len() != 1 {
        return Selection::Whole;
    }
    match range::resolve(&parsed, size, true, &Limits::DEFAULT, &mut ranges) {
        RangeOutcome::Ranges(1) => Selection::Part(ranges[0].start..ranges[0].end + 1),
        RangeOutcome::Unsatisfiable => Selection::OutOfRange,
        _ => Selection::Whole,
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<HttpDate> {
    field(headers, name).and_then(|value| http_date(&value).ok())
}
