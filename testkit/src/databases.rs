//! Databases for tests: each its own, with the schema in place.

use std::{path::Path, sync::OnceLock};

use media_shared::{
    config::{DatabaseUrl, Secret},
    database::Database,
};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{postgres::Postgres, scratch};

/// Connections to PostgreSQL that each test may open.
const CONNECTIONS: u32 = 8;

/// A database, and what has to live as long as it does.
pub struct TestDatabase {
    /// Connected.
    pub database: Database,
    /// Where it is.
    pub url: DatabaseUrl,
    _directory: Option<TempDir>,
}

/// Enters many scheduled jobs into the SQLite database of a service, faster than it would take them.
pub async fn fill_with_jobs(path: &Path, count: usize) {
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
         INSERT INTO jobs (id, job_class, priority, status, max_retries, scheduled_at, \
           arguments_version, arguments, created_at, updated_at) \
         SELECT unhex('01a20000000070008000' || printf('%012x', n)), 'media:import', n % 3, \
           'scheduled', 5, '2100-01-01T00:00:00+00:00', 1, '{{}}', \
           '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00' FROM n"
    );
    run_on(path, &sql).await;
}

/// Enters many media, of the resource `many`, into the SQLite database of a service.
pub async fn fill_with_medias(path: &Path, count: usize) {
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
         INSERT INTO medias (id, resource, key, filename, size, mime_type, sha256, public, blob_id, \
           created_at, updated_at) \
         SELECT unhex('01a20000000070008000' || printf('%012x', n)), 'many', 'key ' || n, 'f', n, \
           'image/png', printf('%064d', n), 0, randomblob(16), \
           '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00' FROM n"
    );
    run_on(path, &sql).await;
}

async fn run_on(path: &Path, sql: &str) {
    let url = format!("sqlite://{}", path.display());
    let database = sea_orm::Database::connect(url).await.unwrap();
    database.execute_unprepared(sql).await.unwrap();
    database.close().await.unwrap();
}

/// A new SQLite database.
pub async fn sqlite() -> TestDatabase {
    let directory = scratch::directory();
    let url = DatabaseUrl::Sqlite {
        path: directory.path().join("media.db"),
    };
    let database = Database::connect(&url, CONNECTIONS).await.unwrap();
    let connection = database.direct_connection().await.unwrap();
    media_migrations::migrate_up(&connection).await.unwrap();
    connection.close().await.unwrap();
    TestDatabase {
        database,
        url,
        _directory: Some(directory),
    }
}

/// A new database on a PostgreSQL server that all tests of this process share.
pub async fn postgres() -> TestDatabase {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    static TEMPLATE: Mutex<bool> = Mutex::const_new(false);
    let server = SERVER.get_or_init(Postgres::start);
    let name = format!("test_{}", Uuid::now_v7().simple());
    // One at a time: a template cannot be copied while anybody is connected to it.
    let mut migrated = TEMPLATE.lock().await;
    let admin = sea_orm::Database::connect(server.url("postgres"))
        .await
        .unwrap();
    if !*migrated {
        admin
            .execute_unprepared("CREATE DATABASE template_media")
            .await
            .unwrap();
        let template = sea_orm::Database::connect(server.url("template_media"))
            .await
            .unwrap();
        media_migrations::migrate_up(&template).await.unwrap();
        template.close().await.unwrap();
        *migrated = true;
    }
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE template_media"))
        .await
        .unwrap();
    admin.close().await.unwrap();
    drop(migrated);

    let url = DatabaseUrl::Postgres {
        url: Secret::new(server.url(&name)),
    };
    TestDatabase {
        database: Database::connect(&url, CONNECTIONS).await.unwrap(),
        url,
        _directory: None,
    }
}
