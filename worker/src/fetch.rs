//! Fetches a URL: through the egress gate, redirect by redirect, with a limit on every wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use media_shared::{
    config::FetchLimits,
    job::{Failure, FailureCode, arguments::redact_url},
};
use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use tokio::time::timeout;
use url::Url;

use crate::{
    egress::{EgressGate, NameResolver, PortClass},
    tls,
};

mod failure;
mod gated_resolver;

use gated_resolver::GatedResolver;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;
/// How the service names itself to origins.
const USER_AGENT: &str = concat!("media-importer/", env!("CARGO_PKG_VERSION"));

/// Fetches URLs.
#[derive(Clone, Debug)]
pub struct Fetcher {
    gate: EgressGate,
    limits: FetchLimits,
    public: Client,
    listed: Client,
}

/// The head of an origin's answer, and its body to come.
pub struct Answer {
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// How many bytes the origin announced.
    pub content_length: Option<u64>,
    /// What the origin says the bytes are, without parameters.
    pub content_type: Option<String>,
    /// `Content-Disposition`, as it came.
    pub content_disposition: Option<Vec<u8>>,
    response: Response,
    stall: Duration,
}

impl Fetcher {
    /// Makes a fetcher behind a gate.
    pub fn new(
        gate: &EgressGate,
        resolver: &Arc<dyn NameResolver>,
        limits: FetchLimits,
    ) -> Result<Self, FetcherError> {
        let client = |class| -> Result<Client, FetcherError> {
            Ok(Client::builder()
                .user_agent(USER_AGENT)
                // A proxy from the environment would be all that the gate sees.
                .no_proxy()
                .redirect(Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .dns_resolver(Arc::new(GatedResolver {
                    gate: gate.clone(),
                    resolver: Arc::clone(resolver),
                    class,
                }))
                .tls_backend_preconfigured(tls::client_config()?)
                .connect_timeout(limits.connect)
                .pool_idle_timeout(Duration::from_secs(30))
                .build()?)
        };
        Ok(Self {
            gate: gate.clone(),
            limits,
            public: client(PortClass::Public)?,
            listed: client(PortClass::ListedNetworksOnly)?,
        })
    }

    /// Asks for a URL and follows redirects to an answer that carries the bytes. `headers` go to
    /// the first origin only.
    pub async fn get(
        &self,
        url: &Url,
        headers: Option<&BTreeMap<String, String>>,
    ) -> Result<Answer, Failure> {
        let mut headers = custom_headers(headers)?;
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(&url, headers.clone()).await?;
            let Some(target) = redirect_target(&url, &response)? else {
                return self.accept(url, response);
            };
            if target.origin() != url.origin() {
                headers.clear();
            }
            url = target;
        }
        Err(Failure::new(
            FailureCode::BadRedirect,
            format!(
                "{} was redirected more than {MAX_REDIRECTS} times; give the URL that the redirects lead to",
                redact_url(&url)
            ),
        ))
    }

    async fn request(&self, url: &Url, headers: HeaderMap) -> Result<Response, Failure> {
        let class = self
            .gate
            .judge_url(url)
            .map_err(|denied| failure::denied(url, &denied))?;
        let client = match class {
            PortClass::Public => &self.public,
            PortClass::ListedNetworksOnly => &self.listed,
        };
        let request = client
            .get(url.clone())
            .header(header::ACCEPT, "*/*")
            // In place of what stands there already.
            .headers(headers)
            // A content coding would change the bytes that are kept.
            .header(header::ACCEPT_ENCODING, "identity")
            .send();
        match timeout(self.limits.connect + self.limits.response, request).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::of_request(url, &error)),
            Err(_) => Err(failure::no_response(url, self.limits.response)),
        }
    }

    fn accept(&self, url: Url, response: Response) -> Result<Answer, Failure> {
        if response.status() != StatusCode::OK {
            return Err(failure::of_status(&url, &response));
        }
        if let Some(coding) = content_coding(response.headers()) {
            return Err(Failure::new(
                FailureCode::UnsupportedEncoding,
                format!(
                    "{} sent its bytes in the content coding `{coding}`, though only `identity` was asked for; the origin has to be set right",
                    redact_url(&url)
                ),
            ));
        }
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        Ok(Answer {
            content_length: response.content_length(),
            content_type: text(header::CONTENT_TYPE).map(essence),
            content_disposition: response
                .headers()
                .get(header::CONTENT_DISPOSITION)
                .map(|value| value.as_bytes().to_vec()),
            url,
            stall: self.limits.stall,
            response,
        })
    }
}

impl Answer {
    /// The bytes, as they come. A body that ends early, stalls or breaks is an error, never an end.
    pub fn into_body(self) -> impl Stream<Item = Result<bytes::Bytes, Failure>> + Send {
        let Self {
            url,
            stall,
            response,
            ..
        } = self;
        let body = Box::pin(response.bytes_stream());
        futures_util::stream::try_unfold((body, url), move |(mut body, url)| async move {
            match timeout(stall, body.next()).await {
                Ok(None) => Ok(None),
                Ok(Some(Ok(chunk))) => Ok(Some((chunk, (body, url)))),
                Ok(Some(Err(error))) => Err(failure::of_body(&url, &error)),
                Err(_) => Err(failure::stalled(&url, stall)),
            }
        })
    }
}

/// Why no fetcher could be made.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[from] reqwest::Error),
}

fn custom_headers(headers: Option<&BTreeMap<String, String>>) -> Result<HeaderMap, Failure> {
    headers
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let name = HeaderName::try_from(name).ok()?;
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        })
        .collect::<Option<HeaderMap>>()
        .ok_or_else(|| {
            Failure::new(
                FailureCode::InvalidArguments,
                "the argument `headers` has a name or value that cannot be sent",
            )
        })
}

/// Where a redirect leads, or nothing if the answer is none. 300 and 304 are no redirects that can
/// be followed (RFC 9110 §15.4).
fn redirect_target(url: &Url, response: &Response) -> Result<Option<Url>, Failure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let wrong = |reason: &str| {
        Failure::new(
            FailureCode::BadRedirect,
            format!("{} redirects {reason}", redact_url(url)),
        )
    };
    let location = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .ok_or_else(|| wrong("without saying where to"))?;
    let target = url
        .join(location)
        .map_err(|_| wrong("to something that is no URL"))?;
    if url.scheme() == "https" && target.scheme() == "http" {
        return Err(wrong("from https to http, which is not followed"));
    }
    Ok(Some(target))
}

fn content_coding(headers: &HeaderMap) -> Option<String> {
    let coding = headers.get(header::CONTENT_ENCODING)?;
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let coding = coding.trim();
    (!coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .then(|| coding.chars().take(32).collect())
}

fn essence(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}
