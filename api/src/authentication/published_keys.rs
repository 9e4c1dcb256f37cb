//! The public keys that a server publishes: fetched at the start, again every few minutes, and as
//! soon as a token names a key that is not among them.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey};
use media_services::config::TokenAlgorithm;
use reqwest::{Client, StatusCode, header, redirect};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use url::Url;

use super::key_set::{Found, KeySet, KeySetError};

/// How often the keys are fetched.
const INTERVAL: Duration = Duration::from_mins(5);
/// How often, at most, they are fetched because a token names an unknown key.
const DEMAND_INTERVAL: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// How long a token with an unknown key waits: for a fetch that runs already, and one after it.
const DEMAND_LIMIT: Duration = Duration::from_secs(11);
/// How long a failed fetch is waited after: twice as long each time, up to the longest.
const LEAST_BACKOFF: Duration = Duration::from_secs(1);
const MOST_BACKOFF: Duration = Duration::from_mins(1);
/// How long the keys are believed while the server is away.
const LIFETIME: Duration = Duration::from_hours(24);
/// The longest document.
const MAX_BYTES: usize = 1 << 20;
/// How many requests can stand in line for a fetch; more wait for their place.
const LINE: usize = 64;

type Published = Option<Arc<KeySet>>;
/// Dropped when what was asked for is done, or is not done.
type Asker = oneshot::Sender<Infallible>;

/// The keys, as they are now.
pub(super) struct PublishedKeys {
    keys: watch::Receiver<Published>,
    line: mpsc::Sender<Asker>,
}

/// Keeps the keys fresh.
pub(super) struct KeyRefresh {
    http: Client,
    url: Url,
    algorithms: Vec<Algorithm>,
    keys: watch::Sender<Published>,
    line: mpsc::Receiver<Asker>,
    /// When the keys that are believed came.
    fetched: Option<Instant>,
    /// How often in a row they could not be fetched.
    failures: u32,
    /// When they are fetched next.
    due: Instant,
    /// When they were last fetched because of an unknown key.
    demanded: Option<Instant>,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// There is none of that name.
    Unknown,
    /// The key of that name is not for that algorithm.
    OtherAlgorithm,
    /// There are no keys at all: the server was away from the start, or is for too long.
    NoneYet,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no answer within {FETCH_LIMIT:?}")]
    TimedOut,
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error(transparent)]
    NoSet(#[from] KeySetError),
    #[error("no answer")]
    Http(#[source] reqwest::Error),
}

/// The keys at a URL. Nothing is asked for yet.
pub(super) fn open(
    url: &Url,
    algorithms: &[TokenAlgorithm],
) -> io::Result<(PublishedKeys, KeyRefresh)> {
    let tls = media_tls::client_config().map_err(io::Error::other)?;
    let http = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(io::Error::other)?;
    let (publish, keys) = watch::channel(None);
    let (join, line) = mpsc::channel(LINE);
    let refresh = KeyRefresh {
        http,
        url: url.clone(),
        algorithms: algorithms.iter().map(|name| algorithm(*name)).collect(),
        keys: publish,
        line,
        fetched: None,
        failures: 0,
        due: Instant::now(),
        demanded: None,
    };
    Ok((PublishedKeys { keys, line: join }, refresh))
}

impl PublishedKeys {
    /// The key that a token names, which may have been published just now.
    pub(super) async fn find(&self, id: &str, algorithm: Algorithm) -> Result<DecodingKey, NoKey> {
        match self.look(id, algorithm) {
            Err(NoKey::Unknown) => {
                let (asker, told) = oneshot::channel();
                let asking = async {
                    if self.line.send(asker).await.is_ok() {
                        let _ = told.await;
                    }
                };
                // Whether it came to anything or not, the keys tell.
                let _ = timeout(DEMAND_LIMIT, asking).await;
                self.look(id, algorithm)
            }
            found => found,
        }
    }

    fn look(&self, id: &str, algorithm: Algorithm) -> Result<DecodingKey, NoKey> {
        let keys = self.keys.borrow();
        let set = keys.as_deref().ok_or(NoKey::NoneYet)?;
        match set.find(id, algorithm) {
            Found::Key(key) => Ok(key.clone()),
            Found::OtherAlgorithm => Err(NoKey::OtherAlgorithm),
            Found::Unknown => Err(NoKey::Unknown),
        }
    }
}

impl KeyRefresh {
    /// Keeps the keys fresh for as long as it is let.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            tokio::select! {
                () = sleep_until(self.due) => self.refresh().await,
                Some(asker) = self.line.recv() => self.serve(asker).await,
            }
        }
    }

    /// Fetches the keys for those in line, unless that was done a moment ago.
    async fn serve(&mut self, asker: Asker) {
        let now = Instant::now();
        if self
            .demanded
            .is_none_or(|last| now - last >= DEMAND_INTERVAL)
        {
            self.demanded = Some(now);
            self.refresh().await;
        }
        drop(asker);
        while let Ok(next) = self.line.try_recv() {
            drop(next);
        }
    }

    /// Fetches the keys once, and settles when to do it next.
    pub(super) async fn refresh(&mut self) {
        match self.fetch().await {
            Ok(set) => {
                self.failures = 0;
                self.fetched = Some(Instant::now());
                self.due = Instant::now() + INTERVAL;
                self.publish(set);
            }
            Err(error) => {
                let backoff = LEAST_BACKOFF * 2_u32.saturating_pow(self.failures.min(10));
                self.failures = self.failures.saturating_add(1);
                self.due = Instant::now() + backoff.min(MOST_BACKOFF);
                let error = anyhow::Error::new(error);
                tracing::warn!("the keys at MEDIA_JWKS_URL cannot be fetched: {error:#}");
                if self.fetched.is_some_and(|at| at.elapsed() > LIFETIME) {
                    tracing::error!("the keys of MEDIA_JWKS_URL are too old; no token is believed");
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
            tracing::warn!("MEDIA_JWKS_URL has no key that could be used; no token is believed");
        } else if before.is_none_or(|before| before.len() != count) {
            tracing::info!(count, "keys of MEDIA_JWKS_URL");
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let document = timeout(FETCH_LIMIT, self.document())
            .await
            .map_err(|_| FetchError::TimedOut)??;
        Ok(KeySet::parse(&document, &self.algorithms)?)
    }

    async fn document(&self) -> Result<Vec<u8>, FetchError> {
        // The URL may carry what is nobody's business in its query.
        let http = |error: reqwest::Error| FetchError::Http(error.without_url());
        let request = self.http.get(self.url.clone());
        let accepted = "application/jwk-set+json, application/json";
        let request = request.header(header::ACCEPT, accepted);
        let mut answer = request.send().await.map_err(http)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut document = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(http)? {
            if document.len() + piece.len() > MAX_BYTES {
                return Err(FetchError::TooLong);
            }
            document.extend_from_slice(&piece);
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

    fn of(server: &KeyServer) -> (PublishedKeys, KeyRefresh) {
        let url = server.url().parse().unwrap();
        open(&url, &[TokenAlgorithm::ES256]).unwrap()
    }

    fn found(keys: &PublishedKeys, id: &str) -> Option<NoKey> {
        keys.look(id, Algorithm::ES256).err()
    }

    #[tokio::test]
    async fn keys_are_believed_for_a_day_without_their_server() {
        let mut server = KeyServer::with_keys(&[&TokenKey::es256("k")]).await;
        let (keys, mut refresh) = of(&server);
        assert_eq!(found(&keys, "k"), Some(NoKey::NoneYet));
        refresh.refresh().await;
        assert_eq!(found(&keys, "k"), None);
        server.stop().await;
        refresh.fetched = Instant::now().checked_sub(LIFETIME / 2);
        refresh.refresh().await;
        assert_eq!(found(&keys, "k"), None);
        refresh.fetched = Instant::now().checked_sub(LIFETIME + Duration::from_mins(1));
        refresh.refresh().await;
        assert_eq!(found(&keys, "k"), Some(NoKey::NoneYet));
        server.resume().await;
        refresh.refresh().await;
        assert_eq!(found(&keys, "k"), None);
    }

    #[tokio::test]
    async fn a_failing_server_is_asked_again_soon_and_then_less_often() {
        let mut server = KeyServer::with_keys(&[&TokenKey::es256("k")]).await;
        let (_keys, mut refresh) = of(&server);
        let mut pause = async || {
            let before = Instant::now();
            refresh.refresh().await;
            refresh.due - before
        };
        assert!(pause().await >= INTERVAL);
        server.stop().await;
        let first = pause().await;
        assert!(first >= LEAST_BACKOFF && first < INTERVAL, "{first:?}");
        for _ in 0..40 {
            assert!(pause().await < INTERVAL);
        }
        assert!(pause().await >= MOST_BACKOFF);
        server.resume().await;
        assert!(pause().await >= INTERVAL);
    }

    #[tokio::test]
    async fn keys_are_fetched_when_it_is_time_without_being_asked_for() {
        let server = KeyServer::with_keys(&[&TokenKey::es256("old")]).await;
        let (keys, mut refresh) = of(&server);
        refresh.refresh().await;
        server.publish(&[&TokenKey::es256("new")]);
        refresh.due = Instant::now();
        let changed = wait_until("the keys change", FETCH_LIMIT * 2, async || {
            found(&keys, "new").is_none().then_some(())
        });
        tokio::select! {
            never = refresh.run() => match never {},
            () = changed => {}
        }
        assert_eq!(found(&keys, "old"), Some(NoKey::Unknown));
    }
}
