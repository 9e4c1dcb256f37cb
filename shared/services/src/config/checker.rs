//! Checks of settings: from text to values, with all mistakes collected.

use std::{
    fmt, net::SocketAddr, ops::RangeInclusive, path::Path, path::PathBuf, str::FromStr,
    time::Duration,
};

use bytesize::ByteSize;
use media_domain::secret::Secret;

use super::secret_file::{self, SecretFile};

/// All mistakes in the settings, one per line.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Collects mistakes. Each check returns None for a setting that cannot be used.
#[derive(Default)]
pub(super) struct Checker {
    mistakes: Vec<String>,
    /// The files that secrets were read from.
    pub(super) files: Vec<SecretFile>,
}

impl Checker {
    /// Records the mistake of a setting, if there is one.
    pub(super) fn record<T>(&mut self, variable: &str, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|reason| self.mistakes.push(format!("{variable} {reason}")))
            .ok()
    }

    /// Checks a secret that is set by its text or by a file. None if it is not set, or wrong.
    pub(super) fn secret(
        &mut self,
        variable: &'static str,
        text: &str,
        file: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Option<Secret> {
        let text = match (text, file) {
            (text, "") => text.to_owned(),
            ("", file) => self.record(
                &format!("{variable}_FILE"),
                secret_file::read(Path::new(file)),
            )?,
            _ => {
                let reason = format!("cannot be set beside {variable}_FILE: choose one of them");
                return self.record(variable, Err(reason));
            }
        };
        if text.is_empty() {
            return None;
        }
        self.record(variable, check(&text))?;
        Some(Secret::new(text))
    }

    /// Has a secret follow the file that it was read from, if it was. New text has to pass `check`.
    pub(super) fn follow(
        &mut self,
        variable: &'static str,
        secret: Option<&Secret>,
        file: &str,
        check: fn(&str) -> Result<(), String>,
    ) {
        if let Some(secret) = secret.filter(|_| !file.is_empty()) {
            let file = SecretFile::new(variable, file.into(), secret.clone(), check);
            self.files.push(file);
        }
    }

    /// Checks a time of 100 ms or more.
    pub(super) fn duration(&mut self, variable: &str, text: &str) -> Option<Duration> {
        let result = humantime::parse_duration(text)
            .map_err(|error| format!("must be a time such as 30s or 2h: {error}"))
            .and_then(|duration| {
                if duration < Duration::from_millis(100) {
                    Err("must be 100ms or longer".to_owned())
                } else {
                    Ok(duration)
                }
            });
        self.record(variable, result)
    }

    /// Returns the value, if there was no mistake.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(ConfigErrors(self.mistakes)),
        }
    }
}

/// Parses a text that may be empty.
pub(super) fn optional<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an address and a port such as 127.0.0.1:8080".to_owned())
}

pub(super) fn number<T: FromStr + PartialOrd + fmt::Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    text.parse()
        .ok()
        .filter(|n| range.contains(n))
        .ok_or_else(|| {
            let (min, max) = range.into_inner();
            format!("must be a number from {min} to {max}")
        })
}

pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

/// Parses a number of bytes such as `64MiB`.
pub(super) fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let read = text.parse().ok().map(|ByteSize(bytes)| bytes);
    read.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        let (min, max) = (ByteSize(*range.start()), ByteSize(*range.end()));
        format!("must be a number of bytes such as 64MiB, from {min} to {max}")
    })
}

/// Parses a comma-separated list; an empty text is an empty list. `description` names an item in errors.
pub(super) fn list<T: FromStr>(text: &str, description: &str) -> Result<Vec<T>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse()
                .map_err(|_| format!("has `{part}`, which is not {description}"))
        })
        .collect()
}

/// Parses the path of a URL.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains(['?', '#']) {
        Err("must name a path, without ? or #".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

/// Checks a secret that keys a hash: as long as the hash or longer (RFC 7518 §3.2).
pub(super) fn check_key(text: &str) -> Result<(), String> {
    if text.len() < MIN_KEY_BYTES {
        Err(format!("must have {MIN_KEY_BYTES} bytes or more"))
    } else {
        Ok(())
    }
}

/// The shortest secret that keys a hash, in bytes.
const MIN_KEY_BYTES: usize = 32;
