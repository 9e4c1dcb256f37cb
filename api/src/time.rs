//! Parses times in bodies and queries.

use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, Utc};
use media_domain::clock::to_micros;
use poem_openapi::types::MaybeUndefined;
use serde::{Deserialize as _, Deserializer, de::Error as _};

/// The years that RFC 3339 can write.
const YEARS: std::ops::RangeInclusive<i32> = 0..=9999;

/// Parses an RFC 3339 time, whose offset may lack its colon. The error states the fault.
pub(crate) fn parse(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let Ok(time) = text.trim().parse::<DateTime<FixedOffset>>() else {
        return Err(fault(text.trim()));
    };
    let time = to_micros(time.with_timezone(&Utc));
    YEARS
        .contains(&time.year())
        .then_some(time)
        .ok_or("must lie in the years 0000 to 9999")
}

/// Parses a time in a query, where an unescaped `+` has become a space.
pub(crate) fn parse_in_query(text: &str) -> Result<DateTime<Utc>, String> {
    let escaped = text.rsplit_once(' ').and_then(|(time, offset)| {
        let is_offset = offset.chars().all(|c| c.is_ascii_digit() || c == ':');
        (is_offset && time.contains([':', 'T'])).then(|| format!("{time}+{offset}"))
    });
    let read = escaped.as_deref().map_or(Err(""), parse);
    read.or_else(|_| parse(text)).map_err(str::to_owned)
}

fn fault(text: &str) -> &'static str {
    // `DateTime` accepts a space in the place of the `T`.
    let local = text.replacen(' ', "T", 1);
    let is_local = local.parse::<NaiveDateTime>().is_ok()
        || NaiveDateTime::parse_from_str(&local, "%Y-%m-%dT%H:%M").is_ok();
    if is_local {
        "has no time zone; add Z or an offset such as +02:00"
    } else if text.parse::<NaiveDate>().is_ok() {
        "has no time of day and no time zone; write it like 2030-01-31T12:00:00Z"
    } else {
        "must be an RFC 3339 time with a zone, such as 2030-01-31T12:00:00Z"
    }
}

/// Deserialises a time in a body, or null.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse(&text).map_err(D::Error::custom))
        .transpose()
}

/// Deserialises a present time in a body, or null.
pub(crate) fn deserialize_nullable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<MaybeUndefined<DateTime<Utc>>, D::Error> {
    Ok(match deserialize(deserializer)? {
        Some(time) => MaybeUndefined::Value(time),
        None => MaybeUndefined::Null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_queries_accept_the_same_times() {
        let noon = parse("2030-01-31T12:00:00Z").unwrap();
        for text in [
            "2030-01-31T14:00:00+02:00",
            "2030-01-31T14:00:00+0200",
            "2030-01-31T06:30:00-0530",
            "2030-01-31 12:00:00Z",
            "2030-01-31T12:00:00.000Z",
            "2030-01-31t12:00:00z",
            " 2030-01-31T12:00:00Z ",
        ] {
            assert_eq!(parse(text), Ok(noon), "{text}");
            assert_eq!(parse_in_query(text), Ok(noon), "{text}");
        }
        // A plus that was not escaped.
        for text in ["2030-01-31T14:00:00 02:00", "2030-01-31T14:00:00 0200"] {
            assert_eq!(parse_in_query(text), Ok(noon), "{text}");
        }
    }

    #[test]
    fn errors_state_the_fault_of_a_time() {
        for (text, part) in [
            ("2030-01-31T12:00:00", "no time zone"),
            ("2030-01-31T12:00:00.5", "no time zone"),
            ("2030-01-31 12:00:00", "no time zone"),
            ("2030-01-31T12:00", "no time zone"),
            ("2030-01-31", "no time of day"),
            ("tomorrow", "RFC 3339"),
            ("", "RFC 3339"),
            ("2030-02-31T12:00:00Z", "RFC 3339"),
            ("+12030-01-01T00:00:00Z", "0000 to 9999"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
            assert!(parse_in_query(text).is_err(), "{text}");
        }
    }
}
