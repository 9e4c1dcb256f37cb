//! Readiness of the database and storage. While one is unavailable, a worker claims no jobs: each import would
//! fetch a file only to lose it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use media_shared::{metrics::figures, services::Services};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Interval of checks while a dependency is unavailable.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time within which a further outage belongs to the previous one: a store that fails under load recovers when
/// the load is gone.
const OUTAGE_MERGE_WINDOW: Duration = Duration::from_mins(5);
/// Maximum pause after an outage.
const MAX_PAUSE: Duration = Duration::from_mins(2);

/// Tracks whether the database and storage are available.
pub(crate) struct Readiness {
    services: Services,
    /// Whether imports have to wait.
    is_blocked: AtomicBool,
    state: Mutex<State>,
}

struct State {
    checked_at: Instant,
    is_unavailable: bool,
    /// Time of the last recovery.
    recovered_at: Instant,
    /// Number of merged outages.
    outages: u32,
}

impl Readiness {
    pub(crate) fn new(services: Services) -> Self {
        let now = Instant::now();
        Self {
            services,
            is_blocked: AtomicBool::new(false),
            state: Mutex::new(State {
                checked_at: now,
                is_unavailable: false,
                recovered_at: now,
                outages: 0,
            }),
        }
    }

    /// Whether an import can start. Cheap while the dependencies are available.
    pub(crate) async fn is_ready(&self) -> bool {
        if !self.is_blocked.load(Ordering::Relaxed) {
            return true;
        }
        let mut state = self.state.lock().await;
        if state.is_unavailable {
            if state.checked_at.elapsed() >= CHECK_INTERVAL {
                self.check(&mut state).await;
            }
            return false;
        }
        let is_ready = state.recovered_at.elapsed() >= state.pause();
        self.is_blocked.store(!is_ready, Ordering::Relaxed);
        is_ready
    }

    /// Checks unavailable dependencies until `end`, so that an idle worker notices their recovery as well.
    pub(crate) async fn watch(self: Arc<Self>, end: CancellationToken) {
        let watching = async {
            loop {
                sleep(CHECK_INTERVAL).await;
                self.is_ready().await;
            }
        };
        end.run_until_cancelled(watching).await;
    }

    /// Checks now, and returns whether the dependencies are available: called when an import could not be stored,
    /// to tell an outage from a failure of that import. Concurrent calls share one check.
    pub(crate) async fn check_now(&self) -> bool {
        let called_at = Instant::now();
        let mut state = self.state.lock().await;
        if state.checked_at < called_at {
            self.check(&mut state).await;
        }
        !state.is_unavailable
    }

    async fn check(&self, state: &mut State) {
        let checked = self.services.check().await;
        state.checked_at = Instant::now();
        match checked {
            Err(error) if !state.is_unavailable => {
                tracing::warn!(%error, "no imports until the database and storage are available");
                if state.recovered_at.elapsed() >= OUTAGE_MERGE_WINDOW {
                    state.outages = 0;
                }
                state.outages = state.outages.saturating_add(1);
                state.is_unavailable = true;
                figures().waits_for_parts(true);
                self.is_blocked.store(true, Ordering::Relaxed);
            }
            Ok(()) if state.is_unavailable => {
                state.is_unavailable = false;
                figures().waits_for_parts(false);
                state.recovered_at = Instant::now();
                let pause = state.pause();
                tracing::info!(?pause, "the database and storage are available again");
            }
            _ => {}
        }
    }
}

impl State {
    /// Returns how long imports wait after a recovery: not at all after the first outage.
    fn pause(&self) -> Duration {
        let doublings = self.outages.saturating_sub(1).min(16);
        match doublings {
            0 => Duration::ZERO,
            n => Duration::from_secs(1 << n).min(MAX_PAUSE),
        }
    }
}
