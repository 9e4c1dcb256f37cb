//! How the API serves: what one caller may ask of it, whom it believes, which pages may use it.

use std::num::NonZeroU32;

use clap::Args;
use ipnet::IpNet;
use url::Url;

use super::check::{Checker, list, number, truth};

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
    /// request is closed
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "4096"
    )]
    pub max_connections: String,

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
    /// https://app.example; * for any. Without authentication, none may change anything
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
    pub(super) fn check(&self, checker: &mut Checker) -> Option<HttpConfig> {
        let rate_limit = checker.keep("MEDIA_RATE_LIMIT", rate_limit(&self.rate_limit));
        let max_connections = checker.keep(
            "MEDIA_MAX_CONNECTIONS",
            number(&self.max_connections, 16..=1_000_000),
        );
        let trusted_proxies = checker.keep(
            "MEDIA_TRUSTED_PROXIES",
            list(&self.trusted_proxies, "networks such as 10.0.0.0/8"),
        );
        let cors = checker.keep("MEDIA_CORS_ORIGINS", cors_origins(&self.cors_origins));
        let inline_pdf = checker.keep("MEDIA_INLINE_PDF", truth(&self.inline_pdf));
        Some(HttpConfig {
            rate_limit: rate_limit?,
            max_connections: max_connections?,
            trusted_proxies: trusted_proxies?,
            cors: cors?,
            inline_pdf: inline_pdf?,
        })
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

fn cors_origins(text: &str) -> Result<CorsOrigins, String> {
    if text == "*" {
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
