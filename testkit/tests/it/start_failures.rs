//! Configuration mistakes and missing dependencies at start: one sentence that says what to do, and an exit
//! code by kind.

use std::{net::TcpListener, process::Command};

use media_testkit::{
    cluster::Cluster,
    file_faults::{Area, Calls, FileError, FileFaults},
    pgbouncer::PgBouncer,
    postgres::Postgres,
    programs, tempdir,
};

/// The error output of a program and its exit code.
struct Ended {
    said: String,
    code: i32,
}

fn start(program: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let directory = tempdir::create();
    let output = Command::new(programs::path(program))
        .args(arguments)
        .current_dir(directory.path())
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Ended {
        said: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

/// Checks the exit code and the last line of the error output, which must not contain a stack trace.
fn check(ended: &Ended, code: i32, expected: &[&str]) {
    let said = &ended.said;
    assert_eq!(ended.code, code, "{said}");
    assert!(!said.contains("stack backtrace"), "{said}");
    assert!(!said.contains("Caused by"), "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    for text in expected {
        assert!(last.contains(text), "{text}: {last}");
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = start("media", &[("MEDIA_LISTEN", &address)], &["serve"]);
    check(
        &ended,
        69,
        &["media: cannot listen on", "MEDIA_LISTEN", "in use"],
    );
}

#[test]
fn all_wrong_settings_are_reported_at_once() {
    let variables = [("MEDIA_LEASE", "soon"), ("MEDIA_MAX_BYTES", "much")];
    for program in ["media-api", "media-worker"] {
        let ended = start(program, &variables, &[]);
        check(&ended, 78, &["MEDIA_LEASE"]);
        assert!(ended.said.contains("MEDIA_MAX_BYTES"), "{}", ended.said);
    }
}

#[test]
fn a_full_standard_error_changes_no_exit_code() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = Command::new(programs::path("media-api"))
        .env_clear()
        .env("DATABASE_URL", "mysql://x")
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(78));
}

#[test]
fn an_undeclared_pooler_is_reported() {
    let server = Postgres::start();
    let pooler = PgBouncer::start(&server);
    let url = pooler.url("postgres");
    for (program, arguments) in [("media-api", &[][..]), ("media-migrate", &["up"])] {
        let ended = start(program, &[("DATABASE_URL", &url)], arguments);
        check(&ended, 78, &["MEDIA_DATABASE_POOLER=transaction"]);
        assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
    }
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("MEDIA_DATABASE_POOLER", "transaction"),
    ];
    let ended = start("media", &variables, &["serve"]);
    check(&ended, 78, &["run `media-migrate up`"]);
}

#[test]
fn a_wrong_url_parameter_is_reported() {
    let server = Postgres::start();
    let url = server.url("postgres") + "?sslmode=bogus";
    for (program, arguments) in [("media-api", &[][..]), ("media-migrate", &["up"])] {
        let ended = start(program, &[("DATABASE_URL", &url)], arguments);
        check(&ended, 78, &["DATABASE_URL", "check the URL"]);
    }
}

#[test]
fn a_wrong_database_password_is_reported() {
    let server = Postgres::start();
    server.require_password("media", "right");
    let url = server.url_of("media", "wrong");
    let ended = start("media-api", &[("DATABASE_URL", &url)], &[]);
    check(&ended, 77, &["check the user and the password"]);
}

#[test]
fn an_unreachable_database_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://media:secret-word@127.0.0.1:{port}/media");
    for (program, arguments) in [("media-api", &[][..]), ("media-migrate", &["up"])] {
        let ended = start(program, &[("DATABASE_URL", &url)], arguments);
        check(&ended, 69, &["DATABASE_URL", "check that it runs"]);
        assert!(!ended.said.contains("secret-word"), "{}", ended.said);
    }
}

#[test]
fn a_missing_database_and_a_missing_schema_are_reported() {
    let server = Postgres::start();
    let (missing, empty) = (server.url("nowhere"), server.url("postgres"));
    let ended = start("media-api", &[("DATABASE_URL", &missing)], &[]);
    check(&ended, 78, &["create the database"]);
    let ended = start("media-api", &[("DATABASE_URL", &empty)], &[]);
    check(&ended, 78, &["run `media-migrate up`"]);
}

#[tokio::test]
async fn a_wrong_bucket_or_key_is_reported() {
    let cluster = Cluster::start().await;
    let variables = cluster.variables();
    for (name, value) in [
        ("MEDIA_STORAGE_URL", "s3://no-such-bucket"),
        ("AWS_SECRET_ACCESS_KEY", "another"),
    ] {
        let mut variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        variables.push((name, value));
        let ended = start("media-api", &variables, &[]);
        check(&ended, 78, &["MEDIA_STORAGE_URL"]);
    }
}

#[test]
fn a_directory_that_cannot_be_created_is_reported() {
    let directory = tempdir::create();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let url = format!("sqlite://{}", file.join("media.db").display());
    let ended = start("media", &[("DATABASE_URL", &url)], &["serve"]);
    check(&ended, 73, &["cannot lock", "file"]);
}

#[test]
fn a_full_disk_is_reported() {
    let directory = tempdir::create();
    let database = directory.path().join("media.db");
    let files = FileFaults::prepare(directory.path(), &database, &directory.path().join("blobs"));
    files.begin(Area::Database, FileError::NoSpace, Calls::ALL, 10_000);
    let url = format!("sqlite://{}", database.display());
    let library = files.variables();
    let mut variables: Vec<(&str, &str)> = library
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    variables.push(("DATABASE_URL", &url));
    let ended = start("media", &variables, &["serve"]);
    check(&ended, 74, &["No space left"]);
}
