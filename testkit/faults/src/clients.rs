//! All clients except those that post the load: clients that disconnect, persistent clients, and clients that
//! interrupt imports.

use std::sync::Arc;

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    client::Client,
    disconnects::DisconnectingClient,
    interruptions::{Interrupted, InterruptingClient},
    origin::Origin,
    persistent::{Acknowledged, PersistentClient},
    tally::Tally,
};

/// The number of clients that disconnect.
const DISCONNECTING_CLIENTS: u64 = 6;
/// The number of persistent clients.
const PERSISTENT_CLIENTS: u64 = 3;
/// The number of clients that interrupt their imports.
const INTERRUPTING_CLIENTS: u64 = 3;

/// Running clients.
pub(crate) struct Clients {
    over: CancellationToken,
    disconnects: JoinSet<Tally>,
    persistent: JoinSet<Acknowledged>,
    interruptions: JoinSet<(Vec<Interrupted>, Tally)>,
}

/// The actions of the clients, and what was acknowledged to them.
pub(crate) struct Done {
    pub(crate) disconnects: Tally,
    pub(crate) acknowledged: Vec<Acknowledged>,
    pub(crate) interrupted: Vec<Interrupted>,
    pub(crate) interruptions: Tally,
}

impl Clients {
    /// Starts all clients. Each has its own random choices, which follow from the seed.
    pub(crate) fn start(client: &Client, origin: &Arc<Origin>, seed: u64) -> Self {
        let over = CancellationToken::new();
        let random = |kind: u64, index: u64| {
            StdRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(kind * 100 + index))
        };
        let mut clients = Self {
            over: over.clone(),
            disconnects: JoinSet::new(),
            persistent: JoinSet::new(),
            interruptions: JoinSet::new(),
        };
        for index in 0..DISCONNECTING_CLIENTS {
            let name = format!("hangs-up-{index}");
            let disconnects =
                DisconnectingClient::new(client.clone(), name, origin.small(), random(1, index));
            clients.disconnects.spawn(disconnects.run(over.clone()));
        }
        for index in 0..PERSISTENT_CLIENTS {
            let name = format!("stays-{index}");
            let persistent =
                PersistentClient::new(client.clone(), name, origin.small(), random(2, index));
            clients.persistent.spawn(persistent.run(over.clone()));
        }
        for index in 0..INTERRUPTING_CLIENTS {
            let name = format!("interrupts-{index}");
            let origin = Arc::clone(origin);
            let interrupts =
                InterruptingClient::new(client.clone(), name, origin, random(3, index));
            clients.interruptions.spawn(interrupts.run(over.clone()));
        }
        clients
    }

    /// Stops the clients and waits until they have ended.
    pub(crate) async fn finish(self) -> Done {
        self.over.cancel();
        let mut done = Done {
            disconnects: Tally::default(),
            acknowledged: self.persistent.join_all().await,
            interrupted: Vec::new(),
            interruptions: Tally::default(),
        };
        for tally in self.disconnects.join_all().await {
            done.disconnects.merge(&tally);
        }
        for (interrupted, tally) in self.interruptions.join_all().await {
            done.interrupted.extend(interrupted);
            done.interruptions.merge(&tally);
        }
        done
    }
}
