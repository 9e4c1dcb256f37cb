//! Whether the parts that every import needs are there. While they are away, a worker claims
//! nothing: each import would fetch its bytes from the origin only to lose them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use media_services::Services;
use media_telemetry::metrics::metrics;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How often parts that are away are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An outage that begins so soon after the last one is the same trouble: a store that gives way
/// under load is back as soon as the load is gone.
const SAME_TROUBLE: Duration = Duration::from_mins(5);
/// The longest wait after an outage.
const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// Knows whether the database and the storage are away.
pub(crate) struct Readiness {
    services: Services,
    /// Whether imports are to wait.
    closed: AtomicBool,
    known: Mutex<Known>,
}

/// What is known of the parts.
struct Known {
    looked: Instant,
    away: bool,
    /// When they were last found to be back.
    back: Instant,
    /// How often they went away within the same trouble.
    outages: u32,
}

impl Readiness {
    pub(crate) fn new(services: Services) -> Self {
        let now = Instant::now();
        Self {
            services,
            closed: AtomicBool::new(false),
            known: Mutex::new(Known {
                looked: now,
                away: false,
                back: now,
                outages: 0,
            }),
        }
    }

    /// Whether an import can be begun. Costs nothing while all is well.
    pub(crate) async fn is_good(&self) -> bool {
        if !self.closed.load(Ordering::Relaxed) {
            return true;
        }
        let mut known = self.known.lock().await;
        if known.away {
            if known.looked.elapsed() >= LOOK_EVERY {
                self.check(&mut known).await;
            }
            return false;
        }
        let open = known.back.elapsed() >= known.wait();
        self.closed.store(!open, Ordering::Relaxed);
        open
    }

    /// Looks for parts that are away, until `end`: a worker that has nothing to do finds out as well
    /// that they are back.
    pub(crate) async fn keep_looking(self: Arc<Self>, end: CancellationToken) {
        let looking = async {
            loop {
                sleep(LOOK_EVERY).await;
                self.is_good().await;
            }
        };
        end.run_until_cancelled(looking).await;
    }

    /// Looks now. To be asked when an import could not be stored: is it the import, or all of them?
    /// Imports that fail together share one look.
    pub(crate) async fn look(&self) -> bool {
        let asked = Instant::now();
        let mut known = self.known.lock().await;
        if known.looked < asked {
            self.check(&mut known).await;
        }
        !known.away
    }

    async fn check(&self, known: &mut Known) {
        let checked = self.services.check().await;
        known.looked = Instant::now();
        match checked {
            Err(error) if !known.away => {
                tracing::warn!(%error, "no imports until database and storage are back");
                let before = if known.back.elapsed() < SAME_TROUBLE {
                    known.outages
                } else {
                    0
                };
                known.outages = before.saturating_add(1);
                known.away = true;
                metrics().waits_for_dependencies(true);
                self.closed.store(true, Ordering::Relaxed);
            }
            Ok(()) if known.away => {
                known.away = false;
                metrics().waits_for_dependencies(false);
                known.back = Instant::now();
                let wait = known.wait();
                tracing::info!(?wait, "database and storage are back");
            }
            _ => {}
        }
    }
}

impl Known {
    /// How long imports wait once the parts are back: not at all the first time.
    fn wait(&self) -> Duration {
        let doubled = self.outages.saturating_sub(1).min(16);
        match doubled {
            0 => Duration::ZERO,
            n => Duration::from_secs(1 << n).min(LONGEST_WAIT),
        }
    }
}
