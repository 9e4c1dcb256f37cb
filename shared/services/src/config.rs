//! Configuration: environment variables, also as flags, checked at the start with all mistakes reported at once.
//!
//! Each section has its settings as text, the checked values, and the check from one to the other.

use std::{net::SocketAddr, time::Duration};

use bytesize::ByteSize;
use clap::Args;
use media_database::DatabaseUrl;
use media_domain::secret::Secret;
use media_storage::{StorageUrl, s3};
use media_telemetry::TelemetryConfig;

mod authentication;
mod checker;
mod database;
mod egress;
mod http;
mod projects;
mod secret_file;
mod storage;
mod telemetry;
mod wakeups;
mod worker;

pub use authentication::{
    AuthenticationConfig, AuthenticationSettings, LinkKeys, TokenAlgorithm, TokenKeys,
};
pub use checker::ConfigErrors;
use checker::{Checker, check_key};
pub use database::DatabaseSettings;
pub use egress::{EgressConfig, EgressSettings, HostList, HostSuffix};
pub use http::{CorsOrigins, HttpConfig, HttpSettings};
pub use projects::{ProjectLimits, ProjectSettings};
pub use secret_file::SecretFile;
pub use storage::StorageSettings;
pub use telemetry::TelemetrySettings;
pub use wakeups::WakeupSettings;
pub use worker::{FetchLimits, WorkerConfig, WorkerSettings};

/// The settings as text, before [`Settings::check`]. They hold secrets and cannot be printed.
#[derive(Args, Clone)]
pub struct Settings {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseSettings,

    /// Wake-ups between processes.
    #[command(flatten)]
    pub wakeups: WakeupSettings,

    /// Storage.
    #[command(flatten)]
    pub storage: StorageSettings,

    /// The HTTP server.
    #[command(flatten)]
    pub http: HttpSettings,

    /// Authentication.
    #[command(flatten)]
    pub authentication: AuthenticationSettings,

    /// The limits of projects.
    #[command(flatten)]
    pub projects: ProjectSettings,

    /// The worker.
    #[command(flatten)]
    pub worker: WorkerSettings,

    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetrySettings,

    /// The key that encrypts passwords, query values and headers of failed and cancelled imports, which the signal
    /// retry needs: 32 bytes or more; without it, they are removed
    #[arg(
        long,
        global = true,
        env = "MEDIA_ENCRYPTION_KEY",
        hide_env_values = true,
        value_name = "SECRET",
        default_value = ""
    )]
    pub encryption_key: String,

    /// The file that holds the encryption key, instead of MEDIA_ENCRYPTION_KEY
    #[arg(
        long,
        global = true,
        env = "MEDIA_ENCRYPTION_KEY_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub encryption_key_file: String,

    /// The time that running requests and imports have after the signal to stop
    #[arg(
        long,
        global = true,
        env = "MEDIA_SHUTDOWN_GRACE",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub shutdown_grace: String,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database.
    pub database: DatabaseUrl,
    /// The most connections to PostgreSQL.
    pub database_connections: u32,
    /// The URL of the Redis that wakes workers in other processes, if any.
    pub redis: Option<Secret>,
    /// The storage.
    pub storage: StorageUrl,
    /// The time for which a redirect of a download to storage is valid; downloads are streamed if none.
    pub download_redirect: Option<Duration>,
    /// The address of the API: a loopback address without authentication.
    pub listen: SocketAddr,
    /// The HTTP server.
    pub http: HttpConfig,
    /// The rules for tokens; every caller is unrestricted if none.
    pub authentication: Option<AuthenticationConfig>,
    /// The keys of signed links; there are no signed links if none.
    pub link_keys: Option<LinkKeys>,
    /// The key that encrypts the secrets of ended jobs; they are removed if none.
    pub encryption_key: Option<Secret>,
    /// The largest media, in bytes.
    pub max_bytes: ByteSize,
    /// The URL at which clients reach the API, if it is known.
    pub public_url: Option<url::Url>,
    /// The limits of projects.
    pub projects: ProjectLimits,
    /// The worker.
    pub worker: WorkerConfig,
    /// The time that running requests and imports have after the signal to stop.
    pub shutdown_grace: Duration,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// The files that secrets were read from.
    pub secret_files: Vec<SecretFile>,
}

impl Settings {
    /// Checks every setting, and reports all mistakes at once.
    pub fn check(&self) -> Result<Config, ConfigErrors> {
        let mut checker = Checker::default();
        let config = self.check_sections(&mut checker);
        checker.finish(config)
    }

    fn check_sections(&self, checker: &mut Checker) -> Option<Config> {
        let database = self.database.check(checker);
        let redis = self.wakeups.check(checker);
        let storage = self.storage.check(checker);
        let download_redirect = self.storage.check_download_redirect(checker);
        let max_bytes = self.storage.check_max_bytes(checker);
        let is_guarded = self.authentication.is_wanted();
        let authentication = self.authentication.check(checker);
        let link_keys = self.authentication.check_link_keys(checker);
        let encryption_key = checker.secret(
            "MEDIA_ENCRYPTION_KEY",
            &self.encryption_key,
            &self.encryption_key_file,
            check_key,
        );
        let listen = self.http.check_listen(is_guarded, checker);
        let public_url = checker.record("MEDIA_PUBLIC_URL", self.http.parse_public_url());
        let http = self.http.check(is_guarded, checker);
        let projects = self.projects.check(checker);
        let worker = self.worker.check(checker);
        let telemetry = self.telemetry.check(checker);
        let shutdown_grace = checker.duration("MEDIA_SHUTDOWN_GRACE", &self.shutdown_grace);
        if let (Some(storage), Ok(concurrency), Some(max_bytes)) =
            (&storage, self.worker.parse_concurrency(), max_bytes)
        {
            let buffer = check_s3_buffer(storage, concurrency, max_bytes);
            checker.record("MEDIA_S3_BUFFER_BYTES", buffer);
        }
        let database = database?;
        Some(Config {
            database: database.url,
            database_connections: database.connections,
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
            worker: worker?,
            shutdown_grace: shutdown_grace?,
            telemetry: telemetry?,
        })
    }
}

/// Makes sure that concurrent imports never wait for each other's buffers.
fn check_s3_buffer(
    storage: &StorageUrl,
    concurrency: usize,
    max_bytes: ByteSize,
) -> Result<(), String> {
    let StorageUrl::S3(location) = storage else {
        return Ok(());
    };
    let needed = s3::needed_buffer(concurrency, max_bytes);
    if location.buffer < needed {
        return Err(format!(
            "must be {needed} or more for {concurrency} imports at once of up to {max_bytes}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
