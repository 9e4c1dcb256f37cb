//! Polls the jobs of event streams: once a second for all streams together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures_util::{Stream, stream};
use media_database::{entities::job, job_repository::JobRepository};
use media_domain::ids::JobId;
use poem::web::sse::Event;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::fields::JobResource;
use crate::{jsonapi, resource::document::ResourceDocument};

/// The interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The most jobs in one statement.
const MAX_JOBS_PER_STATEMENT: usize = 500;

/// The latest state of a job; none if it was deleted.
type Latest = Option<job::Model>;

/// Polls the jobs that have subscribers.
pub(crate) struct JobWatch {
    jobs: JobRepository,
    watched: Mutex<HashMap<JobId, watch::Sender<Latest>>>,
}

impl JobWatch {
    /// Starts to poll, until `end` or until the watch is dropped.
    pub(crate) fn start(jobs: JobRepository, end: CancellationToken) -> Arc<Self> {
        let watch = Arc::new(Self {
            jobs,
            watched: Mutex::default(),
        });
        // The weak reference lets the task end when the watch is dropped.
        tokio::spawn(poll_until(Arc::downgrade(&watch), end));
        watch
    }

    fn subscribe(&self, job: &job::Model) -> watch::Receiver<Latest> {
        let mut watched = self.lock();
        if let Some(sender) = watched.get(&job.id) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(Some(job.clone()));
        watched.insert(job.id, sender);
        receiver
    }

    /// Reads every job that has subscribers, and drops the others.
    async fn poll(&self) -> Result<(), sea_orm::DbErr> {
        let ids: Vec<JobId> = {
            let mut watched = self.lock();
            watched.retain(|_, sender| sender.receiver_count() > 0);
            watched.keys().copied().collect()
        };
        for ids in ids.chunks(MAX_JOBS_PER_STATEMENT) {
            let found = self.jobs.find_all(ids.to_vec()).await?;
            let mut found: HashMap<_, _> = found.into_iter().map(|job| (job.id, job)).collect();
            let watched = self.lock();
            for id in ids {
                if let Some(sender) = watched.get(id) {
                    let latest = found.remove(id);
                    sender.send_if_modified(|known| {
                        let changed = *known != latest;
                        *known = latest;
                        changed
                    });
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, watch::Sender<Latest>>> {
        // No code panics while it holds the lock.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn poll_until(watch: Weak<JobWatch>, end: CancellationToken) {
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(watch) = watch.upgrade() else {
            return;
        };
        if let Err(error) = watch.poll().await {
            tracing::warn!(%error, "the jobs of event streams cannot be read");
        }
    }
}

/// Streams the events of a job: `progress` for each change, then one `end`. `seen` is the id of the last event that the
/// client has received.
pub(super) fn events(
    watch: &JobWatch,
    job: &job::Model,
    seen: Option<String>,
    end: CancellationToken,
) -> impl Stream<Item = Event> + Send + use<> {
    let mut receiver = watch.subscribe(job);
    // The current state is the first event.
    receiver.mark_changed();
    stream::unfold(Some((receiver, seen, end)), |state| async move {
        let (mut receiver, mut seen, end) = state?;
        loop {
            tokio::select! {
                changed = receiver.changed() => changed.ok()?,
                () = end.cancelled() => return None,
            }
            let latest = receiver.borrow_and_update().clone();
            let Some(job) = latest else {
                return Some((deleted(), None));
            };
            if job.status.is_final() {
                return Some((event_of(&job, "end"), None));
            }
            let id = id_of(&job);
            if seen.as_ref() == Some(&id) {
                continue;
            }
            seen = Some(id);
            return Some((event_of(&job, "progress"), Some((receiver, seen, end))));
        }
    })
}

fn event_of(job: &job::Model, kind: &str) -> Event {
    let document = ResourceDocument::<JobResource>::with_all_fields(job).into_json();
    Event::message(document.to_string())
        .event_type(kind)
        .id(id_of(job))
}

fn deleted() -> Event {
    let document = json!({ "jsonapi": { "version": jsonapi::VERSION }, "data": null });
    Event::message(document.to_string()).event_type("end")
}

/// The id of an event: the time of the change, in microseconds since 1970.
fn id_of(job: &job::Model) -> String {
    job.updated_at.timestamp_micros().to_string()
}
