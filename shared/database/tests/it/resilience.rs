//! Invalid rows and clocks do not affect other rows, and database errors are classified correctly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use media_database::{
    Database, DatabaseFailure, classify,
    job_repository::{Created, StrayLeases},
    media_repository::NewMedia,
};
use media_domain::{
    blob::BlobOwner,
    caller::Creator,
    ids::WorkerId,
    job::{Failure, FailureCode, JobStatus, Lease, RetryDelay},
};
use media_ingest::garbage_collector::collect;
use media_migrations::integrity::{self, ViolationKind};
use media_storage::{BlobStore, disk::DiskStore};
use media_testkit::databases::{self, TestDatabase};
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DbErr, Statement};

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, LEASE, Repositories, import_to, new_media, path},
};

on_every_database!(
    a_row_that_cannot_be_updated_does_not_block_the_collector,
    a_row_that_cannot_be_updated_does_not_block_the_rescue_of_other_jobs,
    a_miscounted_usage_does_not_prevent_a_blob_from_being_abandoned,
    stray_leases_are_rescued_after_the_clock_was_set_back,
    retries_are_scheduled_to_the_microsecond,
);

const PROJECT: &str = "press";

/// Makes every update of the rows that meet a condition fail.
async fn break_rows(database: &Database, table: &str, condition: &str) {
    let statements: &[String] = match database.backend() {
        DatabaseBackend::Postgres => &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'a broken row'; END $$"
                .to_owned(),
            format!(
                "CREATE TRIGGER broken BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition}) \
                 EXECUTE FUNCTION refuse()"
            ),
        ],
        _ => &[format!(
            "CREATE TRIGGER broken BEFORE UPDATE ON {table} WHEN {condition} \
             BEGIN SELECT RAISE(ABORT, 'a broken row'); END"
        )],
    };
    run(database, statements).await;
}

async fn repair_rows(database: &Database, table: &str) {
    let drop = match database.backend() {
        DatabaseBackend::Postgres => format!("DROP TRIGGER broken ON {table}"),
        _ => "DROP TRIGGER broken".to_owned(),
    };
    run(database, &[drop]).await;
}

async fn run(database: &Database, statements: &[String]) {
    let statements = statements.to_vec();
    let done = database.transaction(move |transaction| {
        let statements = statements.clone();
        Box::pin(async move {
            for statement in &statements {
                transaction.execute_unprepared(statement).await?;
            }
            Ok::<_, DbErr>(())
        })
    });
    done.await.unwrap();
}

async fn count(database: &Database, sql: &str) -> i64 {
    let statement = Statement::from_string(database.backend(), sql);
    let row = database.reader().query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

async fn running(repositories: &Repositories, resource: &str) -> Lease {
    let created = repositories.jobs.create(import_to(&path(resource))).await;
    assert!(matches!(created.unwrap(), Created::New(_)));
    let claimed = repositories.jobs.claim(WorkerId::generate(), &KNOWN).await;
    claimed.unwrap().unwrap().lease
}

async fn a_row_that_cannot_be_updated_does_not_block_the_collector(database: Database) {
    let repositories = Repositories::open(&database);
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(store);
    let broken = repositories
        .blobs
        .stage(BlobOwner::Upload, None)
        .await
        .unwrap();
    for _ in 0..3 {
        repositories
            .blobs
            .stage(BlobOwner::Upload, None)
            .await
            .unwrap();
    }
    let condition = format!("OLD.storage_key = '{}'", broken.key.as_str());
    break_rows(&database, "blobs", &condition).await;
    repositories.clock.advance(Duration::from_hours(1));
    for _ in 0..3 {
        assert!(
            collect(&repositories.blobs, &store).await.is_err(),
            "the failure is reported"
        );
        repositories.clock.advance(Duration::from_hours(1));
    }
    assert_eq!(count(&database, "SELECT count(*) FROM blobs").await, 1);

    repair_rows(&database, "blobs").await;
    for _ in 0..3 {
        collect(&repositories.blobs, &store).await.unwrap();
        repositories.clock.advance(Duration::from_hours(1));
    }
    assert_eq!(count(&database, "SELECT count(*) FROM blobs").await, 0);
}

async fn a_row_that_cannot_be_updated_does_not_block_the_rescue_of_other_jobs(database: Database) {
    let repositories = Repositories::open(&database);
    running(&repositories, "broken").await;
    for n in 0..3 {
        running(&repositories, &format!("job {n}")).await;
    }
    repositories.clock.advance(LEASE * 2);
    let condition = match database.backend() {
        DatabaseBackend::Postgres => "OLD.arguments::text LIKE '%\"broken\"%'",
        _ => "OLD.arguments LIKE '%\"broken\"%'",
    };
    break_rows(&database, "jobs", condition).await;
    assert!(
        repositories.jobs.rescue_expired().await.is_err(),
        "the failure is reported"
    );
    let pending = "SELECT count(*) FROM jobs WHERE status = 'pending'";
    assert_eq!(count(&database, pending).await, 3);
    repair_rows(&database, "jobs").await;
    assert_eq!(repositories.jobs.rescue_expired().await.unwrap(), 1);
}

async fn a_miscounted_usage_does_not_prevent_a_blob_from_being_abandoned(database: Database) {
    let repositories = Repositories::open(&database);
    let blob = repositories
        .blobs
        .stage(BlobOwner::Upload, Some(PROJECT))
        .await;
    let blob = blob.unwrap();
    repositories.blobs.reserve(&blob, 100).await.unwrap();
    let lower = "UPDATE project_usage SET stored_bytes = 10";
    run(&database, &[lower.to_owned()]).await;
    assert!(repositories.blobs.abandon(&blob).await.unwrap());
    assert_eq!(repositories.blobs.stored_bytes(PROJECT).await.unwrap(), 0);
    // The project can still store blobs.
    let blob = repositories
        .blobs
        .stage(BlobOwner::Upload, Some(PROJECT))
        .await;
    repositories.blobs.reserve(&blob.unwrap(), 7).await.unwrap();
    assert_eq!(repositories.blobs.stored_bytes(PROJECT).await.unwrap(), 7);
}

async fn stray_leases_are_rescued_after_the_clock_was_set_back(database: Database) {
    let repositories = Repositories::open(&database);
    let lost = running(&repositories, "lost").await;
    let alive = running(&repositories, "alive").await;
    repositories.clock.set_back(Duration::from_hours(1));
    let start = Instant::now();
    let mut stray = StrayLeases::default();
    assert_eq!(repositories.jobs.rescue_expired().await.unwrap(), 0);
    assert_eq!(
        repositories
            .jobs
            .rescue_stray(&mut stray, start)
            .await
            .unwrap(),
        0
    );
    let held = start + LEASE;
    assert_eq!(
        repositories
            .jobs
            .rescue_stray(&mut stray, held)
            .await
            .unwrap(),
        0
    );
    // One worker renews its lease with the new time.
    let request = media_database::job_repository::HeartbeatRequest {
        lease: alive,
        progress: 0,
        bytes_done: 0,
        bytes_total: None,
    };
    assert_eq!(
        repositories.jobs.heartbeat(&[request]).await.unwrap().len(),
        1
    );
    let over = held + Duration::from_millis(1);
    assert_eq!(
        repositories
            .jobs
            .rescue_stray(&mut stray, over)
            .await
            .unwrap(),
        1
    );
    let status = async |lease: Lease| {
        repositories
            .jobs
            .find(lease.job_id)
            .await
            .unwrap()
            .unwrap()
            .status
    };
    assert_eq!(status(lost).await, JobStatus::Pending);
    assert_eq!(status(alive).await, JobStatus::Running);
}

async fn retries_are_scheduled_to_the_microsecond(database: Database) {
    let repositories = Repositories::open(&database);
    for n in 0..20 {
        let lease = running(&repositories, &format!("job {n}")).await;
        let mut failure = Failure::new(FailureCode::OriginError, "it failed");
        if n % 2 == 0 {
            failure.delay = RetryDelay::AtLeast(Duration::from_nanos(1_234_567_891));
        }
        repositories.jobs.fail(lease, failure).await.unwrap();
        let job = repositories.jobs.find(lease.job_id).await.unwrap().unwrap();
        let nanoseconds = job.scheduled_at.unwrap().timestamp_subsec_nanos();
        assert_eq!(nanoseconds % 1000, 0, "{:?}", job.scheduled_at);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn violations_are_found_and_repaired() {
    repair_violations(databases::sqlite().await).await;
    repair_violations(databases::postgres().await).await;
}

async fn repair_violations(test: TestDatabase) {
    let repositories = Repositories::open(&test.database);
    for resource in ["whole", "no blob", "garbage", "mischarged", "gone"] {
        let blob = repositories
            .blobs
            .stage(BlobOwner::Upload, Some(PROJECT))
            .await;
        let blob = blob.unwrap();
        repositories.blobs.reserve(&blob, 4).await.unwrap();
        let media = NewMedia {
            creator: Creator {
                project_id: Some(PROJECT.to_owned()),
                ..Creator::default()
            },
            ..new_media(path(resource), blob.id)
        };
        repositories.medias.publish(media).await.unwrap();
    }
    let connection = test.direct_connection().await;
    let found = integrity::find_violations(&connection).await.unwrap();
    assert_eq!(found, []);
    let of = |resource: &str| format!("(SELECT blob_id FROM medias WHERE resource = '{resource}')");
    for sql in [
        format!("DELETE FROM blobs WHERE id = {}", of("no blob")),
        format!(
            "UPDATE blobs SET status = 'garbage', collect_after = updated_at WHERE id = {}",
            of("garbage")
        ),
        format!(
            "UPDATE blobs SET charged = 9 WHERE id = {}",
            of("mischarged")
        ),
        "DELETE FROM medias WHERE resource = 'gone'".to_owned(),
    ] {
        connection.execute_unprepared(&sql).await.unwrap();
    }
    let found = integrity::find_violations(&connection).await.unwrap();
    let kinds: Vec<ViolationKind> = found.iter().map(|violation| violation.kind).collect();
    let expected = [
        ViolationKind::Charge,
        ViolationKind::MediaWithoutBlob,
        ViolationKind::MediaWithoutBlob,
        ViolationKind::BlobWithoutMedia,
        ViolationKind::Usage,
    ];
    assert_eq!(kinds, expected, "{found:?}");
    assert_eq!(integrity::repair(&connection).await.unwrap(), found);
    let found = integrity::find_violations(&connection).await.unwrap();
    assert_eq!(found, []);
    assert_eq!(repositories.blobs.stored_bytes(PROJECT).await.unwrap(), 8);
    assert!(
        repositories
            .medias
            .find_in(&path("whole"), Some(PROJECT))
            .await
            .unwrap()
            .is_some()
    );
    connection.close().await.unwrap();
}

/// Errors that are raised by PostgreSQL itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_postgres_are_classified() {
    let test = databases::postgres().await;
    let cases = [
        ("53100", DatabaseFailure::NoSpace),
        ("53200", DatabaseFailure::Unavailable),
        ("53300", DatabaseFailure::Unavailable),
        ("25006", DatabaseFailure::Unavailable),
        ("57P01", DatabaseFailure::Unavailable),
        ("57P03", DatabaseFailure::Unavailable),
        ("58030", DatabaseFailure::Unavailable),
        ("08006", DatabaseFailure::Unavailable),
        ("57014", DatabaseFailure::Timeout),
        ("42P01", DatabaseFailure::Defect),
        ("XX001", DatabaseFailure::Defect),
    ];
    for (code, expected) in cases {
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let error = test.database.write_sql(sql, []).await.unwrap_err();
        assert_eq!(classify(&error), expected, "{code}: {error}");
    }
    test.database.check_writable().await.unwrap();
}

/// A standby returns the same errors as a server that is configured as read-only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_is_reported_as_unavailable() {
    let test = databases::postgres().await;
    let name = "SELECT current_database()";
    let statement = Statement::from_string(DatabaseBackend::Postgres, name);
    let row = test.database.reader().query_one_raw(statement).await;
    let name: String = row.unwrap().unwrap().try_get_by_index(0).unwrap();
    let sql = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    run(&test.database, &[sql]).await;
    let database = Database::connect(&test.url, 2).await.unwrap();
    let error = database.check_writable().await.unwrap_err();
    assert_eq!(classify(&error), DatabaseFailure::Unavailable, "{error}");
    let repositories = Repositories::open(&database);
    let refused = repositories
        .jobs
        .create(import_to(&path("r")))
        .await
        .unwrap_err();
    let media_database::job_repository::JobError::Database(refused) = refused else {
        panic!("{refused}");
    };
    assert_eq!(
        classify(&refused),
        DatabaseFailure::Unavailable,
        "{refused}"
    );
}
