//! The soak: hostile callers use up all that they can get from a cluster while two honest projects work. The
//! honest projects must be served in time, and the memory of the programs must stay bounded.

#![allow(missing_docs, reason = "a crate for tests; most names say everything")]
// In tests a failure is a panic that says where; nothing here connects on behalf of a user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use media_testkit::cluster::Cluster;
use tokio_util::sync::CancellationToken;

mod attack;
mod callers;
mod honest;
mod origins;
mod programs;
mod report;

use attack::Attackers;
use callers::Target;
use honest::Honest;
use origins::HostileOrigins;
use programs::Watch;
pub use report::SoakReport;

/// `MEDIA_MAX_CONNECTIONS`: less than the hostile callers try to hold.
const MAX_CONNECTIONS: usize = 1024;
const HONEST_PROJECTS: [&str; 2] = ["north", "south"];
/// The time in which hostile callers connect before anything is measured.
const WARM_UP: Duration = Duration::from_secs(5);

/// The parameters of a soak.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// The time during which honest callers are measured.
    pub duration: Duration,
    /// The divisor of the number of hostile connections of a full soak.
    pub divisor: usize,
}

impl Soak {
    pub async fn run(self) -> SoakReport {
        let started = Instant::now();
        let max_connections = MAX_CONNECTIONS / self.divisor;
        let mut cluster = Cluster::start()
            .await
            .with("MEDIA_EGRESS_ALLOW", "127.0.0.0/8")
            .with("MEDIA_MAX_CONNECTIONS", &max_connections.to_string());
        for (name, value) in callers::variables() {
            cluster = cluster.with(name, value);
        }
        let api = cluster.api("api").await;
        let worker = cluster.worker("worker").await;
        let watch = Watch::start(&api, &worker);
        let target = Target::new(&api);
        let origins = HostileOrigins::start().await;

        let over = CancellationToken::new();
        let attackers = Attackers::start(&target, &origins, self.divisor, &over).await;
        tokio::time::sleep(WARM_UP).await;
        let mut honest = Vec::new();
        for (number, project) in HONEST_PROJECTS.into_iter().enumerate() {
            honest.push(Honest::start(
                &target,
                &cluster.origin,
                project,
                number,
                &over,
            ));
        }
        tokio::time::sleep(self.duration).await;
        over.cancel();
        let mut seen = Vec::new();
        for honest in honest {
            seen.push(honest.finish().await);
        }
        let attacks = attackers.finish().await;
        SoakReport {
            honest: seen,
            attacks,
            programs: watch.finish().await,
            took: started.elapsed(),
        }
    }
}
