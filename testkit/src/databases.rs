//! Databases for tests: each its own, with the schema in place.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use media_shared::{
    config::{DatabaseUrl, Secret},
    database::Database,
};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    free_port,
    process::{Launch, Supervised},
};

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
    let directory = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite {
        path: directory.path().join("media.db"),
    };
    let database = Database::connect(&url).await.unwrap();
    media_migrations::migrate_up(database.writer())
        .await
        .unwrap();
    TestDatabase {
        database,
        url,
        _directory: Some(directory),
    }
}

/// A new database on a PostgreSQL server that all tests of this process share.
pub async fn postgres() -> TestDatabase {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    static TEMPLATE: Mutex<bool> = Mutex::const_new(false);
    let server = SERVER.get_or_init(PostgresServer::start);
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
        database: Database::connect(&url).await.unwrap(),
        url,
        _directory: None,
    }
}

/// A PostgreSQL server with data of its own.
struct PostgresServer {
    port: u16,
    _process: Supervised,
    _data: TempDir,
}

/// Becomes the user `postgres` if the tests run as root, which the server refuses.
const AS_POSTGRES: [&str; 4] = [
    "--reuid=postgres",
    "--regid=postgres",
    "--init-groups",
    "--",
];

impl PostgresServer {
    fn start() -> Self {
        let programs = newest_postgres();
        let data = tempfile::tempdir().unwrap();
        let directory = data.path().join("data");
        std::fs::create_dir(&directory).unwrap();
        let root = is_root();
        if root {
            run(Command::new("chown")
                .arg("postgres")
                .args([data.path(), &directory]));
        }
        let directory = directory.to_str().unwrap().to_owned();
        let initdb = programs.join("initdb");
        let initialise = [
            "-D",
            &directory,
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--no-sync",
        ];
        if root {
            run(Command::new("setpriv")
                .args(AS_POSTGRES)
                .arg(&initdb)
                .args(initialise));
        } else {
            run(Command::new(&initdb).args(initialise));
        }
        let port = free_port();
        let process = start_postgres(&programs.join("postgres"), &directory, port, root);
        let server = Self {
            port,
            _process: process,
            _data: data,
        };
        server.wait(&programs);
        server
    }

    fn wait(&self, programs: &Path) {
        let end = Instant::now() + Duration::from_secs(30);
        let port = self.port.to_string();
        let ready = || {
            Command::new(programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status()
                .is_ok_and(|status| status.success())
        };
        while !ready() {
            assert!(Instant::now() < end, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

fn start_postgres(program: &Path, data: &str, port: u16, root: bool) -> Supervised {
    let port = port.to_string();
    let settings = [
        "-D",
        data,
        "-p",
        &port,
        "-h",
        "127.0.0.1",
        "-k",
        "",
        // What is tested is the service, not the disk.
        "-c",
        "fsync=off",
        "-c",
        "full_page_writes=off",
        "-c",
        "max_connections=200",
    ];
    if root {
        let program = program.to_str().unwrap();
        let arguments: Vec<&str> = AS_POSTGRES
            .into_iter()
            .chain([program])
            .chain(settings)
            .collect();
        Launch::new("/usr/bin/setpriv", &arguments)
    } else {
        Launch::new(program, &settings)
    }
    .ended_by("-INT")
    .start()
}

/// The programs of the newest PostgreSQL that is installed, where Debian puts them.
fn newest_postgres() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is missing; `make install` installs it")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    versions.sort();
    versions
        .pop()
        .expect("PostgreSQL is missing; `make install` installs it")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
