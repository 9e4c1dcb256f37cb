//! The HTTP server: its address, the limits of callers, trusted proxies and web pages.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use clap::Args;
use ipnet::IpNet;
use url::Url;

use super::checker::{Checker, address, bytes, list, number, optional, parse_bool};
use media_database::pagination::MAX_PAGE_BYTES;

/// The settings as text.
#[derive(Args, Clone)]
pub struct HttpSettings {
    /// The address of the API; without authentication a loopback address
    #[arg(
        long = "listen",
        global = true,
        env = "MEDIA_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: String,

    /// The URL at which clients reach the API, with which signed links begin; without it, links are paths
    #[arg(
        long,
        global = true,
        env = "MEDIA_PUBLIC_URL",
        value_name = "URL",
        default_value = ""
    )]
    pub public_url: String,

    /// Requests a second of one caller to one API process, with bursts of ten times as many; or off. A caller is the
    /// subject of a token, or an address without one
    #[arg(
        long,
        global = true,
        env = "MEDIA_RATE_LIMIT",
        value_name = "N",
        default_value = "100"
    )]
    pub rate_limit: String,

    /// The largest number of connections to one API process. Beyond it, the connection that has been idle for longest
    /// is closed; if all serve requests, the new one is answered with 503
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "4096"
    )]
    pub max_connections: String,

    /// The largest number of connections from one address, or one /64 of IPv6; trusted proxies are exempt
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value = "1024"
    )]
    pub max_connections_per_address: String,

    /// The largest number of requests in progress of one caller; at most half of the connections
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_REQUESTS_PER_CALLER",
        value_name = "N",
        default_value = "256"
    )]
    pub max_requests_per_caller: String,

    /// The largest number of event streams of one caller; at most a quarter of the connections, and half of them for
    /// all callers
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_STREAMS_PER_CALLER",
        value_name = "N",
        default_value = "64"
    )]
    pub max_streams_per_caller: String,

    /// The largest number of uploads in progress of one caller; at most a quarter of the connections
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_UPLOADS_PER_CALLER",
        value_name = "N",
        default_value = "256"
    )]
    pub max_uploads_per_caller: String,

    /// The lowest rate of a request body, in bytes a second, over the time of MEDIA_STALL_TIMEOUT
    #[arg(
        long,
        global = true,
        env = "MEDIA_UPLOAD_MIN_RATE",
        value_name = "BYTES",
        default_value = "1KiB"
    )]
    pub upload_min_rate: String,

    /// The memory of one API process for lists that clients have not read yet; one caller may use a quarter
    #[arg(
        long,
        global = true,
        env = "MEDIA_RESPONSE_MEMORY",
        value_name = "BYTES",
        default_value = "64MiB"
    )]
    pub response_memory: String,

    /// Trusted proxies whose X-Forwarded-For header is used: CIDRs, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_TRUSTED_PROXIES",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub trusted_proxies: String,

    /// Origins of web pages that may use the API from a browser (CORS), comma-separated, such as https://app.example;
    /// * for any, with authentication only. Without it, no page may change anything
    #[arg(
        long,
        global = true,
        env = "MEDIA_CORS_ORIGINS",
        value_name = "ORIGIN,…",
        default_value = ""
    )]
    pub cors_origins: String,

    /// Whether browsers may display PDF files, in a sandbox, if a request asks for it: true or false. Otherwise they
    /// save them
    #[arg(
        long,
        global = true,
        env = "MEDIA_INLINE_PDF",
        value_name = "BOOL",
        default_value = "false"
    )]
    pub inline_pdf: String,

    /// Time for which browsers and caches may use public media without asking whether they have changed: from 0s to 365d,
    /// and never beyond the time at which a media expires
    #[arg(
        long,
        global = true,
        env = "MEDIA_PUBLIC_MAX_AGE",
        value_name = "DURATION",
        default_value = "5m"
    )]
    pub public_max_age: String,
}

/// The HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Requests a second of one caller; unlimited if none.
    pub rate_limit: Option<NonZeroU32>,
    /// The most connections.
    pub max_connections: usize,
    /// The most connections from one address.
    pub address_connections: usize,
    /// The most requests in progress of one caller.
    pub caller_requests: usize,
    /// The most event streams of one caller.
    pub caller_streams: usize,
    /// The most uploads in progress of one caller.
    pub caller_uploads: usize,
    /// The lowest rate of a request body, in bytes a second.
    pub upload_min_rate: u64,
    /// The memory for lists that clients have not read yet, in bytes.
    pub response_memory: usize,
    /// The networks of proxies whose `X-Forwarded-For` header is used.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins of web pages that may use the API.
    pub cors: CorsOrigins,
    /// Whether browsers may display PDF files.
    pub inline_pdf: bool,
    /// The time for which caches may use public media without asking.
    pub public_max_age: Duration,
}

/// The origins (RFC 6454) of web pages that may use the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All.
    Any,
    /// These, as browsers write them.
    Listed(Vec<String>),
}

impl CorsOrigins {
    /// Whether pages of an origin are allowed.
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|each| each == origin),
        }
    }
}

impl HttpSettings {
    pub(super) fn check_listen(
        &self,
        is_guarded: bool,
        checker: &mut Checker,
    ) -> Option<SocketAddr> {
        checker.record("MEDIA_LISTEN", listen(&self.listen, is_guarded))
    }

    pub(super) fn parse_public_url(&self) -> Result<Option<Url>, String> {
        optional(&self.public_url, public_url)
    }

    pub(super) fn check(&self, is_guarded: bool, checker: &mut Checker) -> Option<HttpConfig> {
        let rate_limit = checker.record("MEDIA_RATE_LIMIT", rate_limit(&self.rate_limit));
        let max_connections = checker.record(
            "MEDIA_MAX_CONNECTIONS",
            number(&self.max_connections, 16..=1_000_000),
        );
        let mut count = |variable, text| checker.record(variable, number(text, 1..=1_000_000));
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
        let upload_min_rate = checker.record(
            "MEDIA_UPLOAD_MIN_RATE",
            bytes(&self.upload_min_rate, 1..=1 << 30),
        );
        let response_memory = checker.record(
            "MEDIA_RESPONSE_MEMORY",
            bytes(&self.response_memory, MIN_RESPONSE_MEMORY..=1 << 40),
        );
        let trusted_proxies = checker.record(
            "MEDIA_TRUSTED_PROXIES",
            list(&self.trusted_proxies, "networks such as 10.0.0.0/8"),
        );
        let cors = checker.record(
            "MEDIA_CORS_ORIGINS",
            cors_origins(&self.cors_origins, is_guarded),
        );
        let inline_pdf = checker.record("MEDIA_INLINE_PDF", parse_bool(&self.inline_pdf));
        let public_max_age = checker.record("MEDIA_PUBLIC_MAX_AGE", max_age(&self.public_max_age));
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
            public_max_age: public_max_age?,
        })
    }
}

/// The longest time that caches may be told (RFC 2616 §14.21 had a year as the limit).
const MAX_PUBLIC_MAX_AGE: Duration = Duration::from_hours(365 * 24);
/// The memory for one list while it is written.
const MIN_RESPONSE_MEMORY: u64 = 2 * MAX_PAGE_BYTES as u64;

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
            public_max_age: Duration::ZERO,
        }
    }
}

fn listen(text: &str, is_guarded: bool) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if is_guarded || address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("must be a loopback address without authentication, because everybody who reaches the service may then do everything: set MEDIA_JWT_SECRET or MEDIA_JWKS_URL".to_owned())
    }
}

/// Parses a URL to which paths can be appended.
fn public_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.query().is_none() && url.fragment().is_none())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| "must be an http or https URL such as https://media.example.org".to_owned())
}

fn max_age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|age| *age <= MAX_PUBLIC_MAX_AGE)
        .ok_or_else(|| "must be a duration from 0s to 365d, such as 5m".to_owned())
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

fn cors_origins(text: &str, is_guarded: bool) -> Result<CorsOrigins, String> {
    if text.split(',').any(|origin| origin.trim() == "*") {
        if !is_guarded {
            return Err("must not be * without authentication, because any page that is opened on this machine could then read everything here: list the origins, or set MEDIA_JWT_SECRET or MEDIA_JWKS_URL".to_owned());
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

/// Parses an origin without a path.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    plain.then(|| url.origin().ascii_serialization())
}
