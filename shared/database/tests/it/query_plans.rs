//! The frequent operations of workers, on large PostgreSQL tables: no operation reads a whole table.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use media_database::{
    Database, DatabaseUrl, Reader,
    job_repository::{HeartbeatRequest, SlotUse},
    media_repository::NewMedia,
};
use media_domain::{
    blob::BlobOwner,
    caller::Creator,
    ids::WorkerId,
    job::{Lease, Unicity},
    media::MediaPath,
    permissions::{MediaReadScope, ProjectSelector, ReadScope},
};
use media_ingest::garbage_collector::collect;
use media_storage::{BlobStore, disk::DiskStore};
use media_testkit::{databases, wait_until};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};

use media_testkit::repositories::{KNOWN, Repositories, import_to, new_media, path};

const JOBS: usize = 100_000;

/// Inserts many scheduled and ended jobs and some pending ones, and many blobs and media.
async fn fill(database: &DatabaseConnection) {
    for (status, count) in [("scheduled", JOBS), ("succeeded", JOBS), ("pending", 500)] {
        let scheduled = match status {
            "scheduled" => "'2100-01-01'",
            _ => "NULL",
        };
        let finished = match status {
            "succeeded" => "'2100-01-01'",
            _ => "NULL",
        };
        let sql = format!(
            "INSERT INTO jobs (id, job_class, priority, status, max_retries, scheduled_at, \
               finished_at, arguments_version, arguments, created_at, updated_at) \
             SELECT gen_random_uuid(), 'media:import', n % 5, '{status}', 5, {scheduled}, \
               {finished}, 1, '{{}}', '2026-01-01', '2026-01-01' FROM generate_series(1, {count}) n"
        );
        database.execute_unprepared(&sql).await.unwrap();
    }
    let blobs = format!(
        "INSERT INTO blobs (id, storage_key, status, created_at, updated_at) \
         SELECT gen_random_uuid(), n::text, 'live', '2026-01-01', '2026-01-01' \
         FROM generate_series(1, {JOBS}) n"
    );
    database.execute_unprepared(&blobs).await.unwrap();
    let medias = format!(
        "INSERT INTO medias (id, resource, key, filename, size, mime_type, sha256, public, \
           project_id, blob_id, created_at, updated_at) \
         SELECT gen_random_uuid(), 'r' || n % 10, n::text, 'f', 1, 'image/png', repeat('0', 64), \
           n % 2 = 0, 'p' || n % 50, gen_random_uuid(), '2026-01-01', '2026-01-01' \
         FROM generate_series(1, {JOBS}) n"
    );
    database.execute_unprepared(&medias).await.unwrap();
    let sql = "VACUUM ANALYZE jobs, blobs, medias";
    database.execute_unprepared(sql).await.unwrap();
}

/// Runs a statement that returns names and counts.
async fn counts(database: &Reader, sql: &str) -> BTreeMap<String, i64> {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| {
            let name = row.try_get_by_index(0).unwrap();
            (name, row.try_get_by_index(1).unwrap())
        })
        .collect()
}

/// The number of sequential scans of each table.
async fn sequential_scans(database: &Reader) -> BTreeMap<String, i64> {
    let sql = "SELECT relname::text, seq_scan FROM pg_stat_user_tables \
               WHERE relname IN ('jobs', 'blobs', 'medias')";
    counts(database, sql).await
}

/// The number of entries that were read from each index of jobs and media.
async fn index_entries_read(database: &Reader) -> BTreeMap<String, i64> {
    let sql = "SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes \
               WHERE relname IN ('jobs', 'medias')";
    counts(database, sql).await
}

#[tokio::test]
async fn no_operation_of_a_worker_reads_a_whole_table() {
    let test = databases::postgres().await;
    let direct = test.database.direct_connection().await.unwrap();
    fill(&direct).await;
    direct.close().await.unwrap();
    let observer = close(test.database, &test.url).await;
    let before = sequential_scans(observer.reader()).await;

    let database = Database::connect(&test.url, 2).await.unwrap();
    let repositories = Repositories::open(&database);
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let store: Arc<dyn BlobStore> = Arc::new(store);
    repositories
        .jobs
        .create(import_to(&path("r")))
        .await
        .unwrap();
    // More executions than PostgreSQL needs to switch to a generic plan.
    for round in 0..10 {
        let claimed = repositories.jobs.claim(WorkerId::generate(), &KNOWN).await;
        let lease = claimed.unwrap().unwrap().lease;
        assert_eq!(
            repositories
                .jobs
                .heartbeat(&[heartbeat_request(lease)])
                .await
                .unwrap()
                .len(),
            1
        );
        repositories.jobs.release(lease).await.unwrap();
        repositories.jobs.promote_due().await.unwrap();
        repositories.jobs.rescue_expired().await.unwrap();
        repositories.jobs.count_pending(16).await.unwrap();
        repositories.jobs.queue_stats().await.unwrap();
        repositories
            .jobs
            .prune(Duration::from_hours(1))
            .await
            .unwrap();
        collect(&repositories.blobs, &store).await.unwrap();
        repositories.blobs.abandon_attempt(lease).await.unwrap();
        repositories.blobs.resume_checkpoint(lease).await.unwrap();
        let claimed = repositories.jobs.claim(WorkerId::generate(), &KNOWN).await;
        let lease = claimed.unwrap().unwrap().lease;
        // One statement if the path is free, several if a media is replaced.
        let place = path(&format!("new {}", round / 2));
        let media = repositories.staged_media(lease, place).await;
        repositories.jobs.complete(lease, media).await.unwrap();
        run_api_queries(&repositories).await;
    }
    close(database, &test.url).await;
    assert_eq!(sequential_scans(observer.reader()).await, before);
}

fn heartbeat_request(lease: Lease) -> HeartbeatRequest {
    HeartbeatRequest {
        lease,
        progress: 1,
        bytes_done: 1,
        bytes_total: None,
    }
}

/// The queries of API requests: lookups, the limits on unfinished jobs and the quota.
async fn run_api_queries(repositories: &Repositories) {
    let of_p7 = Creator {
        project_id: Some("p7".to_owned()),
        ..Creator::default()
    };
    let limited = repositories.jobs.clone().max_unfinished_jobs(Some(1000));
    let unicity = Some(Unicity::new("one").unwrap());
    let job = import_to(&path("r")).with_creator(of_p7.clone());
    limited.create(job.unicity(unicity)).await.unwrap();
    let medias = &repositories.medias;
    let there = MediaPath::new("r7", Some("57")).unwrap();
    for projects in [
        ReadScope::All,
        ReadScope::Projects(vec!["p7".into(), "p8".into()]),
    ] {
        for path in [&there, &path("r7")] {
            let scope = MediaReadScope {
                projects: projects.clone(),
                public: true,
            };
            medias
                .find(path, &scope, &ProjectSelector::Any)
                .await
                .unwrap();
            medias.find_in(path, Some("p7")).await.unwrap();
        }
    }
    let owner = BlobOwner::Upload;
    let blob = repositories.blobs.stage(owner, Some("p7")).await.unwrap();
    repositories.blobs.reserve(&blob, 10).await.unwrap();
    let media = NewMedia {
        creator: of_p7,
        ..new_media(there, blob.id)
    };
    medias.publish(media).await.unwrap();
}

#[tokio::test]
async fn a_claim_uses_the_priority_index_even_without_table_statistics() {
    const PENDING_JOBS: usize = 20_000;
    const CLAIMS: i64 = 30;
    let test = databases::postgres().await;
    let sql = format!(
        "ALTER TABLE jobs SET (autovacuum_enabled = off); \
         INSERT INTO jobs (id, job_class, priority, status, max_retries, arguments_version, \
           arguments, created_at, updated_at) \
         SELECT gen_random_uuid(), 'media:import', n % 5, 'pending', 5, 1, '{{}}', now(), now() \
         FROM generate_series(1, {PENDING_JOBS}) n"
    );
    let direct = test.database.direct_connection().await.unwrap();
    direct.execute_unprepared(&sql).await.unwrap();
    direct.close().await.unwrap();
    let observer = close(test.database, &test.url).await;
    let before = index_entries_read(observer.reader()).await;

    let database = Database::connect(&test.url, 1).await.unwrap();
    let repositories = Repositories::open(&database);
    for _ in 0..CLAIMS {
        let claimed = repositories.jobs.claim(WorkerId::generate(), &KNOWN).await;
        claimed.unwrap().unwrap();
    }
    close(database, &test.url).await;
    for (index, count) in index_entries_read(observer.reader()).await {
        // Dead entries of claimed jobs are read until they are vacuumed: once in the search for projects, and once in
        // the selection of jobs.
        let read = count - before[&index];
        assert!(read <= 2 * CLAIMS * CLAIMS, "{read} entries of {index}");
    }
}

/// Batched statements, on tables that grow while cached plans are in use: they read by keys, and there are few of them.
#[tokio::test]
async fn concurrent_operations_use_few_statements_that_read_few_rows() {
    const ROUNDS: usize = 12;
    const CALLERS: usize = 32;
    let test = databases::postgres().await;
    let sql = "ALTER TABLE jobs SET (autovacuum_enabled = off); \
               ALTER TABLE blobs SET (autovacuum_enabled = off); \
               ALTER TABLE medias SET (autovacuum_enabled = off)";
    let direct = test.database.direct_connection().await.unwrap();
    direct.execute_unprepared(sql).await.unwrap();
    direct.close().await.unwrap();
    let observer = close(test.database, &test.url).await;
    let before = sequential_scans(observer.reader()).await;
    let commits = database_statistic(&observer, "xact_commit").await;

    let database = Database::connect(&test.url, 4).await.unwrap();
    let repositories = Repositories::open(&database);
    let claims = repositories.jobs.claims(WorkerId::generate(), &KNOWN);
    for round in 0..ROUNDS {
        let place = |n| path(&format!("place {round} {n}"));
        let created = (0..CALLERS).map(|n| repositories.jobs.create(import_to(&place(n))));
        join_all(created)
            .await
            .into_iter()
            .for_each(|created| drop(created.unwrap()));
        let claimed = join_all((0..CALLERS).map(|_| claims.next(SlotUse::AnyProject))).await;
        let leases: Vec<Lease> = claimed
            .into_iter()
            .map(|c| c.unwrap().unwrap().lease)
            .collect();
        let staged = (0..)
            .zip(&leases)
            .map(|(n, lease)| repositories.staged_media(*lease, place(n)));
        let medias = join_all(staged).await;
        // The heartbeats lock the jobs in the opposite order while they complete, which must not deadlock.
        let requests: Vec<HeartbeatRequest> = leases
            .iter()
            .rev()
            .map(|lease| heartbeat_request(*lease))
            .collect();
        let ended = leases
            .iter()
            .zip(medias)
            .map(|(lease, media)| repositories.jobs.complete(*lease, media));
        let (ended, renewed) =
            tokio::join!(join_all(ended), repositories.jobs.heartbeat(&requests));
        for ended in ended {
            ended.unwrap();
        }
        renewed.unwrap();
        look_up_concurrently(&repositories, (0..CALLERS).map(place)).await;
    }
    close(database, &test.url).await;
    assert_eq!(sequential_scans(observer.reader()).await, before);
    // Without batches there would be five commits per job. The first job of a round is a batch of its own.
    let jobs = i64::try_from(ROUNDS * CALLERS).unwrap();
    let commits = database_statistic(&observer, "xact_commit").await - commits;
    assert!(commits < 2 * jobs, "{commits} commits");
    assert_eq!(database_statistic(&observer, "deadlocks").await, 0);
    let read = index_entries_read(observer.reader()).await;
    for (index, each) in [("jobs_pkey", 12), ("medias_resource", 2)] {
        assert!(
            read[index] <= each * jobs,
            "{} entries of {index}",
            read[index]
        );
    }
}

async fn look_up_concurrently(
    repositories: &Repositories,
    places: impl Iterator<Item = MediaPath>,
) {
    let scope = MediaReadScope {
        projects: ReadScope::All,
        public: true,
    };
    let keyed = MediaPath::new("r7", Some("57")).unwrap();
    let places: Vec<MediaPath> = places.chain([keyed]).collect();
    let found = places.iter().map(|place| {
        repositories
            .medias
            .find(place, &scope, &ProjectSelector::Any)
    });
    join_all(found)
        .await
        .into_iter()
        .for_each(|found| drop(found.unwrap()));
}

/// A cumulative statistic of the whole database.
async fn database_statistic(observer: &Database, column: &str) -> i64 {
    let sql = format!(
        "SELECT '{column}', {column} FROM pg_stat_database WHERE datname = current_database()"
    );
    counts(observer.reader(), &sql).await[column]
}

/// Closes a database's connections and waits until the server has ended them, so that their statistics are complete.
/// Returns a connection to read the statistics.
async fn close(database: Database, url: &DatabaseUrl) -> Database {
    database.close().await.unwrap();
    let observer = Database::connect(url, 1).await.unwrap();
    wait_until("all connections ended", Duration::from_secs(20), async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND state IS NOT NULL AND application_name <> 'observer' AND pid <> pg_backend_pid()";
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = observer.reader().query_one_raw(statement).await;
        let others: i64 = row.unwrap().unwrap().try_get_by_index(0).unwrap();
        (others == 0).then_some(())
    })
    .await;
    let sql = "SELECT set_config('application_name', 'observer', false)";
    let named = Statement::from_string(DbBackend::Postgres, sql);
    observer.reader().query_one_raw(named).await.unwrap();
    observer
}
