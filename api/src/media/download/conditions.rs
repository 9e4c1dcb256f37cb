//! The conditions and the range of a download (RFC 9110 §13, §14).

use std::ops::Range;

use media_database::entities::media;
use parse_net::{
    ByteRange, Limits, RangeOutcome,
    etag::EntityTag,
    range::{self, IfRange, parse_if_range},
};
use poem::http::{HeaderMap, Method, header};

use crate::media::{
    headers::{self, field},
    read_condition::ReadCondition,
};

/// The part of a media that the conditions and the range of a request select.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    Part(Range<u64>),
    NotModified,
    PreconditionFailed,
    OutOfRange,
}

/// Evaluates the conditions, then the range.
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
    match ReadCondition::evaluate(headers, &current, headers::last_modified(media)) {
        ReadCondition::Failed => return Selection::PreconditionFailed,
        ReadCondition::NotModified => return Selection::NotModified,
        ReadCondition::Holds => {}
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
