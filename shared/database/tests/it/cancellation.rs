//! Cancellation of operations at every await point: each operation takes effect completely or not at all, and no
//! acknowledged write of another caller is lost.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::future::join_all;
use media_database::{
    Database,
    blob_repository::BlobRepository,
    host_limits::HostLimits,
    job_repository::{Created, HeartbeatRequest, JobRepository, Reschedule, SlotUse, StrayLeases},
    media_repository::NewMedia,
};
use media_domain::{
    blob::{BlobOwner, Checkpoint, ResumeLocation, ResumePoint, StagedBlob},
    caller::{Caller, Creator},
    ids::{JobId, WorkerId},
    job::{Failure, FailureCode, Lease, Priority, Signal, Unicity},
    media::MediaPath,
};
use media_ingest::garbage_collector::collect;
use media_migrations::integrity;
use media_storage::{BlobStore, disk::DiskStore};
use media_testkit::databases::TestDatabase;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
use tokio::sync::Notify;

use media_testkit::repositories::{KNOWN, LEASE, Repositories, import_to, new_media, path};

const PROJECT: &str = "press";
/// An upper bound of the await points of an operation.
const MAX_POLLS: usize = 1000;
/// The maximum time between two polls of an operation.
const WAKE_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_operations_are_atomic_on_sqlite() {
    let test = media_testkit::databases::sqlite().await;
    drop_at_every_await(test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_operations_are_atomic_on_postgres() {
    let test = media_testkit::databases::postgres().await;
    drop_at_every_await(test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_operations_are_atomic_behind_pgbouncer() {
    let test = media_testkit::databases::pgbouncer().await;
    drop_at_every_await(test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_units_are_atomic_on_sqlite() {
    let test = media_testkit::databases::sqlite().await;
    interrupt_units(test).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_units_are_atomic_on_postgres() {
    let test = media_testkit::databases::postgres().await;
    interrupt_units(test).await;
}

/// Drops each operation before its first poll, after its first poll, and so on until it completes.
async fn drop_at_every_await(test: TestDatabase) {
    let mut harness = Harness::open(&test.database).await;
    for operation in Operation::ALL {
        for polls in 0..MAX_POLLS {
            let ended = harness.attempt(operation, polls).await;
            harness.check(operation).await;
            if ended {
                break;
            }
        }
    }
    harness.finish(test).await;
}

/// Interrupts the units of work themselves after different times, as their time limit does.
async fn interrupt_units(test: TestDatabase) {
    let mut harness = Harness::open(&test.database).await;
    for operation in Operation::ALL {
        for limit in [0, 50, 150, 300, 600, 1200, 2500].map(Duration::from_micros) {
            harness.interrupt(operation, limit).await;
            harness.check(operation).await;
        }
    }
    harness.finish(test).await;
}

/// Every operation that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    CreateUnique,
    CreateWithinQuota,
    Claim,
    ClaimBatch,
    Heartbeat,
    Complete,
    CompleteReplacing,
    Fail,
    Release,
    Stopped,
    Signal(Signal),
    Reschedule,
    DeleteJob,
    PromoteDue,
    RescueExpired,
    RescueStray,
    Prune,
    Stage,
    Renew,
    SaveCheckpoint,
    ResumeCheckpoint,
    Touch,
    Abandon,
    AbandonAttempt,
    AbandonStale,
    Reserve,
    ReserveLess,
    Collect,
    Publish,
    PublishReplacing,
    DeleteMedia,
    BackOff,
    AcquireConnections,
    ReleaseConnections,
    PruneHostLimits,
}

impl Operation {
    const ALL: [Self; 39] = [
        Self::Create,
        Self::CreateUnique,
        Self::CreateWithinQuota,
        Self::Claim,
        Self::ClaimBatch,
        Self::Heartbeat,
        Self::Complete,
        Self::CompleteReplacing,
        Self::Fail,
        Self::Release,
        Self::Stopped,
        Self::Signal(Signal::Cancel),
        Self::Signal(Signal::Pause),
        Self::Signal(Signal::Resume),
        Self::Signal(Signal::Retry),
        Self::Reschedule,
        Self::DeleteJob,
        Self::PromoteDue,
        Self::RescueExpired,
        Self::RescueStray,
        Self::Prune,
        Self::Stage,
        Self::Renew,
        Self::SaveCheckpoint,
        Self::ResumeCheckpoint,
        Self::Touch,
        Self::Abandon,
        Self::AbandonAttempt,
        Self::AbandonStale,
        Self::Reserve,
        Self::ReserveLess,
        Self::Collect,
        Self::Publish,
        Self::PublishReplacing,
        Self::DeleteMedia,
        Self::BackOff,
        Self::AcquireConnections,
        Self::ReleaseConnections,
        Self::PruneHostLimits,
    ];
}

/// The repositories under test, and the acknowledged writes of concurrent clients, which must not be lost.
struct Harness {
    repositories: Repositories,
    store: Arc<dyn BlobStore>,
    _directory: tempfile::TempDir,
    acknowledged: Vec<JobId>,
    number: usize,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Harness {
    async fn open(database: &Database) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path().into()).await.unwrap();
        Self {
            repositories: Repositories::open(database),
            store: Arc::new(store),
            _directory: directory,
            acknowledged: Vec::new(),
            number: 0,
        }
    }

    /// Polls an operation a number of times, concurrently with clients that are not cancelled. Returns whether it
    /// completed.
    async fn attempt(&mut self, operation: Operation, polls: usize) -> bool {
        let repositories = self.repositories.clone();
        let running = self.prepare(operation, &repositories).await;
        let witnesses = self.witnesses();
        let ended = poll_times(running, polls).await;
        self.acknowledge(witnesses).await;
        ended
    }

    /// Runs an operation whose units have a time limit, concurrently with clients whose units have none.
    async fn interrupt(&mut self, operation: Operation, limit: Duration) {
        let mut repositories = self.repositories.clone();
        let prepared = repositories.clone();
        repositories.limit_units(limit);
        let running = self.prepare_on(operation, &prepared, &repositories).await;
        let witnesses = self.witnesses();
        running.await;
        self.acknowledge(witnesses).await;
    }

    /// Starts other clients that create jobs concurrently.
    fn witnesses(&mut self) -> Vec<tokio::task::JoinHandle<JobId>> {
        (0..3)
            .map(|_| {
                self.number += 1;
                let job = import_to(&path(&format!("witness {}", self.number)));
                let far = self.repositories.clock.now() + chrono::TimeDelta::days(3650);
                let job = job.scheduled_at(Some(far));
                let jobs = self.repositories.jobs.clone();
                tokio::spawn(async move { created(&jobs, job).await })
            })
            .collect()
    }

    async fn acknowledge(&mut self, witnesses: Vec<tokio::task::JoinHandle<JobId>>) {
        for witness in join_all(witnesses).await {
            self.acknowledged.push(witness.unwrap());
        }
    }

    async fn prepare(&mut self, operation: Operation, repositories: &Repositories) -> Running {
        self.prepare_on(operation, repositories, repositories).await
    }

    /// Creates the preconditions of an operation on `ready`, and returns the operation on `repositories`.
    #[allow(clippy::too_many_lines, reason = "a line or two for each operation")]
    async fn prepare_on(
        &mut self,
        operation: Operation,
        ready: &Repositories,
        repositories: &Repositories,
    ) -> Running {
        self.number += 1;
        let place = path(&format!("place {}", self.number));
        let (jobs, blobs, medias) = (
            repositories.jobs.clone(),
            repositories.blobs.clone(),
            repositories.medias.clone(),
        );
        let limits = HostLimits::new(repositories.database.clone(), repositories.clock.clock());
        let worker = WorkerId::generate();
        let host = format!("host-{}.test", self.number);
        match operation {
            Operation::Create => ignore(async move { jobs.create(import_to(&place)).await }),
            Operation::CreateUnique => {
                let unicity = Unicity::new(&format!("unique {}", self.number)).unwrap();
                let job = import_to(&place).unicity(Some(unicity));
                ignore(async move { jobs.create(job).await })
            }
            Operation::CreateWithinQuota => {
                let jobs = jobs.max_unfinished_jobs(Some(1_000_000));
                let job = import_to(&place).with_creator(creator());
                ignore(async move { jobs.create(job).await })
            }
            Operation::Claim => {
                ready.jobs.create(import_to(&place)).await.unwrap();
                ignore(async move { jobs.claim(worker, &KNOWN).await })
            }
            Operation::ClaimBatch => {
                ready.jobs.create(import_to(&place)).await.unwrap();
                let claims = jobs.claims(worker, &KNOWN);
                ignore(async move { claims.next(SlotUse::AnyProject).await })
            }
            Operation::Heartbeat => {
                let lease = running(ready, &place).await;
                let request = HeartbeatRequest {
                    lease,
                    progress: 1,
                    bytes_done: 2,
                    bytes_total: None,
                };
                ignore(async move { jobs.heartbeat(&[request]).await })
            }
            Operation::Complete => {
                let (lease, media) = self.stored(ready, place).await;
                ignore(async move { jobs.complete(lease, media).await })
            }
            Operation::CompleteReplacing => {
                self.published(ready, &place).await;
                let (lease, media) = self.stored(ready, place).await;
                ignore(async move { jobs.complete(lease, media).await })
            }
            Operation::Fail => {
                let lease = running(ready, &place).await;
                let failure = Failure::new(FailureCode::OriginError, "it failed");
                ignore(async move { jobs.fail(lease, failure).await })
            }
            Operation::Release => {
                let lease = running(ready, &place).await;
                ignore(async move { jobs.release(lease).await })
            }
            Operation::Stopped => {
                let lease = running(ready, &place).await;
                ready
                    .jobs
                    .signal(lease.job_id, Signal::Cancel)
                    .await
                    .unwrap();
                ignore(async move { jobs.stopped(lease).await })
            }
            Operation::Signal(signal) => {
                let id = created(&ready.jobs, import_to(&place)).await;
                let before = match signal {
                    Signal::Resume => Some(Signal::Pause),
                    Signal::Retry => Some(Signal::Cancel),
                    Signal::Cancel | Signal::Pause => None,
                };
                if let Some(before) = before {
                    ready.jobs.signal(id, before).await.unwrap();
                }
                ignore(async move { jobs.signal(id, signal).await })
            }
            Operation::Reschedule => {
                let id = created(&ready.jobs, import_to(&place)).await;
                let change = Reschedule {
                    priority: Some(Priority::new(7).unwrap()),
                    scheduled_at: None,
                };
                ignore(async move { jobs.reschedule(id, change).await })
            }
            Operation::DeleteJob => {
                let id = created(&ready.jobs, import_to(&place)).await;
                ignore(async move { jobs.delete(id).await })
            }
            Operation::PromoteDue => {
                let soon = ready.clock.now() + chrono::TimeDelta::seconds(1);
                let job = import_to(&place).scheduled_at(Some(soon));
                ready.jobs.create(job).await.unwrap();
                ready.clock.advance(Duration::from_secs(2));
                ignore(async move { jobs.promote_due().await })
            }
            Operation::RescueExpired => {
                running(ready, &place).await;
                ready.clock.advance(LEASE * 2);
                ignore(async move { jobs.rescue_expired().await })
            }
            Operation::RescueStray => {
                let mut watch = StrayLeases::default();
                ignore(async move {
                    jobs.rescue_stray(&mut watch, std::time::Instant::now())
                        .await
                })
            }
            Operation::Prune => {
                let id = created(&ready.jobs, import_to(&place)).await;
                ready.jobs.signal(id, Signal::Cancel).await.unwrap();
                ready.clock.advance(Duration::from_secs(10));
                ignore(async move { jobs.prune(Duration::from_secs(5)).await })
            }
            Operation::Stage => {
                ignore(async move { blobs.stage(BlobOwner::Upload, Some(PROJECT)).await })
            }
            Operation::Renew => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.renew(blob.id).await })
            }
            Operation::SaveCheckpoint => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.save_checkpoint(&blob, &checkpoint()).await })
            }
            Operation::ResumeCheckpoint => {
                let lease = self.with_checkpoint(ready, &place).await;
                ignore(async move { blobs.resume_checkpoint(lease).await })
            }
            Operation::Touch => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.touch(&blob).await })
            }
            Operation::Abandon => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.abandon(&blob).await })
            }
            Operation::AbandonAttempt => {
                let (lease, _) = self.stored(ready, place).await;
                ignore(async move { blobs.abandon_attempt(lease).await })
            }
            Operation::AbandonStale => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.abandon_stale(&blob).await })
            }
            Operation::Reserve => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.reserve(&blob, 7).await })
            }
            Operation::ReserveLess => {
                let blob = staged(&ready.blobs).await;
                ignore(async move { blobs.reserve(&blob, -3).await })
            }
            Operation::Collect => {
                staged(&ready.blobs).await;
                ready.clock.advance(Duration::from_mins(3));
                let store = Arc::clone(&self.store);
                ignore(async move { collect(&blobs, &store).await })
            }
            Operation::Publish => {
                let media = upload(&ready.blobs, &place).await;
                ignore(async move { medias.publish(media).await })
            }
            Operation::PublishReplacing => {
                self.published(ready, &place).await;
                let media = upload(&ready.blobs, &place).await;
                ignore(async move { medias.publish(media).await })
            }
            Operation::DeleteMedia => {
                let id = self.published(ready, &place).await;
                let scope = Caller::Unrestricted.write_scope().unwrap();
                ignore(async move { medias.delete(id, &scope).await })
            }
            Operation::BackOff => {
                ignore(async move { limits.back_off(&host, Duration::from_secs(5)).await })
            }
            Operation::AcquireConnections => {
                ignore(async move { limits.acquire_connections(&host, worker, 1, 4).await })
            }
            Operation::ReleaseConnections => {
                let host_limits = HostLimits::new(ready.database.clone(), ready.clock.clock());
                host_limits
                    .acquire_connections(&host, worker, 1, 4)
                    .await
                    .unwrap();
                ignore(async move { limits.release_connections(&host, worker).await })
            }
            Operation::PruneHostLimits => {
                let host_limits = HostLimits::new(ready.database.clone(), ready.clock.clock());
                host_limits
                    .back_off(&host, Duration::from_secs(1))
                    .await
                    .unwrap();
                ready.clock.advance(Duration::from_secs(20));
                ignore(async move { limits.prune().await })
            }
        }
    }

    /// A running job with a stored blob that counts towards the project's quota.
    async fn stored(&self, ready: &Repositories, place: MediaPath) -> (Lease, NewMedia) {
        let lease = running(ready, &place).await;
        let owner = BlobOwner::Attempt(lease);
        let blob = ready.blobs.stage(owner, Some(PROJECT)).await.unwrap();
        ready.blobs.reserve(&blob, 4).await.unwrap();
        (lease, of_project(place, &blob))
    }

    /// A running job whose first attempt has left a checkpoint.
    async fn with_checkpoint(&self, ready: &Repositories, place: &MediaPath) -> Lease {
        let lease = running(ready, place).await;
        let owner = BlobOwner::Attempt(lease);
        let blob = ready.blobs.stage(owner, Some(PROJECT)).await.unwrap();
        ready
            .blobs
            .save_checkpoint(&blob, &checkpoint())
            .await
            .unwrap();
        ready.jobs.release(lease).await.unwrap();
        claim(ready, lease.job_id).await
    }

    async fn published(
        &self,
        ready: &Repositories,
        place: &MediaPath,
    ) -> media_domain::ids::MediaId {
        let media = upload(&ready.blobs, place).await;
        ready.medias.publish(media).await.unwrap().id
    }

    /// Checks the integrity of the committed tables.
    async fn check(&self, operation: Operation) {
        let found = integrity::find_violations(self.repositories.database.reader()).await;
        let found = found.unwrap();
        assert!(found.is_empty(), "{operation:?}: {found:?}");
    }

    /// Checks that every acknowledged job is in the table, and that no connection is in a transaction.
    async fn finish(self, test: TestDatabase) {
        let connection = test.direct_connection().await;
        if test.database.backend() == DatabaseBackend::Postgres {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state LIKE 'idle in transaction%'";
            assert_eq!(count(&connection, sql).await, 0);
        }
        for id in &self.acknowledged {
            assert!(
                self.repositories.jobs.find(*id).await.unwrap().is_some(),
                "{id}"
            );
        }
        connection.close().await.unwrap();
    }
}

async fn count(connection: &sea_orm::DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

fn ignore<T, E>(operation: impl Future<Output = Result<T, E>> + Send + 'static) -> Running
where
    T: Send,
    E: Send,
{
    Box::pin(async move { drop(operation.await) })
}

fn creator() -> Creator {
    Creator {
        project_id: Some(PROJECT.to_owned()),
        ..Creator::default()
    }
}

async fn created(jobs: &JobRepository, job: media_database::job_repository::NewJob) -> JobId {
    match jobs.create(job).await.unwrap() {
        Created::New(job) => job.id,
        Created::Existing(job) => panic!("{job:?} already exists"),
    }
}

/// Creates and claims a job.
async fn running(ready: &Repositories, place: &MediaPath) -> Lease {
    let job = import_to(place).with_creator(creator());
    let id = created(&ready.jobs, job.priority(Priority::new(100).unwrap())).await;
    claim(ready, id).await
}

async fn claim(ready: &Repositories, id: JobId) -> Lease {
    loop {
        let claimed = ready.jobs.claim(WorkerId::generate(), &KNOWN).await;
        let lease = claimed.unwrap().expect("the job is pending").lease;
        if lease.job_id == id {
            return lease;
        }
    }
}

/// The blob of an upload, with reserved bytes in the project's quota.
async fn staged(blobs: &BlobRepository) -> StagedBlob {
    let blob = blobs.stage(BlobOwner::Upload, Some(PROJECT)).await.unwrap();
    blobs.reserve(&blob, 4).await.unwrap();
    blob
}

async fn upload(blobs: &BlobRepository, place: &MediaPath) -> NewMedia {
    of_project(place.clone(), &staged(blobs).await)
}

fn of_project(place: MediaPath, blob: &StagedBlob) -> NewMedia {
    NewMedia {
        creator: creator(),
        ..new_media(place, blob.id)
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        prefix: ResumePoint {
            bytes: 2,
            location: ResumeLocation::Disk,
        },
        sha256_state: String::new(),
        more_states: BTreeMap::new(),
        origin: serde_json::Value::Null,
    }
}

/// Records that a future was woken.
struct WakeFlag(Notify);

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a future at most `polls` times, each time after it was woken, and drops it. Returns whether it completed.
async fn poll_times(mut future: Running, polls: usize) -> bool {
    let flag = Arc::new(WakeFlag(Notify::new()));
    let waker = Waker::from(Arc::clone(&flag));
    for poll in 0..polls {
        if poll > 0 {
            let woken = tokio::time::timeout(WAKE_TIMEOUT, flag.0.notified());
            woken.await.expect("the operation is woken");
        }
        let mut context = Context::from_waker(&waker);
        if let Poll::Ready(()) = future.as_mut().poll(&mut context) {
            return true;
        }
    }
    false
}
