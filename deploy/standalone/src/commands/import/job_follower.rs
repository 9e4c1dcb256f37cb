//! Follows many jobs with one request for up to 100 of them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep},
};

use crate::client::{ApiClient, ClientError, JobSnapshot};

/// The interval between two requests to a service on this machine.
const LOCAL_INTERVAL: Duration = Duration::from_millis(100);
/// The interval between two requests to another service, which limits their rate.
const REMOTE_INTERVAL: Duration = Duration::from_millis(500);
/// The longest outage of the service while jobs are followed. It does not end the jobs.
const MAX_OUTAGE: Duration = Duration::from_secs(15);
/// The most jobs in one request.
const MAX_JOBS_PER_REQUEST: usize = 100;

/// The state of a job: none if it does not exist any more.
pub(super) type Update = Result<Option<JobSnapshot>, ClientError>;

/// Looks up the followed jobs again and again.
pub(super) struct JobFollower<'c> {
    client: &'c ApiClient,
    followed: Mutex<HashMap<String, UnboundedSender<Update>>>,
}

impl<'c> JobFollower<'c> {
    /// Creates a follower of no job.
    pub(super) fn new(client: &'c ApiClient) -> Self {
        let followed = Mutex::default();
        Self { client, followed }
    }

    /// Follows a job until the receiver is dropped.
    pub(super) fn follow(&self, id: &str) -> UnboundedReceiver<Update> {
        let (sender, receiver) = unbounded_channel();
        self.lock().insert(id.to_owned(), sender);
        receiver
    }

    /// Looks up the jobs for as long as it is polled.
    pub(super) async fn run(&self) -> Infallible {
        let is_local = self.client.url().host_str().is_some_and(is_loopback);
        let interval = if is_local {
            LOCAL_INTERVAL
        } else {
            REMOTE_INTERVAL
        };
        let mut deadline = Instant::now() + MAX_OUTAGE;
        loop {
            sleep(interval).await;
            match self.look_up().await {
                Err(error) if !error.is_temporary() || Instant::now() > deadline => {
                    for (_, sender) in self.lock().drain() {
                        // An import that has ended needs no error.
                        let _ = sender.send(Err(error.clone()));
                    }
                }
                Err(_) => {}
                Ok(()) => deadline = Instant::now() + MAX_OUTAGE,
            }
        }
    }

    async fn look_up(&self) -> Result<(), ClientError> {
        let ids: Vec<String> = {
            let mut followed = self.lock();
            followed.retain(|_, sender| !sender.is_closed());
            followed.keys().cloned().collect()
        };
        for ids in ids.chunks(MAX_JOBS_PER_REQUEST) {
            let mut snapshots = self.client.snapshots(ids).await?;
            let followed = self.lock();
            for id in ids {
                if let Some(sender) = followed.get(id) {
                    // Fails if nobody follows the job any more.
                    let _ = sender.send(Ok(snapshots.remove(id)));
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, UnboundedSender<Update>>> {
        // No code panics while it holds the lock.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "[::1]"
}
