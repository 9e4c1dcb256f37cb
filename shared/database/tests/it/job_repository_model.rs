//! The job repository compared with a model: random sequences of operations by several workers, on every database.
//! After each operation, the whole table must equal the model.

use std::time::Duration;

use chrono::{DateTime, Utc};
use media_database::{
    Database,
    entities::{blob, job, media},
    job_repository::{Created, HeartbeatRequest, JobError, Signalled},
};
use media_domain::{
    ids::{JobId, MediaId, WorkerId},
    job::{
        Attempt, Failure, FailureCode, JobStatus, Lease, Priority, RetryCount, RetryDelay, Signal,
        Unicity,
    },
};
use proptest::{prelude::*, test_runner::TestRunner};
use sea_orm::EntityTrait as _;

use media_testkit::repositories::{KNOWN, LEASE, Repositories, import_to, path};

/// An operation. Its numbers select one of the existing jobs or attempts.
#[derive(Clone, Debug)]
enum Operation {
    Create {
        priority: i64,
        unicity: Option<u8>,
        delay: Option<u64>,
        max_retries: i32,
    },
    Claim,
    Heartbeat,
    Succeed(usize),
    Fail(usize, FailureCode, Option<u64>),
    Release(usize),
    Stop(usize),
    Signal(usize, Signal),
    Advance(u64),
    Promote,
    Rescue,
    Prune,
    Delete(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let signal = prop::sample::select(vec![
        Signal::Cancel,
        Signal::Pause,
        Signal::Resume,
        Signal::Retry,
    ]);
    let code = prop::sample::select(vec![FailureCode::OriginError, FailureCode::OriginGone]);
    let any = any::<usize>;
    prop_oneof![
        6 => (-2_i64..3, prop::option::of(0_u8..3), prop::option::of(0_u64..30), 0_i32..3).prop_map(
            |(priority, unicity, delay, max_retries)| Operation::Create { priority, unicity, delay, max_retries }
        ),
        8 => Just(Operation::Claim),
        3 => Just(Operation::Heartbeat),
        4 => any().prop_map(Operation::Succeed),
        4 => (any(), code, prop::option::of(0_u64..60)).prop_map(|(n, code, after)| Operation::Fail(n, code, after)),
        2 => any().prop_map(Operation::Release),
        2 => any().prop_map(Operation::Stop),
        6 => (any(), signal).prop_map(|(n, signal)| Operation::Signal(n, signal)),
        4 => (0_u64..40).prop_map(Operation::Advance),
        3 => Just(Operation::Promote),
        3 => Just(Operation::Rescue),
        1 => Just(Operation::Prune),
        1 => any().prop_map(Operation::Delete),
    ]
}

/// The expected state of a job.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    id: JobId,
    priority: i16,
    status: JobStatus,
    attempt: i32,
    retry_count: i32,
    max_retries: i32,
    error: Option<String>,
    unicity: Option<String>,
    scheduled_at: Option<DateTime<Utc>>,
    lease_until: Option<DateTime<Utc>>,
    signal: Option<Signal>,
    finished_at: Option<DateTime<Utc>>,
    media_id: Option<MediaId>,
}

impl Expected {
    fn from_row(job: &job::Model) -> Self {
        Self {
            id: job.id,
            priority: job.priority,
            status: job.status,
            attempt: job.attempt.get(),
            retry_count: job.retry_count.get(),
            max_retries: job.max_retries.get(),
            error: job.error.clone(),
            unicity: job.unicity.clone(),
            scheduled_at: job.scheduled_at,
            lease_until: job.lease_until,
            signal: job.signal,
            finished_at: job.finished_at,
            media_id: job.media_id,
        }
    }

    fn release(&mut self) {
        self.lease_until = None;
        self.signal = None;
    }

    fn end(&mut self, status: JobStatus, now: DateTime<Utc>) {
        self.release();
        self.status = status;
        self.finished_at = Some(now);
    }

    fn apply_signal(&mut self, now: DateTime<Utc>) -> bool {
        match self.signal {
            Some(Signal::Cancel) => self.end(JobStatus::Cancelled, now),
            Some(_) => {
                self.release();
                self.status = JobStatus::Paused;
            }
            None => return false,
        }
        true
    }

    fn holds(&self, unicity: &str) -> bool {
        !self.status.is_final() && self.unicity.as_deref() == Some(unicity)
    }
}

/// The model, the repositories, and all leases that were ever granted.
struct Run {
    repositories: Repositories,
    database: Database,
    jobs: Vec<Expected>,
    leases: Vec<Lease>,
}

impl Run {
    fn now(&self) -> DateTime<Utc> {
        self.repositories.clock.now()
    }

    fn pick<T: Copy>(items: &[T], n: usize) -> Option<T> {
        (!items.is_empty()).then(|| items[n % items.len()])
    }

    /// The job of a lease, if the lease is still valid.
    fn leased_job(&mut self, lease: Lease) -> Option<&mut Expected> {
        self.jobs.iter_mut().find(|job| {
            job.id == lease.job_id
                && job.attempt == lease.attempt.get()
                && job.status == JobStatus::Running
        })
    }

    async fn perform(&mut self, operation: Operation) {
        let now = self.now();
        match operation {
            Operation::Create {
                priority,
                unicity,
                delay,
                max_retries,
            } => {
                self.create(priority, unicity, delay, max_retries).await;
            }
            Operation::Claim => self.claim().await,
            Operation::Heartbeat => self.heartbeat().await,
            Operation::Succeed(n) => self.succeed(n).await,
            Operation::Fail(n, code, after) => self.fail(n, code, after).await,
            Operation::Release(n) => self.release_or_stop(n, true).await,
            Operation::Stop(n) => self.release_or_stop(n, false).await,
            Operation::Signal(n, signal) => self.signal(n, signal).await,
            Operation::Advance(seconds) => self
                .repositories
                .clock
                .advance(Duration::from_secs(seconds)),
            Operation::Promote => {
                let mut due = 0;
                for job in &mut self.jobs {
                    if job.status == JobStatus::Scheduled && job.scheduled_at.unwrap() <= now {
                        job.status = JobStatus::Pending;
                        due += 1;
                    }
                }
                assert_eq!(self.repositories.jobs.promote_due().await.unwrap(), due);
            }
            Operation::Rescue => self.rescue().await,
            Operation::Prune => {
                let retention = Duration::from_mins(1);
                let before = self.jobs.len();
                self.jobs
                    .retain(|job| job.finished_at.is_none_or(|at| at >= now - retention));
                let pruned = self.repositories.jobs.prune(retention).await.unwrap();
                assert_eq!(pruned, (before - self.jobs.len()) as u64);
            }
            Operation::Delete(n) => {
                let ids: Vec<_> = self.jobs.iter().map(|job| job.id).collect();
                if let Some(id) = Self::pick(&ids, n) {
                    assert!(self.repositories.jobs.delete(id).await.unwrap());
                    self.jobs.retain(|job| job.id != id);
                }
            }
        }
    }

    async fn create(
        &mut self,
        priority: i64,
        unicity: Option<u8>,
        delay: Option<u64>,
        max_retries: i32,
    ) {
        let unicity = unicity.map(|n| format!("unicity {n}"));
        let scheduled_at = delay.map(|delay| self.now() + Duration::from_secs(delay));
        let new = import_to(&path("r"))
            .priority(Priority::new(priority).unwrap())
            .unicity(unicity.as_deref().map(|text| Unicity::new(text).unwrap()))
            .scheduled_at(scheduled_at)
            .max_retries(RetryCount::new(max_retries.into()).unwrap());
        let holder = unicity
            .as_deref()
            .and_then(|unicity| self.jobs.iter().find(|job| job.holds(unicity)));
        match (self.repositories.jobs.create(new).await.unwrap(), holder) {
            (Created::Existing(job), Some(holder)) => assert_eq!(job.id, holder.id),
            (Created::New(job), None) => {
                let ahead = scheduled_at.is_some_and(|at| at > self.now());
                let expected = if ahead {
                    JobStatus::Scheduled
                } else {
                    JobStatus::Pending
                };
                assert_eq!(job.status, expected);
                self.jobs.push(Expected::from_row(&job));
            }
            (created, holder) => panic!("{created:?} although {holder:?} has the unicity"),
        }
    }

    async fn claim(&mut self) {
        let until = self.now() + LEASE;
        let claimed = self
            .repositories
            .jobs
            .claim(WorkerId::generate(), &KNOWN)
            .await
            .unwrap();
        let next = self
            .jobs
            .iter_mut()
            .filter(|job| job.status == JobStatus::Pending)
            .min_by_key(|job| (std::cmp::Reverse(job.priority), job.id));
        let Some(next) = next else {
            assert!(claimed.is_none());
            return;
        };
        next.status = JobStatus::Running;
        next.attempt += 1;
        next.lease_until = Some(until);
        let claimed = claimed.expect("a pending job");
        assert_eq!(
            claimed.lease,
            Lease {
                job_id: next.id,
                attempt: Attempt::new(next.attempt)
            }
        );
        self.leases.push(claimed.lease);
    }

    async fn heartbeat(&mut self) {
        let until = self.now() + LEASE;
        let beats: Vec<_> = self
            .leases
            .iter()
            .map(|lease| HeartbeatRequest {
                lease: *lease,
                progress: 1,
                bytes_done: 2,
                bytes_total: None,
            })
            .collect();
        let mut expected = Vec::new();
        for lease in self.leases.clone() {
            if let Some(job) = self.leased_job(lease) {
                job.lease_until = Some(until);
                expected.push((lease, job.signal));
            }
        }
        let pulses = self.repositories.jobs.heartbeat(&beats).await.unwrap();
        let mut heard: Vec<_> = pulses
            .iter()
            .map(|pulse| (pulse.lease, pulse.signal))
            .collect();
        heard.sort_by_key(|(lease, _)| (lease.job_id, lease.attempt));
        expected.sort_by_key(|(lease, _)| (lease.job_id, lease.attempt));
        assert_eq!(heard, expected);
    }

    async fn succeed(&mut self, n: usize) {
        let Some(lease) = Self::pick(&self.leases, n) else {
            return;
        };
        let now = self.now();
        let media = self.repositories.staged_media(lease, path("r")).await;
        let result = self.repositories.jobs.complete(lease, media).await;
        let Some(job) = self.leased_job(lease) else {
            assert!(matches!(result, Err(JobError::LeaseLost)), "{result:?}");
            return;
        };
        job.end(JobStatus::Succeeded, now);
        job.error = None;
        job.media_id = Some(result.unwrap().id);
    }

    async fn fail(&mut self, n: usize, code: FailureCode, after: Option<u64>) {
        let Some(lease) = Self::pick(&self.leases, n) else {
            return;
        };
        let now = self.now();
        let mut failure = Failure::new(code, "the attempt failed");
        if let Some(after) = after {
            failure.delay = RetryDelay::AtLeast(Duration::from_secs(after));
        }
        let result = self.repositories.jobs.fail(lease, failure).await;
        let Some(job) = self.leased_job(lease) else {
            assert!(matches!(result, Err(JobError::LeaseLost)), "{result:?}");
            return;
        };
        job.error = Some(code.as_str().to_owned());
        if job.apply_signal(now) {
            return;
        }
        if !code.is_retryable() || job.retry_count >= job.max_retries {
            job.end(JobStatus::Failed, now);
            return;
        }
        job.release();
        job.retry_count += 1;
        job.status = JobStatus::Scheduled;
        // The time is random: only its bounds are checked, and the model takes it over.
        let at = result.unwrap().scheduled_at.unwrap();
        let shortest = Duration::from_secs(after.unwrap_or_default().max(1));
        assert!(
            at >= now + shortest && at <= now + shortest.max(Duration::from_mins(10)),
            "{at}"
        );
        job.scheduled_at = Some(at);
    }

    /// Releases a job, or stops it because of a signal. Both have the same effect.
    async fn release_or_stop(&mut self, n: usize, is_release: bool) {
        let Some(lease) = Self::pick(&self.leases, n) else {
            return;
        };
        let now = self.now();
        let result = if is_release {
            self.repositories.jobs.release(lease).await
        } else {
            self.repositories.jobs.stopped(lease).await
        };
        let Some(job) = self.leased_job(lease) else {
            assert!(matches!(result, Err(JobError::LeaseLost)), "{result:?}");
            return;
        };
        if !job.apply_signal(now) {
            job.release();
            job.status = JobStatus::Pending;
        }
        result.unwrap();
    }

    async fn signal(&mut self, n: usize, signal: Signal) {
        if self.jobs.is_empty() {
            return;
        }
        let (now, index) = (self.now(), n % self.jobs.len());
        let taken = self.jobs[index].unicity.clone().is_some_and(|unicity| {
            self.jobs
                .iter()
                .enumerate()
                .any(|(other, job)| other != index && job.holds(&unicity))
        });
        let job = &mut self.jobs[index];
        let result = self.repositories.jobs.signal(job.id, signal).await;
        match (job.status, signal) {
            (JobStatus::Running, Signal::Cancel | Signal::Pause) => {
                assert!(matches!(result, Ok(Signalled::Requested(_))), "{result:?}");
                if job.signal != Some(Signal::Cancel) {
                    job.signal = Some(signal);
                }
                return;
            }
            (JobStatus::Pending | JobStatus::Scheduled | JobStatus::Paused, Signal::Cancel) => {
                job.end(JobStatus::Cancelled, now);
            }
            (JobStatus::Pending | JobStatus::Scheduled, Signal::Pause) => {
                job.status = JobStatus::Paused;
            }
            (JobStatus::Paused, Signal::Resume) => {
                let ahead = job.scheduled_at.is_some_and(|at| at > now);
                job.status = if ahead {
                    JobStatus::Scheduled
                } else {
                    JobStatus::Pending
                };
            }
            (JobStatus::Failed | JobStatus::Cancelled, Signal::Retry) if taken => {
                assert!(matches!(result, Err(JobError::UnicityTaken)), "{result:?}");
                return;
            }
            (JobStatus::Failed | JobStatus::Cancelled, Signal::Retry) => {
                job.status = JobStatus::Pending;
                job.retry_count = 0;
                job.error = None;
                job.scheduled_at = None;
                job.finished_at = None;
            }
            (status, _) => {
                assert!(
                    matches!(result, Err(JobError::SignalRefused { .. })),
                    "{status:?}: {result:?}"
                );
                return;
            }
        }
        assert!(matches!(result, Ok(Signalled::Done(_))), "{result:?}");
    }

    async fn rescue(&mut self) {
        let now = self.now();
        let mut rescued = 0;
        for job in &mut self.jobs {
            if job.lease_until.is_none_or(|until| until >= now) {
                continue;
            }
            rescued += 1;
            job.error = Some("worker_lost".to_owned());
            if job.apply_signal(now) {
                continue;
            }
            if job.retry_count < job.max_retries {
                job.release();
                job.retry_count += 1;
                job.status = JobStatus::Pending;
            } else {
                job.end(JobStatus::Failed, now);
            }
        }
        assert_eq!(
            self.repositories.jobs.rescue_expired().await.unwrap(),
            rescued
        );
    }

    /// Compares the whole table with the model, and checks that media and blobs are consistent.
    async fn compare(&mut self) {
        let mut found = job::Entity::find()
            .all(self.database.reader())
            .await
            .unwrap();
        found.sort_by_key(|job| job.id);
        let found: Vec<_> = found.iter().map(Expected::from_row).collect();
        self.jobs.sort_by_key(|job| job.id);
        assert_eq!(found, self.jobs);

        let medias = media::Entity::find()
            .all(self.database.reader())
            .await
            .unwrap();
        let live: Vec<_> = blob::Entity::find()
            .all(self.database.reader())
            .await
            .unwrap();
        let mut live: Vec<_> = live
            .iter()
            .filter(|blob| blob.status == blob::BlobStatus::Live)
            .map(|blob| blob.id)
            .collect();
        let mut pointed: Vec<_> = medias.iter().map(|media| media.blob_id).collect();
        live.sort();
        pointed.sort();
        assert_eq!(
            live, pointed,
            "each media has its live blob and each live blob its media"
        );
    }
}

async fn run(database: &Database, operations: Vec<Operation>) {
    for table in ["jobs", "medias", "blobs"] {
        let delete = format!("DELETE FROM {table}");
        database.write_sql(delete, []).await.unwrap();
    }
    let mut run = Run {
        repositories: Repositories::open(database),
        database: database.clone(),
        jobs: Vec::new(),
        leases: Vec::new(),
    };
    for operation in operations {
        run.perform(operation).await;
        run.compare().await;
    }
}

fn check(database: &Database, cases: u32) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let handle = tokio::runtime::Handle::current();
    TestRunner::new(config)
        .run(&prop::collection::vec(operation(), 1..60), |operations| {
            // Proptest treats a panic as a failed case.
            handle.block_on(run(database, operations));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_repository_matches_the_model_on_sqlite() {
    let test = media_testkit::databases::sqlite().await;
    let database = test.database.clone();
    tokio::task::spawn_blocking(move || check(&database, 60))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_repository_matches_the_model_on_postgres() {
    let test = media_testkit::databases::postgres().await;
    let database = test.database.clone();
    tokio::task::spawn_blocking(move || check(&database, 60))
        .await
        .unwrap();
}
