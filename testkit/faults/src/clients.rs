//! All clients beside the imports: those that hang up, those that stay, and those that interrupt.

use std::sync::Arc;

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    client::Client,
    hang_ups::HangUps,
    interruptions::{Interrupted, Interruptions},
    origin::Origin,
    staying::{Known, Staying},
    tally::Tally,
};

/// How many clients hang up.
const HANG_UPS: u64 = 6;
/// How many clients stay.
const STAYING: u64 = 3;
/// How many clients interrupt their imports.
const INTERRUPTIONS: u64 = 3;

/// Clients that are at work.
pub(crate) struct Clients {
    over: CancellationToken,
    hang_ups: JoinSet<Tally>,
    staying: JoinSet<Known>,
    interruptions: JoinSet<(Vec<Interrupted>, Tally)>,
}

/// The clients' actions, and their knowledge of what was acknowledged.
pub(crate) struct Done {
    pub(crate) hang_ups: Tally,
    pub(crate) known: Vec<Known>,
    pub(crate) interrupted: Vec<Interrupted>,
    pub(crate) interruptions: Tally,
}

impl Clients {
    /// Starts them. Each makes its own choices from the seed.
    pub(crate) fn start(client: &Client, origin: &Arc<Origin>, seed: u64) -> Self {
        let over = CancellationToken::new();
        let random = |kind: u64, index: u64| {
            StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(kind * 100 + index))
        };
        let mut clients = Self {
            over: over.clone(),
            hang_ups: JoinSet::new(),
            staying: JoinSet::new(),
            interruptions: JoinSet::new(),
        };
        for index in 0..HANG_UPS {
            let name = format!("hangs-up-{index}");
            let hang_ups = HangUps::new(client.clone(), name, origin.small(), random(1, index));
            clients.hang_ups.spawn(hang_ups.run(over.clone()));
        }
        for index in 0..STAYING {
            let name = format!("stays-{index}");
            let staying = Staying::new(client.clone(), name, origin.small(), random(2, index));
            clients.staying.spawn(staying.run(over.clone()));
        }
        for index in 0..INTERRUPTIONS {
            let name = format!("interrupts-{index}");
            let origin = Arc::clone(origin);
            let interrupts = Interruptions::new(client.clone(), name, origin, random(3, index));
            clients.interruptions.spawn(interrupts.run(over.clone()));
        }
        clients
    }

    /// Tells them to end, and waits until they have.
    pub(crate) async fn finish(self) -> Done {
        self.over.cancel();
        let mut done = Done {
            hang_ups: Tally::default(),
            known: self.staying.join_all().await,
            interrupted: Vec::new(),
            interruptions: Tally::default(),
        };
        for tally in self.hang_ups.join_all().await {
            done.hang_ups.merge(&tally);
        }
        for (interrupted, tally) in self.interruptions.join_all().await {
            done.interrupted.extend(interrupted);
            done.interruptions.merge(&tally);
        }
        done
    }
}
