use clap::{Args as _, FromArgMatches as _};

use super::*;

fn settings(flags: &[&str]) -> Settings {
    let command = Settings::augment_args(clap::Command::new("test").no_binary_name(true));
    Settings::from_arg_matches(&command.get_matches_from(flags)).unwrap()
}

#[test]
fn the_defaults_are_good() {
    let config = settings(&[]).check().unwrap();
    assert_eq!(config.max_bytes.as_u64(), 10 << 30);
    assert_eq!(config.worker.egress.allow, []);
    assert_eq!(config.worker.egress.ports, [80, 443, 8080, 8443]);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let errors = settings(&[
        "--database-url",
        "mysql://x",
        "--storage-url",
        "s3://Bucket",
        "--redis-url",
        "localhost:6379",
        "--database-connections",
        "1",
        "--database-pooler",
        "session",
        "--s3-path-style",
        "maybe",
        "--s3-buffer-bytes",
        "1KiB",
        "--download-redirect",
        "30days",
        "--worker-listen",
        "here",
        "--listen",
        "0.0.0.0:80",
        "--jwt-algorithms",
        "HS256",
        "--jwt-audience",
        "media",
        "--jwt-issuer",
        "login",
        "--url-signing-key",
        "short",
        "--encryption-key",
        "short",
        "--worker-concurrency",
        "0",
        "--egress-allow",
        "10.0.0.0/8,here",
        "--egress-ports",
        "x",
        "--egress-deny",
        "10.0.0.1/99",
        "--egress-allow-hosts",
        "example.org,a b",
        "--egress-deny-hosts",
        "*",
        "--egress-downgrade",
        "maybe",
        "--fetch-connections",
        "0",
        "--contact",
        "me and you",
        "--max-bytes",
        "lots",
        "--public-url",
        "media.example.org",
        "--project-max-bytes",
        "0",
        "--project-max-jobs",
        "none",
        "--stall-timeout",
        "soon",
        "--lease",
        "1s",
    ])
    .check()
    .unwrap_err()
    .to_string();
    for variable in [
        "DATABASE_URL",
        "MEDIA_STORAGE_URL",
        "REDIS_URL",
        "MEDIA_DATABASE_CONNECTIONS",
        "MEDIA_DATABASE_POOLER",
        "MEDIA_S3_PATH_STYLE",
        "MEDIA_S3_BUFFER_BYTES",
        "MEDIA_DOWNLOAD_REDIRECT",
        "MEDIA_WORKER_LISTEN",
        "MEDIA_LISTEN",
        "MEDIA_JWT_ALGORITHMS",
        "MEDIA_JWT_AUDIENCE",
        "MEDIA_JWT_ISSUER",
        "MEDIA_URL_SIGNING_KEY",
        "MEDIA_ENCRYPTION_KEY",
        "MEDIA_WORKER_CONCURRENCY",
        "MEDIA_EGRESS_ALLOW",
        "MEDIA_EGRESS_PORTS",
        "MEDIA_EGRESS_DENY",
        "MEDIA_EGRESS_ALLOW_HOSTS",
        "MEDIA_EGRESS_DENY_HOSTS",
        "MEDIA_EGRESS_DOWNGRADE",
        "MEDIA_FETCH_CONNECTIONS",
        "MEDIA_CONTACT",
        "MEDIA_MAX_BYTES",
        "MEDIA_PUBLIC_URL",
        "MEDIA_PROJECT_MAX_BYTES",
        "MEDIA_PROJECT_MAX_JOBS",
        "MEDIA_STALL_TIMEOUT",
        "MEDIA_LEASE",
    ] {
        assert!(errors.contains(variable), "{variable} in {errors}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let hunter = "hunter2".repeat(5);
    let config = settings(&[
        "--database-url",
        "postgres://user:hunter2@db/media",
        "--jwt-secret",
        &hunter,
        "--url-signing-key",
        &format!("{hunter},{hunter}"),
        "--encryption-key",
        &hunter,
    ])
    .check()
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn with_authentication_it_may_listen_anywhere() {
    let secret = "s".repeat(32);
    for authentication in [
        ["--jwt-secret", &secret],
        ["--jwks-url", "https://login.test/keys"],
    ] {
        let flags = [&["--listen", "0.0.0.0:80"], &authentication[..]].concat();
        let config = settings(&flags).check().unwrap();
        assert!(config.authentication.is_some());
    }
    let said = settings(&["--listen", "0.0.0.0:80", "--jwt-secret", "short"])
        .check()
        .unwrap_err()
        .to_string();
    assert!(said.contains("MEDIA_JWT_SECRET"), "{said}");
    assert!(!said.contains("MEDIA_LISTEN"), "{said}");
}
