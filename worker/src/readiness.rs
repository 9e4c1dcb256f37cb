//! Whether the parts that every import needs are there. While they are away, a worker claims
//! nothing: each import would fetch its bytes from the origin only to lose them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use media_shared::services::Services;
use tokio::{sync::Mutex, time::Instant};

/// How often parts that are away are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Knows whether the database and the storage are away.
pub(crate) struct Readiness {
    services: Services,
    away: AtomicBool,
    looked: Mutex<Instant>,
}

impl Readiness {
    pub(crate) fn new(services: Services) -> Self {
        Self {
            services,
            away: AtomicBool::new(false),
            looked: Mutex::new(Instant::now()),
        }
    }

    /// Whether an import can be begun. Costs nothing while all is well.
    pub(crate) async fn is_good(&self) -> bool {
        if !self.away.load(Ordering::Relaxed) {
            return true;
        }
        let looked = self.looked.lock().await;
        if looked.elapsed() >= LOOK_EVERY {
            drop(looked);
            return self.look().await;
        }
        !self.away.load(Ordering::Relaxed)
    }

    /// Looks now. To be asked when an import could not be stored: is it the import, or all of them?
    pub(crate) async fn look(&self) -> bool {
        let mut looked = self.looked.lock().await;
        let checked = self.services.check().await;
        *looked = Instant::now();
        let away = checked.is_err();
        let was_away = self.away.swap(away, Ordering::Relaxed);
        match checked {
            Err(error) if !was_away => {
                tracing::warn!(%error, "no imports until database and storage are back");
            }
            Ok(()) if was_away => tracing::info!("database and storage are back"),
            _ => {}
        }
        !away
    }
}
