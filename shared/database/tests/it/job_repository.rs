//! The contract of the job repository, case by case.

use std::{collections::HashSet, time::Duration};

use media_database::{
    Database,
    entities::job,
    job_repository::{
        Claimed, Created, HeartbeatRequest, JobError, JobRepository, NewJob, QueueStats,
        Reschedule, SecretsCipher, Signalled,
    },
};
use media_domain::{
    ids::{JobId, WorkerId},
    job::{
        Attempt, Failure, FailureCode, ImportArguments, JobClass as _, JobStatus, Lease,
        MediaImport, Priority, RetryCount, RetryDelay, Signal, Unicity,
        arguments::RawImportArguments,
    },
    secret::Secret,
};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, sea_query::Expr,
};

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, LEASE, Repositories, import_to, path},
};

on_every_database!(
    jobs_are_claimed_by_priority_and_then_by_age,
    no_two_workers_claim_the_same_job,
    one_of_many_concurrent_creations_gets_a_unicity,
    a_job_of_a_lost_worker_is_rescued_and_the_writes_of_that_worker_are_refused,
    a_job_whose_workers_are_lost_fails_with_worker_lost,
    a_heartbeat_renews_the_lease_saves_progress_and_returns_signals,
    a_pause_does_not_override_a_cancel,
    a_release_does_not_count_as_a_retry,
    a_retry_is_scheduled_after_the_back_off_that_the_origin_requested,
    a_permanent_failure_is_final_until_a_retry_signal,
    secrets_of_ended_jobs_are_encrypted_for_retry,
    secrets_of_ended_jobs_are_removed_if_there_is_no_key,
    a_job_its_media_and_its_blob_are_completed_atomically,
    a_refused_completion_has_no_effect,
    the_last_of_many_completions_at_one_path_stays,
    deleting_a_running_job_ends_its_lease,
    a_scheduled_job_is_pending_from_its_time_on,
    pruning_removes_only_jobs_that_ended_before_the_retention_period,
    only_a_waiting_job_can_be_rescheduled,
    queue_stats_count_pending_and_running_jobs,
    a_job_with_a_later_arguments_version_waits_for_a_newer_worker,
);

fn heartbeat_request(lease: Lease) -> HeartbeatRequest {
    HeartbeatRequest {
        lease,
        progress: 10,
        bytes_done: 1,
        bytes_total: Some(10),
    }
}

async fn create(
    repositories: &Repositories,
    resource: &str,
) -> media_database::entities::job::Model {
    match repositories
        .jobs
        .create(import_to(&path(resource)))
        .await
        .unwrap()
    {
        Created::New(job) => job,
        Created::Existing(job) => panic!("{job:?} existed"),
    }
}

async fn claim(repositories: &Repositories) -> Claimed {
    let claimed = repositories
        .jobs
        .claim(WorkerId::generate(), &KNOWN)
        .await
        .unwrap();
    claimed.expect("a pending job")
}

fn failure(code: FailureCode) -> Failure {
    Failure::new(code, "the attempt failed")
}

async fn jobs_are_claimed_by_priority_and_then_by_age(database: Database) {
    let repositories = Repositories::open(&database);
    let mut expected = Vec::new();
    for priority in [0, 5, -100, 5, 100, 0] {
        let new = import_to(&path("r")).priority(Priority::new(priority).unwrap());
        let Created::New(job) = repositories.jobs.create(new).await.unwrap() else {
            panic!("existed")
        };
        expected.push((std::cmp::Reverse(priority), job.id));
    }
    expected.sort();
    for (_, id) in expected {
        assert_eq!(claim(&repositories).await.job.id, id);
    }
    assert!(
        repositories
            .jobs
            .claim(WorkerId::generate(), &KNOWN)
            .await
            .unwrap()
            .is_none()
    );
}

async fn no_two_workers_claim_the_same_job(database: Database) {
    const JOBS: usize = 60;
    let repositories = Repositories::open(&database);
    for _ in 0..JOBS {
        create(&repositories, "r").await;
    }
    let workers = (0..8).map(|_| {
        let jobs = repositories.jobs.clone();
        tokio::spawn(async move {
            let worker = WorkerId::generate();
            let mut claimed = Vec::new();
            while let Some(found) = jobs.claim(worker, &KNOWN).await.unwrap() {
                claimed.push(found.job.id);
            }
            claimed
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.unwrap());
    }
    // With SKIP LOCKED, a worker may find no job while others lock the last rows. No job is lost.
    while let Some(found) = repositories
        .jobs
        .claim(WorkerId::generate(), &KNOWN)
        .await
        .unwrap()
    {
        all.push(found.job.id);
    }
    assert_eq!(all.len(), JOBS);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), JOBS);
}

async fn one_of_many_concurrent_creations_gets_a_unicity(database: Database) {
    let repositories = Repositories::open(&database);
    let unicity = Some(Unicity::new("only one").unwrap());
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let jobs = repositories.jobs.clone();
            let new = import_to(&path("r")).unicity(unicity.clone());
            tokio::spawn(async move { jobs.create(new).await.unwrap() })
        })
        .collect();
    let mut new_jobs = 0;
    let mut ids = HashSet::new();
    for racer in racers {
        match racer.await.unwrap() {
            Created::New(job) => {
                new_jobs += 1;
                ids.insert(job.id);
            }
            Created::Existing(job) => {
                ids.insert(job.id);
            }
        }
    }
    assert_eq!((new_jobs, ids.len()), (1, 1));

    // The unicity is free once the job has ended. A `retry` of the old job then conflicts with the new one.
    let old = claim(&repositories).await;
    let permanent = failure(FailureCode::OriginGone);
    repositories.jobs.fail(old.lease, permanent).await.unwrap();
    let again = import_to(&path("r")).unicity(unicity);
    assert!(matches!(
        repositories.jobs.create(again).await.unwrap(),
        Created::New(_)
    ));
    let refused = repositories.jobs.signal(old.job.id, Signal::Retry).await;
    assert!(
        matches!(refused, Err(JobError::UnicityTaken)),
        "{refused:?}"
    );
}

async fn a_job_of_a_lost_worker_is_rescued_and_the_writes_of_that_worker_are_refused(
    database: Database,
) {
    let repositories = Repositories::open(&database);
    create(&repositories, "r").await;
    let lost = claim(&repositories).await;
    let media = repositories.staged_media(lost.lease, path("r")).await;

    repositories.clock.advance(LEASE);
    assert_eq!(
        repositories.jobs.rescue_expired().await.unwrap(),
        0,
        "the lease has not expired"
    );
    repositories.clock.advance(Duration::from_micros(1));
    assert_eq!(repositories.jobs.rescue_expired().await.unwrap(), 1);

    let second = claim(&repositories).await;
    assert_eq!(
        (second.job.id, second.lease.attempt.get()),
        (lost.job.id, 2)
    );
    assert_eq!(second.job.retry_count.get(), 1);

    // The lost worker comes back.
    assert_eq!(
        repositories
            .jobs
            .heartbeat(&[heartbeat_request(lost.lease)])
            .await
            .unwrap(),
        []
    );
    let refused = [
        repositories.jobs.complete(lost.lease, media).await.err(),
        repositories
            .jobs
            .fail(lost.lease, failure(FailureCode::OriginError))
            .await
            .err(),
        repositories.jobs.release(lost.lease).await.err(),
        repositories.jobs.stopped(lost.lease).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(JobError::LeaseLost)), "{error:?}");
    }
    assert_eq!(repositories.media("r").await, None);
    let job = repositories.jobs.find(lost.job.id).await.unwrap().unwrap();
    assert_eq!(job, second.job);
}

async fn a_job_whose_workers_are_lost_fails_with_worker_lost(database: Database) {
    let repositories = Repositories::open(&database);
    let new = import_to(&path("r")).max_retries(RetryCount::new(2).unwrap());
    repositories.jobs.create(new).await.unwrap();
    let mut id = None;
    for _ in 0..3 {
        id = Some(claim(&repositories).await.job.id);
        repositories.clock.advance(LEASE * 2);
        repositories.jobs.rescue_expired().await.unwrap();
    }
    let job = repositories.jobs.find(id.unwrap()).await.unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Failed);
    assert_eq!(job.error.as_deref(), Some("worker_lost"));
    assert_eq!((job.retry_count.get(), job.attempt.get()), (2, 3));
}

async fn a_heartbeat_renews_the_lease_saves_progress_and_returns_signals(database: Database) {
    let repositories = Repositories::open(&database);
    for _ in 0..3 {
        create(&repositories, "r").await;
    }
    let (one, two, three) = (
        claim(&repositories).await,
        claim(&repositories).await,
        claim(&repositories).await,
    );
    let signalled = repositories
        .jobs
        .signal(two.job.id, Signal::Pause)
        .await
        .unwrap();
    assert!(matches!(signalled, Signalled::Requested(_)));
    assert!(repositories.jobs.delete(three.job.id).await.unwrap());

    repositories.clock.advance(LEASE / 2);
    let requests = [one.lease, two.lease, three.lease].map(heartbeat_request);
    let mut replies = repositories.jobs.heartbeat(&requests).await.unwrap();
    replies.sort_by_key(|reply| reply.lease.job_id);
    assert_eq!(replies.len(), 2);
    assert_eq!((replies[0].lease, replies[0].signal), (one.lease, None));
    assert_eq!(
        (replies[1].lease, replies[1].signal),
        (two.lease, Some(Signal::Pause))
    );

    let job = repositories.jobs.find(one.job.id).await.unwrap().unwrap();
    assert_eq!(
        (job.progress, job.bytes_done, job.bytes_total),
        (10, 1, Some(10))
    );
    assert_eq!(job.lease_until, Some(repositories.clock.now() + LEASE));

    let paused = repositories.jobs.stopped(two.lease).await.unwrap();
    assert_eq!((paused.status, paused.signal), (JobStatus::Paused, None));
    assert!(
        repositories
            .jobs
            .claim(WorkerId::generate(), &KNOWN)
            .await
            .unwrap()
            .is_none()
    );
    repositories
        .jobs
        .signal(two.job.id, Signal::Resume)
        .await
        .unwrap();
    assert_eq!(claim(&repositories).await.job.id, two.job.id);
}

async fn a_pause_does_not_override_a_cancel(database: Database) {
    let repositories = Repositories::open(&database);
    let job = create(&repositories, "r").await;
    let claimed = claim(&repositories).await;
    for signal in [Signal::Pause, Signal::Cancel, Signal::Pause] {
        repositories.jobs.signal(job.id, signal).await.unwrap();
    }
    let stopped = repositories.jobs.stopped(claimed.lease).await.unwrap();
    assert_eq!(stopped.status, JobStatus::Cancelled);
}

async fn a_release_does_not_count_as_a_retry(database: Database) {
    let repositories = Repositories::open(&database);
    create(&repositories, "r").await;
    let first = claim(&repositories).await;
    let job = repositories.jobs.release(first.lease).await.unwrap();
    assert_eq!((job.status, job.retry_count.get()), (JobStatus::Pending, 0));
    let second = claim(&repositories).await;
    assert_eq!(second.lease.attempt.get(), 2, "the fencing token is new");
}

async fn a_retry_is_scheduled_after_the_back_off_that_the_origin_requested(database: Database) {
    let repositories = Repositories::open(&database);
    create(&repositories, "r").await;
    let first = claim(&repositories).await;
    let mut busy = failure(FailureCode::OriginBusy);
    busy.delay = RetryDelay::AtLeast(Duration::from_mins(2));
    let job = repositories.jobs.fail(first.lease, busy).await.unwrap();
    assert_eq!(
        (job.status, job.retry_count.get()),
        (JobStatus::Scheduled, 1)
    );
    assert_eq!(job.error.as_deref(), Some("origin_busy"));
    // The retry is not earlier than requested, and at most a tenth later.
    let wait = job.scheduled_at.unwrap() - repositories.clock.now();
    let asked = Duration::from_mins(2);
    assert!(
        (asked..=asked * 11 / 10).contains(&wait.to_std().unwrap()),
        "{wait}"
    );
    assert_eq!(repositories.jobs.promote_due().await.unwrap(), 0);
    repositories.clock.advance(asked * 11 / 10);
    assert_eq!(repositories.jobs.promote_due().await.unwrap(), 1);
    assert_eq!(claim(&repositories).await.job.id, first.job.id);
}

async fn a_permanent_failure_is_final_until_a_retry_signal(database: Database) {
    let repositories = Repositories::open(&database);
    create(&repositories, "r").await;
    let first = claim(&repositories).await;
    let gone = failure(FailureCode::OriginNotFound);
    let job = repositories.jobs.fail(first.lease, gone).await.unwrap();
    assert_eq!((job.status, job.retry_count.get()), (JobStatus::Failed, 0));
    assert!(job.finished_at.is_some());
    let refused = repositories.jobs.signal(job.id, Signal::Pause).await;
    assert!(
        matches!(refused, Err(JobError::SignalRefused { .. })),
        "{refused:?}"
    );
    repositories
        .jobs
        .signal(job.id, Signal::Retry)
        .await
        .unwrap();
    let again = claim(&repositories).await;
    assert_eq!((again.job.error, again.job.finished_at), (None, None));
    assert_eq!(again.lease.attempt.get(), 2);
}

/// Creates a job with secrets and ends it by a failure or a cancellation. Returns its id and its original arguments.
async fn end_with_secrets(jobs: &JobRepository, cancel: bool) -> (JobId, serde_json::Value) {
    let arguments = RawImportArguments {
        url: "http://user:secret-1@origin.test/a?token=secret-2".into(),
        headers: Some([("Authorization".to_owned(), "secret-3".to_owned())].into()),
        resource: "r".into(),
        ..RawImportArguments::default()
    };
    let arguments = ImportArguments::check(arguments).unwrap();
    let new = NewJob::new::<MediaImport>(&arguments).unwrap();
    let Created::New(job) = jobs.create(new).await.unwrap() else {
        panic!("existed")
    };
    if cancel {
        jobs.signal(job.id, Signal::Cancel).await.unwrap();
    } else {
        let claimed = jobs.claim(WorkerId::generate(), &KNOWN).await.unwrap();
        let gone = failure(FailureCode::OriginNotFound);
        jobs.fail(claimed.unwrap().lease, gone).await.unwrap();
    }
    let ended = jobs.find(job.id).await.unwrap().unwrap();
    assert!(ended.status.is_final());
    let stored = ended.arguments.to_string();
    assert!(!stored.contains("secret-"), "{stored}");
    (job.id, job.arguments)
}

fn cipher(key: &str) -> SecretsCipher {
    SecretsCipher::new(&Secret::new(key))
}

async fn secrets_of_ended_jobs_are_encrypted_for_retry(database: Database) {
    let jobs = Repositories::open(&database)
        .jobs
        .cipher(Some(cipher("a key")));
    for cancel in [false, true] {
        let (id, before) = end_with_secrets(&jobs, cancel).await;
        jobs.signal(id, Signal::Retry).await.unwrap();
        let claimed = jobs.claim(WorkerId::generate(), &KNOWN).await.unwrap();
        assert_eq!(claimed.unwrap().job.arguments, before);
    }
    // Neither the ciphertext of another job nor another key can be used for decryption.
    let [(first, _), (second, _)] = [
        end_with_secrets(&jobs, true).await,
        end_with_secrets(&jobs, true).await,
    ];
    let other = jobs.clone().cipher(Some(cipher("another key")));
    let refused = other.signal(first, Signal::Retry).await;
    assert!(
        matches!(refused, Err(JobError::SecretsRemoved)),
        "{refused:?}"
    );
    let stolen = jobs.find(first).await.unwrap().unwrap().arguments;
    let swap = job::Entity::update_many()
        .col_expr(job::Column::Arguments, stolen.into())
        .filter(job::Column::Id.eq(second));
    database.write_query(&swap).await.unwrap();
    let refused = jobs.signal(second, Signal::Retry).await;
    assert!(
        matches!(refused, Err(JobError::SecretsRemoved)),
        "{refused:?}"
    );
    jobs.signal(first, Signal::Retry).await.unwrap();
}

async fn secrets_of_ended_jobs_are_removed_if_there_is_no_key(database: Database) {
    let jobs = Repositories::open(&database).jobs;
    for cancel in [false, true] {
        let (id, _) = end_with_secrets(&jobs, cancel).await;
        let refused = jobs.signal(id, Signal::Retry).await;
        assert!(
            matches!(refused, Err(JobError::SecretsRemoved)),
            "{refused:?}"
        );
    }
}

async fn a_job_its_media_and_its_blob_are_completed_atomically(database: Database) {
    let repositories = Repositories::open(&database);
    for _ in 0..2 {
        create(&repositories, "r").await;
    }
    let first = claim(&repositories).await;
    let media = repositories.staged_media(first.lease, path("r")).await;
    let old = repositories
        .jobs
        .complete(first.lease, media.clone())
        .await
        .unwrap();
    let job = repositories.jobs.find(first.job.id).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.media_id),
        (JobStatus::Succeeded, Some(old.id))
    );
    assert_eq!(
        (job.progress, job.bytes_done, job.bytes_total),
        (100, 4, Some(4))
    );

    // A second job at the same path replaces the bytes of the media.
    let second = claim(&repositories).await;
    let lost = repositories.jobs.complete(second.lease, media).await;
    assert!(matches!(lost, Err(JobError::BlobLost)), "{lost:?}");
    let media = repositories.staged_media(second.lease, path("r")).await;
    let new = repositories
        .jobs
        .complete(second.lease, media)
        .await
        .unwrap();
    assert_eq!(new.id, old.id);
    assert_ne!(new.blob_id, old.blob_id);
    assert_eq!(repositories.media("r").await, Some(new));
}

async fn a_refused_completion_has_no_effect(database: Database) {
    let repositories = Repositories::open(&database);
    create(&repositories, "r").await;
    let claimed = claim(&repositories).await;
    let media = repositories.staged_media(claimed.lease, path("r")).await;
    let past = Lease {
        attempt: Attempt::new(claimed.lease.attempt.get() - 1),
        ..claimed.lease
    };
    let refused = repositories.jobs.complete(past, media.clone()).await;
    assert!(matches!(refused, Err(JobError::LeaseLost)));
    assert_eq!(repositories.blobs_by_status().await, [1, 0, 0]);

    repositories
        .blobs
        .abandon_attempt(claimed.lease)
        .await
        .unwrap();
    let refused = repositories.jobs.complete(claimed.lease, media).await;
    assert!(matches!(refused, Err(JobError::BlobLost)));
    assert_eq!(repositories.blobs_by_status().await, [0, 0, 1]);
    assert_eq!(repositories.media("r").await, None);
    let job = repositories
        .jobs
        .find(claimed.job.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((job.status, job.media_id), (JobStatus::Running, None));
}

async fn the_last_of_many_completions_at_one_path_stays(database: Database) {
    const JOBS: usize = 12;
    let repositories = Repositories::open(&database);
    let mut claims = Vec::new();
    for _ in 0..JOBS {
        create(&repositories, "r").await;
        let claimed = claim(&repositories).await;
        let media = repositories.staged_media(claimed.lease, path("r")).await;
        claims.push((claimed.lease, media));
    }
    let racers: Vec<_> = claims
        .into_iter()
        .map(|(lease, media)| {
            let jobs = repositories.jobs.clone();
            tokio::spawn(async move { jobs.complete(lease, media).await.unwrap() })
        })
        .collect();
    let mut recorded = Vec::new();
    for racer in racers {
        recorded.push(racer.await.unwrap());
    }
    let media = repositories.media("r").await.expect("a media");
    assert!(recorded.iter().all(|each| each.id == media.id));
    assert!(recorded.contains(&media));
    assert_eq!(
        repositories.blobs_by_status().await,
        [0, 1, JOBS as u64 - 1]
    );
    let succeeded = job::Entity::find().filter(job::Column::Status.eq(JobStatus::Succeeded));
    let succeeded = succeeded.filter(job::Column::MediaId.eq(media.id));
    assert_eq!(
        succeeded.count(database.reader()).await.unwrap(),
        JOBS as u64
    );
}

async fn deleting_a_running_job_ends_its_lease(database: Database) {
    let repositories = Repositories::open(&database);
    let job = create(&repositories, "r").await;
    let claimed = claim(&repositories).await;
    assert!(repositories.jobs.delete(job.id).await.unwrap());
    assert!(!repositories.jobs.delete(job.id).await.unwrap());
    let media = repositories.staged_media(claimed.lease, path("r")).await;
    let refused = repositories.jobs.complete(claimed.lease, media).await;
    assert!(matches!(refused, Err(JobError::LeaseLost)), "{refused:?}");
}

async fn a_scheduled_job_is_pending_from_its_time_on(database: Database) {
    let repositories = Repositories::open(&database);
    let at = repositories.clock.now() + Duration::from_secs(10);
    let new = import_to(&path("r")).scheduled_at(Some(at));
    let Created::New(job) = repositories.jobs.create(new).await.unwrap() else {
        panic!("existed")
    };
    assert_eq!(job.status, JobStatus::Scheduled);
    let stored = repositories.jobs.find(job.id).await.unwrap().unwrap();
    assert_eq!(stored, job, "the stored job equals the returned one");
    repositories.clock.advance(Duration::from_micros(9_999_999));
    assert_eq!(repositories.jobs.promote_due().await.unwrap(), 0);
    repositories.clock.advance(Duration::from_micros(1));
    assert_eq!(repositories.jobs.promote_due().await.unwrap(), 1);
    assert_eq!(repositories.jobs.count_pending(10).await.unwrap(), 1);
}

async fn pruning_removes_only_jobs_that_ended_before_the_retention_period(database: Database) {
    let repositories = Repositories::open(&database);
    let retention = Duration::from_hours(1);
    for _ in 0..3 {
        create(&repositories, "r").await;
    }
    let old = claim(&repositories).await;
    repositories
        .jobs
        .fail(old.lease, failure(FailureCode::OriginGone))
        .await
        .unwrap();
    repositories.clock.advance(retention);
    let new = claim(&repositories).await;
    repositories
        .jobs
        .fail(new.lease, failure(FailureCode::OriginGone))
        .await
        .unwrap();
    repositories.clock.advance(Duration::from_micros(1));
    assert_eq!(repositories.jobs.prune(retention).await.unwrap(), 1);
    assert!(repositories.jobs.find(old.job.id).await.unwrap().is_none());
    assert!(repositories.jobs.find(new.job.id).await.unwrap().is_some());
}

async fn only_a_waiting_job_can_be_rescheduled(database: Database) {
    let repositories = Repositories::open(&database);
    let job = create(&repositories, "r").await;
    let later = repositories.clock.now() + Duration::from_mins(1);
    let change = |priority, scheduled_at| Reschedule {
        priority: Priority::new(priority).ok(),
        scheduled_at,
    };
    let jobs = &repositories.jobs;
    let moved = jobs
        .reschedule(job.id, change(7, Some(Some(later))))
        .await
        .unwrap();
    assert_eq!((moved.status, moved.priority), (JobStatus::Scheduled, 7));
    assert_eq!(moved.scheduled_at, Some(later));
    jobs.signal(job.id, Signal::Pause).await.unwrap();
    let paused = jobs
        .reschedule(job.id, change(8, Some(None)))
        .await
        .unwrap();
    assert_eq!(
        (paused.status, paused.scheduled_at),
        (JobStatus::Paused, None)
    );
    jobs.signal(job.id, Signal::Resume).await.unwrap();
    let claimed = claim(&repositories).await;
    assert_eq!(claimed.job.priority, 8);
    let refused = jobs.reschedule(job.id, change(9, None)).await;
    assert!(
        matches!(refused, Err(JobError::NotWaiting { .. })),
        "{refused:?}"
    );
}

async fn a_job_with_a_later_arguments_version_waits_for_a_newer_worker(database: Database) {
    let repositories = Repositories::open(&database);
    let new = create(&repositories, "new").await;
    let old = create(&repositories, "old").await;
    let later = job::Entity::update_many()
        .col_expr(job::Column::ArgumentsVersion, Expr::value(i16::MAX))
        .filter(job::Column::Id.eq(new.id));
    database.write_query(&later).await.unwrap();
    let worker = WorkerId::generate();
    let claimed = repositories
        .jobs
        .claim(worker, &KNOWN)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claimed.job.id, old.id);
    assert!(
        repositories
            .jobs
            .claim(worker, &KNOWN)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        repositories
            .jobs
            .claim(worker, &[])
            .await
            .unwrap()
            .is_none()
    );
}

async fn queue_stats_count_pending_and_running_jobs(database: Database) {
    let repositories = Repositories::open(&database);
    let stats = repositories.jobs.queue_stats().await.unwrap();
    assert_eq!(stats, []);

    create(&repositories, "runs").await;
    repositories
        .jobs
        .claim(WorkerId::generate(), &KNOWN)
        .await
        .unwrap();
    create(&repositories, "waits longest").await;
    repositories.clock.advance(Duration::from_secs(7));
    create(&repositories, "waits").await;
    let stats = repositories.jobs.queue_stats().await.unwrap();
    let expected = QueueStats {
        class: MediaImport::NAME.to_owned(),
        pending: 2,
        oldest_pending: Some(Duration::from_secs(7)),
        running: 1,
    };
    assert_eq!(stats, [expected]);
}
