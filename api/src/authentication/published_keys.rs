//! The public keys at `MEDIA_JWKS_URL`: fetched at the start, again every few minutes, and when a token names an
//! unknown key.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};
use media_shared::{config::TokenAlgorithm, tls};
use reqwest::{Client, StatusCode, header, redirect};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use url::Url;

use super::key_set::{KeyLookup, KeySet, KeySetError};

/// The interval between regular fetches.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);
/// The shortest interval between two fetches that unknown keys cause.
const DEMAND_INTERVAL: Duration = Duration::from_secs(10);
/// The longest time for a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait of a request with an unknown key: for a fetch in progress, and the one after it.
const DEMAND_TIMEOUT: Duration = Duration::from_secs(11);
/// The wait after a failed fetch, which doubles with each failure up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_mins(1);
/// How long keys stay in use while no fetch succeeds.
const MAX_KEY_AGE: Duration = Duration::from_hours(24);
/// The largest document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// The most queued refresh requests; further ones wait to be queued.
const MAX_QUEUED_REFRESHES: usize = 64;

type Published = Option<Arc<KeySet>>;
/// A request to fetch the keys. It is dropped when the fetch has ended, successful or not.
type RefreshRequest = oneshot::Sender<Infallible>;

/// The current keys.
pub(super) struct PublishedKeys {
    keys: watch::Receiver<Published>,
    requests: mpsc::Sender<RefreshRequest>,
}

/// Fetches the keys.
pub(super) struct JwksRefresher {
    http: Client,
    url: Url,
    algorithms: Vec<Algorithm>,
    keys: watch::Sender<Published>,
    requests: mpsc::Receiver<RefreshRequest>,
    /// The time of the last successful fetch.
    fetched: Option<Instant>,
    /// The number of failed fetches in a row.
    failures: u32,
    /// The time of the next regular fetch.
    due: Instant,
    /// The time of the last fetch that an unknown key caused.
    demanded: Option<Instant>,
}

/// A key that cannot be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The set has no key with this id.
    Unknown,
    /// The keys with this id are for other algorithms.
    OtherAlgorithm,
    /// There is no set: no fetch has succeeded, or the last success is too long ago.
    NoKeys,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no answer within {FETCH_TIMEOUT:?}")]
    TimedOut,
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLong,
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    #[error("no answer")]
    Http(#[source] reqwest::Error),
}

/// Creates the keys at a URL, and the refresher that fetches them. Fetches nothing yet.
pub(super) fn open(
    url: &Url,
    algorithms: &[TokenAlgorithm],
) -> io::Result<(PublishedKeys, JwksRefresher)> {
    let tls = tls::client_config().map_err(io::Error::other)?;
    let http = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(io::Error::other)?;
    let (key_sender, keys) = watch::channel(None);
    let (requests, queue) = mpsc::channel(MAX_QUEUED_REFRESHES);
    let refresher = JwksRefresher {
        http,
        url: url.clone(),
        algorithms: algorithms.iter().map(|name| algorithm(*name)).collect(),
        keys: key_sender,
        requests: queue,
        fetched: None,
        failures: 0,
        due: Instant::now(),
        demanded: None,
    };
    Ok((PublishedKeys { keys, requests }, refresher))
}

impl PublishedKeys {
    /// Finds the key that a token names. If it is unknown, waits for a fetch: it may be new.
    pub(super) async fn find(
        &self,
        id: &str,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, KeyError> {
        match self.find_current(id, algorithm) {
            Err(KeyError::Unknown) => {
                let (request, done) = oneshot::channel();
                let refresh = async {
                    if self.requests.send(request).await.is_ok() {
                        let _ = done.await;
                    }
                };
                // The second lookup tells whether the fetch has found the key.
                let _ = timeout(DEMAND_TIMEOUT, refresh).await;
                self.find_current(id, algorithm)
            }
            found => found,
        }
    }

    fn find_current(&self, id: &str, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
        let keys = self.keys.borrow();
        let set = keys.as_deref().ok_or(KeyError::NoKeys)?;
        match set.find(id, algorithm) {
            KeyLookup::Found(key) => Ok(key.clone()),
            KeyLookup::OtherAlgorithm => Err(KeyError::OtherAlgorithm),
            KeyLookup::Unknown => Err(KeyError::Unknown),
        }
    }
}

impl JwksRefresher {
    /// Refreshes the keys until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            tokio::select! {
                () = sleep_until(self.due) => self.refresh().await,
                Some(request) = self.requests.recv() => self.serve(request).await,
            }
        }
    }

    /// Fetches the keys for all queued requests, unless an earlier request did so a moment ago.
    async fn serve(&mut self, request: RefreshRequest) {
        let now = Instant::now();
        if self
            .demanded
            .is_none_or(|last| now - last >= DEMAND_INTERVAL)
        {
            self.demanded = Some(now);
            self.refresh().await;
        }
        drop(request);
        while let Ok(next) = self.requests.try_recv() {
            drop(next);
        }
    }

    /// Fetches the keys once, and schedules the next fetch.
    pub(super) async fn refresh(&mut self) {
        match self.fetch().await {
            Ok(set) => {
                self.failures = 0;
                self.fetched = Some(Instant::now());
                self.due = Instant::now() + REFRESH_INTERVAL;
                self.publish(set);
            }
            Err(error) => {
                let backoff = MIN_BACKOFF * 2_u32.saturating_pow(self.failures.min(10));
                self.failures = self.failures.saturating_add(1);
                self.due = Instant::now() + backoff.min(MAX_BACKOFF);
                let error = anyhow::Error::new(error);
                tracing::warn!("the keys at MEDIA_JWKS_URL cannot be fetched: {error:#}");
                if self.fetched.is_some_and(|at| at.elapsed() > MAX_KEY_AGE) {
                    tracing::error!("the keys of MEDIA_JWKS_URL are too old; no token is accepted");
                    self.fetched = None;
                    self.keys.send_replace(None);
                }
            }
        }
    }

    fn publish(&self, set: KeySet) {
        let count = set.len();
        let before = self.keys.send_replace(Some(Arc::new(set)));
        if count == 0 {
            tracing::warn!("MEDIA_JWKS_URL has no usable key; no token is accepted");
        } else if before.is_none_or(|before| before.len() != count) {
            tracing::info!(count, "fetched the keys of MEDIA_JWKS_URL");
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let document = timeout(FETCH_TIMEOUT, self.document())
            .await
            .map_err(|_| FetchError::TimedOut)??;
        Ok(KeySet::parse(&document, &self.algorithms)?)
    }

    async fn document(&self) -> Result<Vec<u8>, FetchError> {
        // The query of the URL may contain a secret.
        let http = |error: reqwest::Error| FetchError::Http(error.without_url());
        let request = self.http.get(self.url.clone());
        let accepted = "application/jwk-set+json, application/json";
        let request = request.header(header::ACCEPT, accepted);
        let mut answer = request.send().await.map_err(http)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(http)? {
            if document.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLong);
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

fn algorithm(name: TokenAlgorithm) -> Algorithm {
    match name {
        TokenAlgorithm::RS256 => Algorithm::RS256,
        TokenAlgorithm::RS384 => Algorithm::RS384,
        TokenAlgorithm::RS512 => Algorithm::RS512,
        TokenAlgorithm::PS256 => Algorithm::PS256,
        TokenAlgorithm::PS384 => Algorithm::PS384,
        TokenAlgorithm::PS512 => Algorithm::PS512,
        TokenAlgorithm::ES256 => Algorithm::ES256,
        TokenAlgorithm::ES384 => Algorithm::ES384,
        TokenAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use media_testkit::{
        tokens::{KeyServer, TokenKey},
        wait_until,
    };

    use super::*;

    fn keys_of(server: &KeyServer) -> (PublishedKeys, JwksRefresher) {
        let url = server.url().parse().unwrap();
        open(&url, &[TokenAlgorithm::ES256]).unwrap()
    }

    fn error_for(keys: &PublishedKeys, id: &str) -> Option<KeyError> {
        keys.find_current(id, Algorithm::ES256).err()
    }

    #[tokio::test]
    async fn keys_stay_in_use_for_a_day_while_fetches_fail() {
        let mut server = KeyServer::with_keys(&[&TokenKey::es256("k")]).await;
        let (keys, mut refresher) = keys_of(&server);
        assert_eq!(error_for(&keys, "k"), Some(KeyError::NoKeys));
        refresher.refresh().await;
        assert_eq!(error_for(&keys, "k"), None);
        server.stop().await;
        refresher.fetched = Instant::now().checked_sub(MAX_KEY_AGE / 2);
        refresher.refresh().await;
        assert_eq!(error_for(&keys, "k"), None);
        refresher.fetched = Instant::now().checked_sub(MAX_KEY_AGE + Duration::from_mins(1));
        refresher.refresh().await;
        assert_eq!(error_for(&keys, "k"), Some(KeyError::NoKeys));
        server.resume().await;
        refresher.refresh().await;
        assert_eq!(error_for(&keys, "k"), None);
    }

    #[tokio::test]
    async fn failed_fetches_are_retried_with_backoff() {
        let mut server = KeyServer::with_keys(&[&TokenKey::es256("k")]).await;
        let (_keys, mut refresher) = keys_of(&server);
        let mut pause = async || {
            let before = Instant::now();
            refresher.refresh().await;
            refresher.due - before
        };
        assert!(pause().await >= REFRESH_INTERVAL);
        server.stop().await;
        let first = pause().await;
        assert!(
            first >= MIN_BACKOFF && first < REFRESH_INTERVAL,
            "{first:?}"
        );
        for _ in 0..40 {
            assert!(pause().await < REFRESH_INTERVAL);
        }
        assert!(pause().await >= MAX_BACKOFF);
        server.resume().await;
        assert!(pause().await >= REFRESH_INTERVAL);
    }

    #[tokio::test]
    async fn keys_are_fetched_regularly_without_a_request() {
        let server = KeyServer::with_keys(&[&TokenKey::es256("old")]).await;
        let (keys, mut refresher) = keys_of(&server);
        refresher.refresh().await;
        server.publish(&[&TokenKey::es256("new")]);
        refresher.due = Instant::now();
        let changed = wait_until("the keys change", FETCH_TIMEOUT * 2, async || {
            error_for(&keys, "new").is_none().then_some(())
        });
        tokio::select! {
            never = refresher.run() => match never {},
            () = changed => {}
        }
        assert_eq!(error_for(&keys, "old"), Some(KeyError::Unknown));
    }
}
