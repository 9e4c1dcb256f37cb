//! What an import is asked to do: the arguments of `media:import`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{JobClass, RetryCount};
use crate::media::{Filename, MediaPath, NameError, Sha256};

/// The job class `media:import`: fetches a URL and keeps what it gives.
pub struct MediaImport;

impl JobClass for MediaImport {
    const NAME: &'static str = "media:import";
    const ARGUMENTS_VERSION: i16 = 1;
    const MAX_RETRIES: RetryCount = 5;
    type Arguments = ImportArguments;
}

/// Arguments of `media:import`, version 1. Made by [`ImportArguments::check`] alone, so what is
/// stored is what was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportArguments {
    /// Where the bytes are: http or https.
    pub url: Url,
    /// Where the media will be kept.
    #[serde(flatten)]
    pub path: MediaPath,
    /// The name to keep it under, instead of the origin's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<Filename>,
    /// Whether anyone may download it.
    #[serde(default)]
    pub public: bool,
    /// What the bytes must hash to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// How many bytes there must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Sent to the first origin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The most bytes to accept, if less than the service's own limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// What the bytes may be; anything if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_types: Option<Vec<MediaRange>>,
}

/// A media type, or all subtypes of a type: `image/png`, `image/*`, `*/*` (RFC 9110 §12.5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaRange(String);

impl MediaRange {
    /// Reads a range, without parameters.
    fn new(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let is_token = |part: &str| {
            let symbols = "!#$&-^_.+";
            let known = |c: char| c.is_ascii_alphanumeric() || symbols.contains(c);
            !part.is_empty() && part.chars().all(known)
        };
        let (kind, subtype) = text.split_once('/')?;
        let valid = match (kind, subtype) {
            ("*", "*") => true,
            (kind, "*") => is_token(kind),
            (kind, subtype) => is_token(kind) && is_token(subtype),
        };
        (valid && text.len() <= MAX_TYPE_BYTES).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a type lies within the range.
    pub fn covers(&self, mime: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some("*/") => true,
            Some(kind) => mime.starts_with(kind),
            None => mime == self.0,
        }
    }
}

/// Arguments as a client wrote them, before anything is checked.
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
}

/// A value in the arguments that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct ArgumentError {
    /// The argument's name.
    pub field: &'static str,
    /// What is wrong with it, as the rest of a sentence.
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

/// The longest URL that is accepted, in bytes. RFC 9110 §4.1 asks for 8,000 at least.
const MAX_URL_BYTES: usize = 8 * 1024;
/// The most headers that a client may have sent to the origin.
const MAX_HEADERS: usize = 32;
/// The most bytes of all headers together: what a page of jobs holds is bounded by it.
const MAX_HEADERS_BYTES: usize = 8 * 1024;
/// The most types that a client may accept, and the longest of them, in bytes.
const MAX_TYPES: usize = 32;
const MAX_TYPE_BYTES: usize = 127;
/// Headers that frame the request or route it: these are the fetcher's own.
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

/// Headers that metadata services of clouds ask for, so that requests made for somebody else do not
/// reach their secrets; or how their names begin.
const METADATA_HEADERS: [&str; 4] = [
    "metadata",
    "x-google-metadata-request",
    "x-identity-header",
    "secret",
];
const METADATA_HEADER_PREFIXES: [&str; 3] = ["metadata-", "x-aws-ec2-", "x-aliyun-ecs-"];
/// Oracle's: the value of `Authorization`.
const METADATA_AUTHORIZATION: &str = "bearer oracle";

/// Whether a header is one that only metadata services take.
fn is_for_metadata(name: &str, value: &str) -> bool {
    METADATA_HEADERS.contains(&name)
        || METADATA_HEADER_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || name == "authorization" && value.trim().eq_ignore_ascii_case(METADATA_AUTHORIZATION)
}

impl ImportArguments {
    /// Checks every argument and reports all that is wrong at once.
    pub fn check(raw: RawImportArguments) -> Result<Self, Vec<ArgumentError>> {
        let mut errors = Vec::new();
        let mut keep = |error: ArgumentError| errors.push(error);

        let url = check_url(&raw.url).map_err(&mut keep).ok();
        let path = MediaPath::new(&raw.resource, raw.key.as_deref())
            .map_err(|(field, error)| keep(ArgumentError::new(field, error)))
            .ok();
        let filename = raw.filename.as_deref().and_then(|name| {
            Filename::new(name)
                .map_err(|error: NameError| keep(ArgumentError::new("filename", error)))
                .ok()
        });
        let sha256 = raw.sha256.as_deref().and_then(|text| {
            Sha256::from_hex(text)
                .map_err(|error| keep(ArgumentError::new("sha256", error)))
                .ok()
        });
        let size = raw
            .size
            .and_then(|size| check_bytes("size", size, 0).map_err(&mut keep).ok());
        let max_bytes = raw
            .max_bytes
            .and_then(|max| check_bytes("max_bytes", max, 1).map_err(&mut keep).ok());
        let headers = raw
            .headers
            .and_then(|headers| check_headers(headers).map_err(&mut keep).ok());

        let accept_types = raw
            .accept_types
            .and_then(|types| check_types(&types).map_err(&mut keep).ok());

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
            }),
            _ => Err(errors),
        }
    }

    /// The URL as it may be shown: without credentials, and without the values of its query,
    /// which is where signed links keep their secrets.
    pub fn public_url(&self) -> String {
        redact_url(&self.url)
    }

    /// The arguments as they may be shown: the URL redacted, the values of headers hidden.
    pub fn redacted(&self) -> serde_json::Value {
        let mut shown = self.clone();
        shown.headers = shown.headers.map(|headers| {
            headers
                .into_keys()
                .map(|name| (name, "[redacted]".to_owned()))
                .collect()
        });
        // Serialising plain strings and numbers has no way to fail; an empty object leaks nothing.
        let mut value = serde_json::to_value(&shown).unwrap_or_default();
        if let Some(url) = value.get_mut("url") {
            *url = self.public_url().into();
        }
        value
    }
}

/// Hides what may be secret in a URL: user, password, fragment, the values of the query, and parameters
/// of the path's segments (`;name=value`, RFC 3986 §3.3).
pub fn redact_url(url: &Url) -> String {
    let mut shown = url.clone();
    // Both only fail for URLs without a host, which http and https always have.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if url.path().contains(';') {
        let segments: Vec<_> = url.path().split('/').map(redact_segment).collect();
        shown.set_path(&segments.join("/"));
    }
    if let Some(query) = url.query() {
        let parts: Vec<_> = query.split('&').map(redact_parameter).collect();
        shown.set_query(Some(&parts.join("&")));
    }
    shown.into()
}

fn redact_segment(segment: &str) -> String {
    let mut parts = segment.split(';');
    let name = parts.next().unwrap_or_default().to_owned();
    parts.fold(name, |shown, parameter| {
        shown + ";" + &redact_parameter(parameter)
    })
}

/// Hides a parameter's value; a parameter without a name is a value as a whole, and so is one whose name
/// could be anything: another URL, say, with a password in it.
fn redact_parameter(parameter: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~[]%+".contains(&byte);
    let named = parameter.split_once('=');
    match named.filter(|(name, _)| name.len() <= 64 && name.bytes().all(plain)) {
        Some((name, "")) => format!("{name}="),
        Some((name, _)) => format!("{name}=redacted"),
        None if parameter.is_empty() => String::new(),
        None => "redacted".to_owned(),
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

fn check_bytes(field: &'static str, value: i64, least: u64) -> Result<u64, ArgumentError> {
    u64::try_from(value)
        .ok()
        .filter(|value| *value >= least)
        .ok_or_else(|| ArgumentError::new(field, format!("must be {least} or more")))
}

fn check_types(types: &[String]) -> Result<Vec<MediaRange>, ArgumentError> {
    if types.is_empty() || types.len() > MAX_TYPES {
        let reason = format!("must name 1 to {MAX_TYPES} types");
        return Err(ArgumentError::new("accept_types", reason));
    }
    let read = |text: &String| {
        let reason = "must hold types such as `image/png` or `image/*`";
        MediaRange::new(text).ok_or_else(|| ArgumentError::new("accept_types", reason))
    };
    types.iter().map(read).collect()
}

fn check_headers(
    headers: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ArgumentError> {
    let wrong = |reason: String| Err(ArgumentError::new("headers", reason));
    if headers.len() > MAX_HEADERS {
        return wrong(format!("must not be more than {MAX_HEADERS}"));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_HEADERS_BYTES {
        return wrong(format!(
            "must not have more than {MAX_HEADERS_BYTES} bytes in all"
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
        if is_for_metadata(&lower, value) {
            return wrong(format!(
                "must not set `{lower}` so: it is for metadata services of clouds"
            ));
        }
        if !value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            return wrong(format!(
                "must have values of visible ASCII only; `{name}` has not"
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

    #[test]
    fn nothing_secret_in_a_url_is_shown() {
        for (url, shown) in [
            (
                "http://user:pass@h.test/a?b=c&d=&e#f",
                "http://h.test/a?b=redacted&d=&redacted",
            ),
            ("http://h.test/a?eyJhbGciOi", "http://h.test/a?redacted"),
            (
                "http://h.test/a?http://u:p@i.test/?t=1",
                "http://h.test/a?redacted",
            ),
            (
                "http://h.test/a?X-Sig=a%26b=c",
                "http://h.test/a?X-Sig=redacted",
            ),
            ("http://h.test/a?", "http://h.test/a?"),
            (
                "http://h.test/a?b=c;d=e&f",
                "http://h.test/a?b=redacted&redacted",
            ),
            (
                "http://h.test/a;sid=c/b;d;e=?x",
                "http://h.test/a;sid=redacted/b;redacted;e=?redacted",
            ),
            ("http://h.test/a", "http://h.test/a"),
        ] {
            assert_eq!(redact_url(&Url::parse(url).unwrap()), shown, "{url}");
        }
    }
}
