//! From text to checked values.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, path::Path, str::FromStr, time::Duration};

use bytesize::ByteSize;

use super::{
    Config, DatabaseUrl, FetchLimits, Pooler, Secret, SecretFile, Settings, StorageUrl,
    WorkerConfig, authentication, egress, projects, secret_file, storage,
};
use crate::{blob_store::s3, database::ACQUIRE_TIMEOUT};

/// Everything that is wrong with the settings, a line each.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Collects mistakes; whatever failed to parse stands in with a value that is never used.
#[derive(Default)]
pub(super) struct Checker {
    mistakes: Vec<String>,
    /// The files that secrets were read from.
    files: Vec<SecretFile>,
}

impl Checker {
    pub(super) fn keep<T>(&mut self, variable: &str, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|reason| self.mistakes.push(format!("{variable} {reason}")))
            .ok()
    }

    /// Checks a secret that is set by its text or by a file; nothing where it is set by neither, or wrong.
    pub(super) fn secret(
        &mut self,
        variable: &'static str,
        text: &str,
        file: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Option<Secret> {
        let text = match (text, file) {
            (text, "") => text.to_owned(),
            ("", file) => self.keep(
                &format!("{variable}_FILE"),
                secret_file::read(Path::new(file)),
            )?,
            _ => {
                let reason = format!("cannot be set beside {variable}_FILE: choose one of them");
                return self.keep(variable, Err(reason));
            }
        };
        if text.is_empty() {
            return None;
        }
        self.keep(variable, check(&text))?;
        Some(Secret::new(text))
    }

    /// Has a secret follow the file that it was read from, if it was. What it is replaced by has to pass `check`.
    pub(super) fn follow(
        &mut self,
        variable: &'static str,
        secret: Option<&Secret>,
        file: &str,
        check: fn(&str) -> Result<(), String>,
    ) {
        if let Some(secret) = secret.filter(|_| !file.is_empty()) {
            let file = SecretFile::new(variable, file.into(), secret.clone(), check);
            self.files.push(file);
        }
    }

    pub(super) fn duration(&mut self, variable: &str, text: &str) -> Option<Duration> {
        let result = humantime::parse_duration(text)
            .map_err(|error| format!("must be a time such as 30s or 2h: {error}"))
            .and_then(|duration| {
                if duration < Duration::from_millis(100) {
                    Err("must be 100ms or longer".to_owned())
                } else {
                    Ok(duration)
                }
            });
        self.keep(variable, result)
    }

    /// The value, if there was no mistake.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(ConfigErrors(self.mistakes)),
        }
    }
}

/// Checks every setting.
pub(super) fn check(settings: &Settings) -> Result<Config, ConfigErrors> {
    let mut checker = Checker::default();
    let config = assemble(settings, &mut checker);
    checker.finish(config)
}

fn assemble(settings: &Settings, checker: &mut Checker) -> Option<Config> {
    let pooler = checker.keep("MEDIA_DATABASE_POOLER", pooler(&settings.database_pooler));
    let database = database(settings, pooler.unwrap_or_default(), checker);
    let database_connections = checker.keep(
        "MEDIA_DATABASE_CONNECTIONS",
        number(&settings.database_connections, 2..=1000),
    );
    let redis = checker.secret(
        "REDIS_URL",
        &settings.redis_url,
        &settings.redis_url_file,
        check_redis_url,
    );
    let storage = storage::check(settings, checker);
    let download_redirect = storage::download_redirect(settings, checker);
    let authentication = settings.authentication.check(checker);
    let link_keys = settings.authentication.check_link_keys(checker);
    let encryption_key = checker.secret(
        "MEDIA_ENCRYPTION_KEY",
        &settings.encryption_key,
        &settings.encryption_key_file,
        authentication::check_secret,
    );
    let guarded = settings.authentication.is_wanted();
    let listen = checker.keep("MEDIA_LISTEN", listen(&settings.listen, guarded));
    let http = settings.http.check(guarded, checker);
    let worker_listen = checker.keep(
        "MEDIA_WORKER_LISTEN",
        optional(&settings.worker_listen, address),
    );
    let concurrency = checker.keep(
        "MEDIA_WORKER_CONCURRENCY",
        number(&settings.worker_concurrency, 1..=256),
    );
    let egress = egress::check(settings, checker);
    let fetch_connections = checker.keep(
        "MEDIA_FETCH_CONNECTIONS",
        number(&settings.fetch_connections, 1..=256),
    );
    let contact = checker.keep("MEDIA_CONTACT", optional(&settings.contact, contact));
    let max_bytes = checker.keep("MEDIA_MAX_BYTES", max_bytes(&settings.max_bytes));
    let public_url = checker.keep(
        "MEDIA_PUBLIC_URL",
        optional(&settings.public_url, public_url),
    );
    let projects = projects::check(settings, checker);
    let telemetry = settings.telemetry.check(checker);
    let connect = checker.duration("MEDIA_CONNECT_TIMEOUT", &settings.connect_timeout);
    let response = checker.duration("MEDIA_RESPONSE_TIMEOUT", &settings.response_timeout);
    let stall = checker.duration("MEDIA_STALL_TIMEOUT", &settings.stall_timeout);
    let total = checker.duration("MEDIA_IMPORT_TIMEOUT", &settings.import_timeout);
    let lease = checker
        .duration("MEDIA_LEASE", &settings.lease)
        .and_then(|lease| checker.keep("MEDIA_LEASE", lease_length(lease)));
    let shutdown_grace = checker.duration("MEDIA_SHUTDOWN_GRACE", &settings.shutdown_grace);
    let job_retention = checker.duration("MEDIA_JOB_RETENTION", &settings.job_retention);
    if let (Some(StorageUrl::S3(location)), Some(concurrency), Some(max_bytes)) =
        (&storage, concurrency, max_bytes)
    {
        let needed = s3::needed_buffer(concurrency, max_bytes);
        if location.buffer < needed {
            checker.mistakes.push(format!(
                "MEDIA_S3_BUFFER_BYTES must be {needed} or more for {concurrency} imports at once of up to {max_bytes}"
            ));
        }
    }
    Some(Config {
        database: database?,
        database_connections: database_connections?,
        redis,
        storage: storage?,
        download_redirect,
        listen: listen?,
        http: http?,
        authentication,
        link_keys,
        encryption_key,
        secret_files: std::mem::take(&mut checker.files),
        max_bytes: max_bytes?,
        public_url: public_url?,
        projects: projects?,
        worker: WorkerConfig {
            listen: worker_listen?,
            concurrency: concurrency?,
            egress: egress?,
            fetch_connections: fetch_connections?,
            contact: contact?,
            limits: FetchLimits {
                connect: connect?,
                response: response?,
                stall: stall?,
                total: total?,
            },
            lease: lease?,
            job_retention: job_retention?,
        },
        shutdown_grace: shutdown_grace?,
        telemetry: telemetry?,
    })
}

fn pooler(text: &str) -> Result<Pooler, String> {
    match text {
        "none" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        _ => Err("must be none or transaction".to_owned()),
    }
}

/// Reads where the tables are: from the setting, or from a file if the setting is at its default.
fn database(settings: &Settings, pooler: Pooler, checker: &mut Checker) -> Option<DatabaseUrl> {
    const VARIABLE: &str = "DATABASE_URL";
    let (text, file) = match settings.database_url_file.as_str() {
        "" => (settings.database_url.as_str(), ""),
        file if settings.database_url == super::DEFAULT_DATABASE_URL => ("", file),
        file => (settings.database_url.as_str(), file),
    };
    let url = checker.secret(VARIABLE, text, file, check_database_url)?;
    let text = url.expose();
    if let Some(path) = text.strip_prefix("sqlite://") {
        let path = checker.keep(VARIABLE, storage::path_of(path))?;
        return Some(DatabaseUrl::Sqlite { path });
    }
    checker.follow(VARIABLE, Some(&url), file, check_postgres_url);
    Some(DatabaseUrl::Postgres { url, pooler })
}

fn check_database_url(text: &str) -> Result<(), String> {
    if text.starts_with("sqlite://") {
        Ok(())
    } else {
        check_postgres_url(text)
    }
}

fn check_postgres_url(text: &str) -> Result<(), String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return url::Url::parse(text)
            .map(drop)
            .map_err(|error| format!("is not a URL: {error}"));
    }
    Err("must start with sqlite:// or postgres://".to_owned())
}

fn check_redis_url(text: &str) -> Result<(), String> {
    if !["redis://", "rediss://", "unix://", "redis+unix://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
    {
        return Err("must start with redis:// or rediss://".to_owned());
    }
    url::Url::parse(text)
        .map(drop)
        .map_err(|error| format!("is not a URL: {error}"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an address and a port such as 127.0.0.1:8080".to_owned())
}

/// Nothing where the text is empty.
pub(super) fn optional<T>(
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

fn listen(text: &str, guarded: bool) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if guarded || address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("must be a loopback address without authentication, as anyone who reaches the service may then do all that it can: set MEDIA_JWT_SECRET or MEDIA_JWKS_URL".to_owned())
    }
}

pub(super) fn number<T: FromStr + PartialOrd + fmt::Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    text.parse()
        .ok()
        .filter(|n| range.contains(n))
        .ok_or_else(|| {
            let (least, most) = range.into_inner();
            format!("must be a number from {least} to {most}")
        })
}

/// What paths can be put behind.
fn public_url(text: &str) -> Result<url::Url, String> {
    url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.query().is_none() && url.fragment().is_none())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| "must be an http or https URL such as https://media.example.org".to_owned())
}

/// What a header may carry: visible ASCII.
fn contact(text: &str) -> Result<String, String> {
    if text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be an e-mail address or a URL".to_owned())
    }
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

fn max_bytes(text: &str) -> Result<ByteSize, String> {
    text.parse::<ByteSize>()
        .ok()
        .filter(|size| (1..=i64::MAX.unsigned_abs()).contains(&size.as_u64()))
        .ok_or_else(|| "must be a number of bytes, such as 1048576 or 500MiB".to_owned())
}

fn lease_length(lease: Duration) -> Result<Duration, String> {
    // A claim may wait that long for a connection before it is written; a heartbeat likewise.
    if lease < ACQUIRE_TIMEOUT {
        Err(format!("must be {ACQUIRE_TIMEOUT:?} or longer"))
    } else {
        Ok(lease)
    }
}

/// Reads a comma-separated list; an empty text is an empty list.
pub(super) fn list<T: FromStr>(text: &str, what: &str) -> Result<Vec<T>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse()
                .map_err(|_| format!("has `{part}`, which is not {what}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
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
}
