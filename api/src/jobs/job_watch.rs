//! Watches the jobs that clients listen to, with one read a second for all listeners.

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

use super::resource::JobResource;
use crate::{
    jsonapi,
    resource::{document::ResourceDocument, view::View},
};

/// How often the watched jobs are read.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// The most jobs in one statement.
const JOBS_PER_READ: usize = 500;

/// The latest state of a job; none once it is deleted.
type Latest = Option<job::Model>;

/// Reads the jobs that have listeners.
pub(crate) struct JobWatch {
    jobs: JobRepository,
    watched: Mutex<HashMap<JobId, watch::Sender<Latest>>>,
}

impl JobWatch {
    /// Starts to read, until `end` or until the watch is dropped.
    pub(crate) fn start(jobs: JobRepository, end: CancellationToken) -> Arc<Self> {
        let watch = Arc::new(Self {
            jobs,
            watched: Mutex::default(),
        });
        // The task ends with `end`, or when the watch is dropped: it holds a weak reference.
        tokio::spawn(read_until(Arc::downgrade(&watch), end));
        watch
    }

    /// Listens to a job.
    fn listen(&self, job: &job::Model) -> watch::Receiver<Latest> {
        let mut watched = self.lock();
        if let Some(sender) = watched.get(&job.id) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(Some(job.clone()));
        watched.insert(job.id, sender);
        receiver
    }

    /// Reads every job that still has listeners, and drops the others.
    async fn read(&self) -> Result<(), sea_orm::DbErr> {
        let ids: Vec<JobId> = {
            let mut watched = self.lock();
            watched.retain(|_, sender| sender.receiver_count() > 0);
            watched.keys().copied().collect()
        };
        for ids in ids.chunks(JOBS_PER_READ) {
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
        // No code that holds the lock can leave the map half changed.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_until(watch: Weak<JobWatch>, end: CancellationToken) {
    let mut ticks = interval(READ_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(watch) = watch.upgrade() else {
            return;
        };
        if let Err(error) = watch.read().await {
            tracing::warn!(%error, "the jobs that are listened to could not be read");
        }
    }
}

/// The events of a job: `progress` for each change, then one `end`. `seen` is the identifier of the
/// last event that the listener knows.
pub(super) fn events(
    watch: &JobWatch,
    job: &job::Model,
    seen: Option<String>,
    end: CancellationToken,
) -> impl Stream<Item = Event> + Send + use<> {
    let mut receiver = watch.listen(job);
    // The present state is the first event.
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
    let document = ResourceDocument::<JobResource>::new(job, &View::all(), Vec::new()).into_json();
    Event::message(document.to_string())
        .event_type(kind)
        .id(id_of(job))
}

fn deleted() -> Event {
    let document = json!({ "jsonapi": { "version": jsonapi::VERSION }, "data": null });
    Event::message(document.to_string()).event_type("end")
}

/// The identifier of an event: the time of the change.
fn id_of(job: &job::Model) -> String {
    job.updated_at.timestamp_micros().to_string()
}
