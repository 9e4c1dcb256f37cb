//! How the API serves: what one caller may ask of it, whom it believes, which pages may use it.

use std::{num::NonZeroU32, ops::RangeInclusive};

use bytesize::ByteSize;
use clap::Args;
use ipnet::IpNet;
use url::Url;

use super::check::{Checker, list, number, truth};
use crate::list::MAX_PAGE_BYTES;

/// The settings as text.
#[derive(Args, Clone)]
pub struct HttpSettings {
    /// How many requests a second one caller may make of one API, and ten times as many at once; off
    /// for any number. A caller is whom a token names, or an address without one
    #[arg(
        long,
        global = true,
        env = "MEDIA_RATE_LIMIT",
        value_name = "N",
        default_value = "100"
    )]
    pub rate_limit: String,

    /// The most connections that one API has open; beyond it, the one that has waited longest for a
    /// request is closed, and if all serve requests, the new one is answered 503
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "4096"
    )]
    pub max_connections: String,

    /// The most connections from one address, or one /64 of IPv6; trusted proxies have any number
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value = "1024"
    )]
    pub max_connections_per_address: String,

    /// The most requests in progress of one caller; never more than half of the connections
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_REQUESTS_PER_CALLER",
        value_name = "N",
        default_value = "256"
    )]
    pub max_requests_per_caller: String,

    /// The most event streams of one caller; never more than a quarter of the connections, and half of
    /// them for all callers
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_STREAMS_PER_CALLER",
        value_name = "N",
        default_value = "64"
    )]
    pub max_streams_per_caller: String,

    /// The most uploads in progress of one caller; never more than a quarter of the connections
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_UPLOADS_PER_CALLER",
        value_name = "N",
        default_value = "256"
    )]
    pub max_uploads_per_caller: String,

    /// How fast the body of a request has to come, in bytes a second, over the time of
    /// MEDIA_STALL_TIMEOUT
    #[arg(
        long,
        global = true,
        env = "MEDIA_UPLOAD_MIN_RATE",
        value_name = "BYTES",
        default_value = "1KiB"
    )]
    pub upload_min_rate: String,

    /// The memory that one API gives to lists until clients have read them; one caller may have a quarter
    #[arg(
        long,
        global = true,
        env = "MEDIA_RESPONSE_MEMORY",
        value_name = "BYTES",
        default_value = "64MiB"
    )]
    pub response_memory: String,

    /// Networks of proxies that are believed what X-Forwarded-For says: CIDRs, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_TRUSTED_PROXIES",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub trusted_proxies: String,

    /// Origins of pages that may use the API from a browser (CORS), comma-separated, such as
    /// https://app.example; * for any, with authentication only. Without it, none may change anything
    #[arg(
        long,
        global = true,
        env = "MEDIA_CORS_ORIGINS",
        value_name = "ORIGIN,…",
        default_value = ""
    )]
    pub cors_origins: String,

    /// Whether browsers may show PDF files in place, in a sandbox, where that is asked for: true or false.
    /// Otherwise they save them
    #[arg(
        long,
        global = true,
        env = "MEDIA_INLINE_PDF",
        value_name = "BOOL",
        default_value = "false"
    )]
    pub inline_pdf: String,
}

/// How the API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Requests a second of one caller; any number if none.
    pub rate_limit: Option<NonZeroU32>,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub address_connections: usize,
    /// Requests in progress of one caller.
    pub caller_requests: usize,
    /// Event streams of one caller.
    pub caller_streams: usize,
    /// Uploads in progress of one caller.
    pub caller_uploads: usize,
    /// Bytes a second that the body of a request has to come at.
    pub upload_min_rate: u64,
    /// Bytes of memory for lists that clients have not read yet.
    pub response_memory: usize,
    /// Who is believed about where a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Pages that may use the API from a browser.
    pub cors: CorsOrigins,
    /// Whether browsers may show PDF files in place.
    pub inline_pdf: bool,
}

/// Origins (RFC 6454) of pages that may use the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All.
    Any,
    /// These, as browsers write them; none if there are none.
    Listed(Vec<String>),
}

impl CorsOrigins {
    /// Whether pages of an origin are among them.
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|each| each == origin),
        }
    }
}

impl HttpSettings {
    pub(super) fn check(&self, guarded: bool, checker: &mut Checker) -> Option<HttpConfig> {
        let rate_limit = checker.keep("MEDIA_RATE_LIMIT", rate_limit(&self.rate_limit));
        let max_connections = checker.keep(
            "MEDIA_MAX_CONNECTIONS",
            number(&self.max_connections, 16..=1_000_000),
        );
        let mut count = |variable, text| checker.keep(variable, number(text, 1..=1_000_000));
        let address_connections = count(
            "MEDIA_MAX_CONNECTIONS_PER_ADDRESS",
            &self.max_connections_per_address,
        );
        let caller_requests = count(
            "MEDIA_MAX_REQUESTS_PER_CALLER",
            &self.max_requests_per_caller,
        );
        let caller_streams = count("MEDIA_MAX_STREAMS_PER_CALLER", &self.max_streams_per_caller);
        let caller_uploads = count("MEDIA_MAX_UPLOADS_PER_CALLER", &self.max_uploads_per_caller);
        let upload_min_rate = checker.keep(
            "MEDIA_UPLOAD_MIN_RATE",
            bytes(&self.upload_min_rate, 1..=1 << 30),
        );
        let response_memory = checker.keep(
            "MEDIA_RESPONSE_MEMORY",
            bytes(&self.response_memory, MIN_RESPONSE_MEMORY..=1 << 40),
        );
        let trusted_proxies = checker.keep(
            "MEDIA_TRUSTED_PROXIES",
            list(&self.trusted_proxies, "networks such as 10.0.0.0/8"),
        );
        let cors = checker.keep(
            "MEDIA_CORS_ORIGINS",
            cors_origins(&self.cors_origins, guarded),
        );
        let inline_pdf = checker.keep("MEDIA_INLINE_PDF", truth(&self.inline_pdf));
        Some(HttpConfig {
            rate_limit: rate_limit?,
            max_connections: max_connections?,
            address_connections: address_connections?,
            caller_requests: caller_requests?,
            caller_streams: caller_streams?,
            caller_uploads: caller_uploads?,
            upload_min_rate: upload_min_rate?,
            response_memory: usize::try_from(response_memory?).ok()?,
            trusted_proxies: trusted_proxies?,
            cors: cors?,
            inline_pdf: inline_pdf?,
        })
    }
}

/// Room for one list while it is made.
const MIN_RESPONSE_MEMORY: u64 = 2 * MAX_PAGE_BYTES as u64;

fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let read = text.parse().ok().map(|ByteSize(bytes)| bytes);
    read.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        let (least, most) = (ByteSize(*range.start()), ByteSize(*range.end()));
        format!("must be a number of bytes such as 64MiB, from {least} to {most}")
    })
}

impl HttpConfig {
    /// The defaults, for tests.
    #[doc(hidden)]
    pub fn for_tests() -> Self {
        Self {
            rate_limit: None,
            max_connections: 16,
            address_connections: 16,
            caller_requests: 16,
            caller_streams: 16,
            caller_uploads: 16,
            upload_min_rate: 1024,
            response_memory: 2 * MAX_PAGE_BYTES,
            trusted_proxies: Vec::new(),
            cors: CorsOrigins::Listed(Vec::new()),
            inline_pdf: false,
        }
    }
}

fn rate_limit(text: &str) -> Result<Option<NonZeroU32>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse()
        .ok()
        .filter(|rate: &NonZeroU32| rate.get() <= 1_000_000)
        .map(Some)
        .ok_or_else(|| "must be a number from 1 to 1000000, or off".to_owned())
}

fn cors_origins(text: &str, guarded: bool) -> Result<CorsOrigins, String> {
    if text.split(',').any(|origin| origin.trim() == "*") {
        if !guarded {
            return Err("must not be * without authentication, as any page that is opened on this machine could then read all that is here: list the origins, or set MEDIA_JWT_SECRET or MEDIA_JWKS_URL".to_owned());
        }
        return Ok(CorsOrigins::Any);
    }
    let each = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    each.map(origin)
        .collect::<Option<_>>()
        .map(CorsOrigins::Listed)
        .ok_or_else(|| "must be origins such as https://app.example, or *".to_owned())
}

/// An origin as browsers write it, without a path.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    plain.then(|| url.origin().ascii_serialization())
}
