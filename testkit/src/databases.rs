//! Databases for tests, each with the schema in place and used by one test alone.

use std::{path::Path, sync::OnceLock};

use media_shared::{
    config::{DatabaseUrl, Pooler, Secret},
    database::Database,
};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{pgbouncer::PgBouncer, postgres::Postgres, tempdir};

/// The size of the connection pool of each test.
const CONNECTIONS: u32 = 8;

/// A database, with the resources that must live as long as it does.
pub struct TestDatabase {
    pub database: Database,
    pub url: DatabaseUrl,
    /// The URL of the server itself if `url` leads to a pooler.
    server_url: Option<String>,
    _directory: Option<TempDir>,
}

/// Inserts scheduled jobs into the SQLite database of a service, which is faster than posting them.
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

/// Inserts media of the resource `many` into the SQLite database of a service.
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

/// Creates an SQLite database.
pub async fn sqlite() -> TestDatabase {
    let directory = tempdir::create();
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
        server_url: None,
        _directory: Some(directory),
    }
}

/// Returns the PostgreSQL server that all tests of this process share.
fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// Creates a database on the PostgreSQL server that all tests of this process share.
pub async fn postgres() -> TestDatabase {
    let url = server().url(&new_postgres_database().await);
    TestDatabase::on_postgres(&url, Pooler::None).await
}

/// Creates a database on the same server and connects through PgBouncer in transaction mode.
pub async fn pgbouncer() -> TestDatabase {
    static POOLER: OnceLock<PgBouncer> = OnceLock::new();
    let name = new_postgres_database().await;
    let url = POOLER.get_or_init(|| PgBouncer::start(server())).url(&name);
    let mut test = TestDatabase::on_postgres(&url, Pooler::Transaction).await;
    test.server_url = Some(server().url(&name));
    test
}

/// Creates a database with the schema on the shared server and returns its name.
async fn new_postgres_database() -> String {
    static TEMPLATE: Mutex<bool> = Mutex::const_new(false);
    let server = server();
    let name = format!("test_{}", Uuid::now_v7().simple());
    // A template cannot be copied while a connection to it is open.
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
    name
}

impl TestDatabase {
    async fn on_postgres(url: &str, pooler: Pooler) -> Self {
        let url = DatabaseUrl::Postgres {
            url: Secret::new(url),
            pooler,
        };
        Self {
            database: Database::connect(&url, CONNECTIONS).await.unwrap(),
            url,
            server_url: None,
            _directory: None,
        }
    }

    /// Returns a connection to the server itself, past the pooler if there is one. The caller must close it.
    pub async fn direct_connection(&self) -> DatabaseConnection {
        match &self.server_url {
            Some(url) => sea_orm::Database::connect(url).await.unwrap(),
            None => self.database.direct_connection().await.unwrap(),
        }
    }
}
