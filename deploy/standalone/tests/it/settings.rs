//! The settings: documented by their exact names, and refused by name when a value is unusable.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use media_testkit::service::Installation;

use crate::fixture::MEDIA;

/// The exit code for mistakes in the configuration (`EX_CONFIG` of sysexits.h).
const CONFIGURATION_ERROR: i32 = 78;

/// Settings that are read by `media import`, for which every text is a value.
const OF_IMPORT: [&str; 1] = ["MEDIA_TOKEN"];

/// An unusable value of every setting of `media serve`.
const UNUSABLE: &[(&str, &str)] = &[
    ("DATABASE_URL", "mysql://x"),
    ("DATABASE_URL_FILE", "/no/such/file"),
    ("MEDIA_CONNECT_TIMEOUT", "soon"),
    ("MEDIA_CONTACT", "me and you"),
    ("MEDIA_CORS_ORIGINS", "app.example/path"),
    ("MEDIA_DATABASE_CONNECTIONS", "1"),
    ("MEDIA_DATABASE_POOLER", "session"),
    ("MEDIA_DOWNLOAD_REDIRECT", "30days"),
    ("MEDIA_EGRESS_ALLOW", "10.0.0.0/8,here"),
    ("MEDIA_EGRESS_ALLOW_HOSTS", "example.org,a b"),
    ("MEDIA_EGRESS_DENY", "10.0.0.1/99"),
    ("MEDIA_EGRESS_DENY_HOSTS", "*"),
    ("MEDIA_EGRESS_DOWNGRADE", "maybe"),
    ("MEDIA_EGRESS_NAT64", "10.0.0.0/8"),
    ("MEDIA_EGRESS_PORTS", "x"),
    ("MEDIA_ENCRYPTION_KEY", "short"),
    ("MEDIA_ENCRYPTION_KEY_FILE", "/no/such/file"),
    ("MEDIA_FETCH_CONNECTIONS", "0"),
    ("MEDIA_IMPORT_TIMEOUT", "soon"),
    ("MEDIA_INLINE_PDF", "maybe"),
    ("MEDIA_JOB_RETENTION", "for ever"),
    ("MEDIA_JWKS_URL", "http://login.test/"),
    ("MEDIA_JWT_ALGORITHMS", "HS256"),
    ("MEDIA_JWT_AUDIENCE", "media"),
    ("MEDIA_JWT_ISSUER", "login"),
    ("MEDIA_JWT_SECRET", "short"),
    ("MEDIA_JWT_SECRET_FILE", "/no/such/file"),
    ("MEDIA_LEASE", "1s"),
    ("MEDIA_LISTEN", "0.0.0.0:80"),
    ("MEDIA_LOG_FORMAT", "xml"),
    ("MEDIA_MAX_BYTES", "lots"),
    ("MEDIA_MAX_CONNECTIONS", "few"),
    ("MEDIA_MAX_CONNECTIONS_PER_ADDRESS", "few"),
    ("MEDIA_MAX_REQUESTS_PER_CALLER", "few"),
    ("MEDIA_MAX_STREAMS_PER_CALLER", "few"),
    ("MEDIA_MAX_UPLOADS_PER_CALLER", "few"),
    ("MEDIA_PROJECT_MAX_BYTES", "0"),
    ("MEDIA_PROJECT_MAX_JOBS", "none"),
    ("MEDIA_PUBLIC_MAX_AGE", "for ever"),
    ("MEDIA_PUBLIC_URL", "media.example.org"),
    ("MEDIA_RATE_LIMIT", "slow"),
    ("MEDIA_RESPONSE_MEMORY", "little"),
    ("MEDIA_RESPONSE_TIMEOUT", "soon"),
    ("MEDIA_S3_BUFFER_BYTES", "much"),
    ("MEDIA_S3_PATH_STYLE", "maybe"),
    ("MEDIA_SHUTDOWN_GRACE", "a while"),
    ("MEDIA_STALL_TIMEOUT", "soon"),
    ("MEDIA_STORAGE_URL", "s3://Bucket"),
    ("MEDIA_TRUSTED_PROXIES", "everyone"),
    ("MEDIA_UPLOAD_MIN_RATE", "fast"),
    ("MEDIA_URL_SIGNING_KEY", "short"),
    ("MEDIA_URL_SIGNING_KEY_FILE", "/no/such/file"),
    ("MEDIA_USER_MAX_PRIORITY", "101"),
    ("MEDIA_WORKER_CONCURRENCY", "0"),
    ("MEDIA_WORKER_LISTEN", "here"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL_FILE", "/no/such/file"),
];

/// Splits a text into words of letters, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
}

/// Returns the variables that `--help` of a subcommand names.
async fn names_in_help(arguments: &[&str]) -> BTreeSet<String> {
    let installation = Installation::new(MEDIA);
    let output = installation.command(arguments).output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let variables = help.split("[env: ").skip(1);
    variables
        .map(|text| words(text).next().unwrap().to_owned())
        .collect()
}

/// Returns the variables of `media` and all of its subcommands.
async fn names_of_the_program() -> BTreeSet<String> {
    let mut names = names_in_help(&["--help"]).await;
    names.extend(names_in_help(&["import", "--help"]).await);
    names
}

/// Returns the Markdown files of a directory of the repository.
fn documents_in(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries = std::fs::read_dir(root.join(directory)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "md"))
        .collect()
}

/// Returns the names that documents mention as whole words, and that look like settings of the programs.
fn names_in_documents(directories: &[&str]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in directories.iter().flat_map(|name| documents_in(name)) {
        let text = std::fs::read_to_string(path).unwrap();
        let of_media = |word: &&str| {
            let rest = word.strip_prefix("MEDIA_").unwrap_or_default();
            !rest.is_empty() || UNUSABLE.iter().any(|(name, _)| name == word)
        };
        names.extend(words(&text).filter(of_media).map(str::to_owned));
    }
    names
}

#[tokio::test]
async fn every_setting_is_documented_and_every_documented_setting_exists() {
    let settings = names_in_help(&["--help"]).await;
    let for_users = names_in_documents(&[".", "docs"]);
    let undocumented: Vec<_> = settings.difference(&for_users).collect();
    assert!(undocumented.is_empty(), "not documented: {undocumented:?}");
    let anywhere = names_in_documents(&[".", "docs", "deploy"]);
    let program = names_of_the_program().await;
    let unknown: Vec<_> = anywhere.difference(&program).collect();
    assert!(unknown.is_empty(), "documented, but unknown: {unknown:?}");
}

#[tokio::test]
async fn every_setting_is_refused_by_its_name_when_its_value_is_unusable() {
    let tried = UNUSABLE.iter().map(|(name, _)| *name).chain(OF_IMPORT);
    let tried: BTreeSet<String> = tried.map(str::to_owned).collect();
    assert_eq!(tried, names_of_the_program().await);
    for (name, value) in UNUSABLE {
        let installation = Installation::new(MEDIA).with(name, value);
        let mut command = installation.command(&["serve"]);
        let output = command.output().await.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code();
        assert_eq!(code, Some(CONFIGURATION_ERROR), "{name}={value}: {message}");
        let is_named = words(&message).any(|word| word == *name);
        assert!(is_named, "{name}={value}: {message}");
    }
}
