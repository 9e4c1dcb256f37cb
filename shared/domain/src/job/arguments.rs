//! The arguments of `media:import`.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{JobClass, MediaRange, RetryCount, redact_url};
use crate::{
    clock::to_micros,
    media::{ClientMeta, Filename, Md5, MediaPath, NameError, PathError, Sha256},
};

/// The job class `media:import`: fetches a URL and stores the bytes.
pub struct MediaImport;

impl JobClass for MediaImport {
    const NAME: &'static str = "media:import";
    const ARGUMENTS_VERSION: i16 = 1;
    const MAX_RETRIES: RetryCount = RetryCount::FIVE;
    type Arguments = ImportArguments;
}

/// Arguments of `media:import`, version 1, checked by [`ImportArguments::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportArguments {
    /// The URL from which the bytes are fetched: http or https.
    pub url: Url,
    /// The path of the media.
    #[serde(flatten)]
    pub path: MediaPath,
    /// The file name, which overrides the origin's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<Filename>,
    /// Whether the media can be downloaded without a token.
    #[serde(default)]
    pub public: bool,
    /// The digest that the bytes must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The size that the bytes must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Request headers for the first origin. They are not sent to other origins after a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The maximum size in bytes. The limit of the service applies as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// The accepted media types. If None, all types are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_types: Option<Vec<MediaRange>>,
    /// The MD5 digest that the bytes must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<Md5>,
    /// The client's own data beside the media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<ClientMeta>,
    /// The time from which on the media is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The treatment of a media that is at the path already.
    #[serde(default, skip_serializing_if = "IfExists::is_default")]
    pub if_exists: IfExists,
}

/// The treatment of a media that is at the path of an import already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfExists {
    /// It is replaced.
    #[default]
    Replace,
    /// The import fails.
    Fail,
    /// The import succeeds with it, and nothing is fetched.
    Skip,
    /// It is replaced if the origin has other bytes by now.
    Refresh,
}

impl IfExists {
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Unchecked arguments, as a client sent them.
#[derive(Clone, Debug, Default)]
pub struct RawImportArguments {
    /// See [`ImportArguments::url`].
    pub url: String,
    /// See [`ImportArguments::path`].
    pub resource: String,
    /// See [`ImportArguments::path`].
    pub key: Option<String>,
    /// See [`ImportArguments::filename`].
    pub filename: Option<String>,
    /// See [`ImportArguments::public`].
    pub public: Option<bool>,
    /// See [`ImportArguments::sha256`].
    pub sha256: Option<String>,
    /// See [`ImportArguments::size`].
    pub size: Option<i64>,
    /// See [`ImportArguments::headers`].
    pub headers: Option<BTreeMap<String, String>>,
    /// See [`ImportArguments::max_bytes`].
    pub max_bytes: Option<i64>,
    /// See [`ImportArguments::accept_types`].
    pub accept_types: Option<Vec<String>>,
    /// See [`ImportArguments::md5`].
    pub md5: Option<String>,
    /// See [`ImportArguments::meta`].
    pub meta: Option<serde_json::Value>,
    /// See [`ImportArguments::expires_at`].
    pub expires_at: Option<DateTime<Utc>>,
    /// See [`ImportArguments::if_exists`].
    pub if_exists: Option<IfExists>,
}

/// An invalid argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct ArgumentError {
    /// The argument's name.
    pub field: &'static str,
    /// The rule that the argument breaks: the rest of a sentence that begins with its name.
    pub reason: String,
}

impl ArgumentError {
    fn new(field: &'static str, reason: impl fmt::Display) -> Self {
        Self {
            field,
            reason: reason.to_string(),
        }
    }
}

/// The maximum length of a URL, in bytes. RFC 9110 §4.1 recommends to support at least 8,000.
const MAX_URL_BYTES: usize = 8 * 1024;
/// The maximum number of headers that a client may set.
const MAX_HEADERS: usize = 32;
/// The maximum size of all headers together, which limits the size of a page of jobs.
const MAX_HEADERS_BYTES: usize = 8 * 1024;
/// The maximum number of types that a client may list.
const MAX_TYPES: usize = 32;
/// Headers that frame or route the request. The fetcher sets them itself.
const FORBIDDEN_HEADERS: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-range",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Headers that the metadata services of cloud providers require, as a protection against server-side request forgery.
const METADATA_HEADERS: [&str; 4] = [
    "metadata",
    "x-google-metadata-request",
    "x-identity-header",
    "secret",
];
/// Prefixes of the names of further such headers.
const METADATA_HEADER_PREFIXES: [&str; 3] = ["metadata-", "x-aws-ec2-", "x-aliyun-ecs-"];
/// The value of `Authorization` that Oracle's metadata service requires.
const METADATA_AUTHORIZATION: &str = "bearer oracle";

/// Whether a header is meant for a metadata service.
fn is_metadata_header(name: &str, value: &str) -> bool {
    METADATA_HEADERS.contains(&name)
        || METADATA_HEADER_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || name == "authorization" && value.trim().eq_ignore_ascii_case(METADATA_AUTHORIZATION)
}

impl ImportArguments {
    /// Checks every argument and returns all errors.
    pub fn check(raw: RawImportArguments) -> Result<Self, Vec<ArgumentError>> {
        let mut errors = Vec::new();
        let mut record = |error: ArgumentError| errors.push(error);

        let url = check_url(&raw.url).map_err(&mut record).ok();
        let path = MediaPath::new(&raw.resource, raw.key.as_deref())
            .map_err(|PathError { field, error }| record(ArgumentError::new(field, error)))
            .ok();
        let filename = raw.filename.as_deref().and_then(|name| {
            Filename::new(name)
                .map_err(|error: NameError| record(ArgumentError::new("filename", error)))
                .ok()
        });
        let sha256 = raw.sha256.as_deref().and_then(|text| {
            Sha256::from_hex(text)
                .map_err(|error| record(ArgumentError::new("sha256", error)))
                .ok()
        });
        let size = raw
            .size
            .and_then(|size| check_bytes("size", size, 0).map_err(&mut record).ok());
        let max_bytes = raw
            .max_bytes
            .and_then(|max| check_bytes("max_bytes", max, 1).map_err(&mut record).ok());
        let headers = raw
            .headers
            .and_then(|headers| check_headers(headers).map_err(&mut record).ok());

        let accept_types = raw
            .accept_types
            .and_then(|types| check_types(&types).map_err(&mut record).ok());

        let md5 = raw.md5.as_deref().and_then(|text| {
            Md5::from_hex(text)
                .map_err(|error| record(ArgumentError::new("md5", error)))
                .ok()
        });
        let meta = raw.meta.and_then(|value| {
            ClientMeta::new(value)
                .map_err(|error| record(ArgumentError::new("meta", error)))
                .ok()
        });

        match (url, path) {
            (Some(url), Some(path)) if errors.is_empty() => Ok(Self {
                url,
                path,
                filename,
                public: raw.public.unwrap_or(false),
                sha256,
                size,
                headers,
                max_bytes,
                accept_types,
                md5,
                meta,
                expires_at: raw.expires_at.map(to_micros),
                if_exists: raw.if_exists.unwrap_or_default(),
            }),
            _ => Err(errors),
        }
    }

    /// The URL without credentials and without the values of its query, which contain the secrets of signed links.
    pub fn public_url(&self) -> String {
        redact_url(&self.url)
    }

    /// The arguments with the URL redacted and the values of headers hidden.
    pub fn redacted(&self) -> serde_json::Value {
        let mut shown = self.clone();
        shown.headers = shown.headers.map(|headers| {
            headers
                .into_keys()
                .map(|name| (name, "[redacted]".to_owned()))
                .collect()
        });
        // Serialising plain strings and numbers cannot fail; the default would leak nothing.
        let mut value = serde_json::to_value(&shown).unwrap_or_default();
        if let Some(url) = value.get_mut("url") {
            *url = self.public_url().into();
        }
        value
    }
}

fn check_url(text: &str) -> Result<Url, ArgumentError> {
    let wrong = |reason: String| Err(ArgumentError::new("url", reason));
    if text.len() > MAX_URL_BYTES {
        return wrong(format!("must not be longer than {MAX_URL_BYTES} bytes"));
    }
    if text.chars().any(char::is_control) {
        return wrong("must not contain control characters".into());
    }
    match Url::parse(text) {
        Err(error) => wrong(format!("is not a URL: {error}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            wrong("must start with http:// or https://".into())
        }
        Ok(url) => Ok(url),
    }
}

fn check_bytes(field: &'static str, value: i64, min: u64) -> Result<u64, ArgumentError> {
    u64::try_from(value)
        .ok()
        .filter(|value| *value >= min)
        .ok_or_else(|| ArgumentError::new(field, format!("must be {min} or more")))
}

fn check_types(types: &[String]) -> Result<Vec<MediaRange>, ArgumentError> {
    if types.is_empty() || types.len() > MAX_TYPES {
        let reason = format!("must name 1 to {MAX_TYPES} types");
        return Err(ArgumentError::new("accept_types", reason));
    }
    let read = |text: &String| {
        let reason = "must contain types such as `image/png` or `image/*`";
        MediaRange::new(text).map_err(|_| ArgumentError::new("accept_types", reason))
    };
    types.iter().map(read).collect()
}

fn check_headers(
    headers: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ArgumentError> {
    let wrong = |reason: String| Err(ArgumentError::new("headers", reason));
    if headers.len() > MAX_HEADERS {
        return wrong(format!("must not contain more than {MAX_HEADERS} headers"));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_HEADERS_BYTES {
        return wrong(format!(
            "must not exceed {MAX_HEADERS_BYTES} bytes in total"
        ));
    }
    for (name, value) in &headers {
        let lower = name.to_ascii_lowercase();
        if name.len() > 128 || !parse_net::text::is_token(name.as_bytes()) {
            return wrong(
                "must have names of at most 128 letters, digits and !#$%&'*+-.^_`|~".into(),
            );
        }
        if FORBIDDEN_HEADERS.contains(&lower.as_str()) {
            return wrong(format!(
                "must not set `{lower}`, which the fetcher sets itself"
            ));
        }
        if is_metadata_header(&lower, value) {
            return wrong(format!(
                "must not set `{lower}` to this value, which is meant for cloud metadata services"
            ));
        }
        if !value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            return wrong(format!(
                "must have values of printable ASCII characters only, unlike `{name}`"
            ));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_metadata_services_are_refused() {
        let check = |name: &str, value: &str| {
            check_headers(BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        for (name, value) in [
            ("Metadata", "true"),
            ("Metadata-Flavor", "Google"),
            ("metadata-token", "x"),
            ("X-aws-ec2-metadata-token", "x"),
            ("X-AWS-EC2-Metadata-Token-TTL-Seconds", "60"),
            ("X-aliyun-ecs-metadata-token", "x"),
            ("X-Identity-Header", "x"),
            ("Authorization", "Bearer Oracle"),
        ] {
            assert!(check(name, value).is_err(), "{name}");
        }
        for (name, value) in [
            ("X-Metadata", "x"),
            ("Authorization", "Bearer x"),
            ("X-Key", "x"),
        ] {
            assert!(check(name, value).is_ok(), "{name}");
        }
    }
}
