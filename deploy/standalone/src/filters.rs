//! Filters of lists on the command line: `status=failed created_at__gte=-1h`.

use std::{fmt::Display, str::FromStr};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// The ends of the names of fields that hold a time, and of their operators.
const TIME_SUFFIX: &str = "_at";

/// A condition on a field, as the API takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    name: String,
    value: String,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("a filter is NAME=VALUE, such as status=failed")?;
        // The form of the wire is accepted as well.
        let name = name
            .strip_prefix("filter[")
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let is_time = name.split("__").next().is_some_and(is_time_field);
        let value = if is_time {
            absolute_time(value, Utc::now())?
        } else {
            value.to_owned()
        };
        let name = name.to_owned();
        Ok(Self { name, value })
    }
}

impl Filter {
    /// Creates a filter for equality.
    pub(crate) fn equal(name: &str, value: impl Display) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_string(),
        }
    }

    /// The parameter of the query.
    pub(crate) fn parameter(&self) -> (String, String) {
        (format!("filter[{}]", self.name), self.value.clone())
    }
}

fn is_time_field(name: &str) -> bool {
    name.ends_with(TIME_SUFFIX)
}

/// Converts a time relative to now, `-1h` or `+30m`, to RFC 3339. Other texts stay as they are.
pub(crate) fn absolute_time(text: &str, now: DateTime<Utc>) -> Result<String, String> {
    let (is_past, span) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(span), _) => (true, span),
        (_, Some(span)) => (false, span),
        _ => return Ok(text.to_owned()),
    };
    let wrong = || format!("{text} is not a time; write -1h, +30m, -7days or 2026-01-31T12:00:00Z");
    let span = humantime::parse_duration(span).map_err(|_| wrong())?;
    let span = TimeDelta::from_std(span).map_err(|_| wrong())?;
    let time = if is_past {
        now.checked_sub_signed(span)
    } else {
        now.checked_add_signed(span)
    };
    let time = time.ok_or_else(wrong)?;
    Ok(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_times_become_absolute() {
        let now = DateTime::parse_from_rfc3339("2026-11-30T12:00:00Z").unwrap();
        let now = now.with_timezone(&Utc);
        for (text, expected) in [
            ("-1h", "2026-11-30T11:00:00.000000Z"),
            ("+30m", "2026-11-30T12:30:00.000000Z"),
            ("-7days", "2026-11-23T12:00:00.000000Z"),
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ] {
            assert_eq!(absolute_time(text, now).unwrap(), expected);
        }
        for bad in ["-", "-soon", "+1", "-99999999999999years"] {
            assert!(absolute_time(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_are_those_of_the_wire() {
        let parameter = |text: &str| text.parse::<Filter>().unwrap().parameter();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parameter("status=failed"), pair("filter[status]", "failed"));
        assert_eq!(
            parameter("filter[status__in]=failed,cancelled"),
            pair("filter[status__in]", "failed,cancelled")
        );
        assert_eq!(parameter("error="), pair("filter[error]", ""));
        // Only fields of times have relative values.
        assert_eq!(parameter("priority=-5"), pair("filter[priority]", "-5"));
        assert!(parameter("created_at__gte=-1h").1.ends_with('Z'));
        assert!("status".parse::<Filter>().is_err());
        assert!("=x".parse::<Filter>().is_err());
        assert!("created_at__gte=-soon".parse::<Filter>().is_err());
    }
}
