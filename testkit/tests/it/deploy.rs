//! The query that scales workers, and the images.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use media_testkit::{databases, programs};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the command that prints the SQL by which workers are scaled; `make install` installs its Python.
fn print_query() -> Command {
    let mut command = Command::new(here().join("../target/clients/python/bin/python"));
    command
        .arg(here().join("tests/deploy/check.py"))
        .arg("query");
    command
}

/// Returns the directory of the programs.
fn built() -> PathBuf {
    programs::path("media").parent().unwrap().to_owned()
}

/// Returns the output of a command, which must succeed.
fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

/// The number of jobs of each status.
const EACH: i64 = 3;

/// Inserts `count` jobs of each of these statuses.
async fn fill(database: &DatabaseConnection, statuses: &str, count: i64) {
    let sql = format!(
        "INSERT INTO jobs (id, job_class, priority, status, max_retries, arguments_version, arguments, \
           created_at, updated_at, scheduled_at, finished_at, lease_until, worker_id) \
         SELECT gen_random_uuid(), 'media:import', 0, status, 5, 1, '{{}}', now(), now(), \
           CASE WHEN status = 'scheduled' THEN now() END, \
           CASE WHEN status IN ('succeeded', 'failed', 'cancelled') THEN now() END, \
           CASE WHEN status = 'running' THEN now() END, \
           CASE WHEN status = 'running' THEN gen_random_uuid() END \
         FROM unnest(ARRAY[{statuses}]) AS status, generate_series(1, {count})"
    );
    database.execute_unprepared(&sql).await.unwrap();
}

async fn ask(database: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn workers_are_scaled_by_pending_and_running_jobs() {
    let query = output(print_query());
    let test = databases::postgres().await;
    let database = &test.database.direct_connection().await.unwrap();
    assert_eq!(ask(database, &query).await, 0);
    let all = "'scheduled', 'pending', 'running', 'paused', 'succeeded', 'failed', 'cancelled'";
    fill(database, all, EACH).await;
    assert_eq!(ask(database, &query).await, 2 * EACH);
    // More jobs than the largest number of workers needs.
    fill(database, "'pending'", 2000).await;
    assert_eq!(ask(database, &query).await, 1000 + EACH);
}

#[test]
fn the_images_build_and_their_programs_start() {
    let mut id = Command::new("id");
    id.arg("-u");
    // Other users become root in a user namespace.
    let mut command = if output(id).trim() == "0" {
        Command::new("unshare")
    } else {
        let mut command = Command::new("buildah");
        command.args(["unshare", "unshare"]);
        command
    };
    command
        .args(["--mount", "--net", "sh"])
        .arg(here().join("tests/deploy/images.sh"))
        .arg(here().join(".."))
        .arg(built());
    output(command);
}
