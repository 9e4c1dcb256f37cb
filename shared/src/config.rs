//! Configuration: environment variables, also as flags, checked at the start with all mistakes
//! reported at once.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::Args;

mod authentication;
mod check;
mod egress;
mod http;
mod projects;
mod secret;
mod secret_file;
mod storage;
mod telemetry;

pub use authentication::{
    AuthenticationConfig, AuthenticationSettings, LinkKeys, TokenAlgorithm, TokenKeys,
};
pub use check::ConfigErrors;
pub use egress::{EgressConfig, HostList, HostSuffix};
pub use http::{CorsOrigins, HttpConfig, HttpSettings};
pub use projects::ProjectLimits;
pub use secret::Secret;
pub use secret_file::SecretFile;
pub use storage::{S3Location, StorageUrl};
pub use telemetry::{LogFormat, TelemetryConfig, TelemetrySettings};

/// The tables of a service that is told of no others.
const DEFAULT_DATABASE_URL: &str = "sqlite://data/media.db";

/// The settings as text, before they are checked by [`Settings::check`]. With secrets among them,
/// they cannot be printed.
#[derive(Args, Clone)]
pub struct Settings {
    /// Where the tables are: sqlite://path or postgres://user:password@host/name
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = DEFAULT_DATABASE_URL
    )]
    pub database_url: String,

    /// The file that holds the URL of the tables, instead of DATABASE_URL
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub database_url_file: String,

    /// The pooler between the programs and PostgreSQL: none, or transaction for one that gives each transaction
    /// another connection (PgBouncer in transaction mode)
    #[arg(
        long,
        global = true,
        env = "MEDIA_DATABASE_POOLER",
        value_name = "MODE",
        default_value = "none"
    )]
    pub database_pooler: String,

    /// Where workers are told of new jobs: redis://host:port; without it, within one process
    #[arg(
        long,
        global = true,
        env = "REDIS_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = ""
    )]
    pub redis_url: String,

    /// The file that holds the URL of Redis, instead of REDIS_URL
    #[arg(
        long,
        global = true,
        env = "REDIS_URL_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub redis_url_file: String,

    /// The most connections to PostgreSQL that one program opens
    #[arg(
        long,
        global = true,
        env = "MEDIA_DATABASE_CONNECTIONS",
        value_name = "N",
        default_value = "16"
    )]
    pub database_connections: String,

    /// Where the bytes are kept: file:directory, or s3://bucket/prefix with region, keys and endpoint
    /// as the AWS SDK reads them (AWS_REGION, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3, …)
    #[arg(
        long,
        global = true,
        env = "MEDIA_STORAGE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "file:data/blobs"
    )]
    pub storage_url: String,

    /// Whether the bucket's name goes into the path of S3 requests rather than into the host:
    /// true, false, or auto (true with an endpoint other than Amazon's)
    #[arg(
        long,
        global = true,
        env = "MEDIA_S3_PATH_STYLE",
        value_name = "BOOL",
        default_value = "auto"
    )]
    pub s3_path_style: String,

    /// The memory that one program gives to bytes on their way to S3, beside 256 KiB for each import
    /// and upload: 8 MiB for each import at once, or more
    #[arg(
        long,
        global = true,
        env = "MEDIA_S3_BUFFER_BYTES",
        value_name = "BYTES",
        default_value = "128MiB"
    )]
    pub s3_buffer_bytes: String,

    /// Answer downloads with a redirect to S3 that is good for this long; off streams them
    #[arg(
        long,
        global = true,
        env = "MEDIA_DOWNLOAD_REDIRECT",
        value_name = "TIME",
        default_value = "off"
    )]
    pub download_redirect: String,

    /// Where the API listens; only loopback addresses unless there is authentication
    #[arg(
        long = "listen",
        global = true,
        env = "MEDIA_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: String,

    /// How the API serves.
    #[command(flatten)]
    pub http: HttpSettings,

    /// Who is believed.
    #[command(flatten)]
    pub authentication: AuthenticationSettings,

    /// What the programs say about themselves.
    #[command(flatten)]
    pub telemetry: TelemetrySettings,

    /// Where `media-worker` answers /livez, /readyz and /metrics; nowhere by default
    #[arg(
        long,
        global = true,
        env = "MEDIA_WORKER_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = ""
    )]
    pub worker_listen: String,

    /// How many imports run at once in one worker
    #[arg(
        long,
        global = true,
        env = "MEDIA_WORKER_CONCURRENCY",
        value_name = "N",
        default_value = "16"
    )]
    pub worker_concurrency: String,

    /// Networks that may be reached beside the public internet, on any port: CIDRs, comma-separated.
    /// Metadata services of clouds in them stay closed unless listed by their addresses
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_ALLOW",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub egress_allow: String,

    /// Ports that may be reached on the public internet, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_PORTS",
        value_name = "PORT,…",
        default_value = "80,443,8080,8443"
    )]
    pub egress_ports: String,

    /// Networks that are never reached, whatever else is allowed: CIDRs, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_DENY",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub egress_deny: String,

    /// NAT64 prefixes of this network beside 64:ff9b::/96: CIDRs, comma-separated. Addresses behind them
    /// are judged by the IPv4 address that they become
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_NAT64",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub egress_nat64: String,

    /// Hosts that may be imported from, each with all below it, comma-separated: * for any; an empty
    /// list is none. Addresses in URLs have to be listed as well
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_ALLOW_HOSTS",
        value_name = "HOST,…",
        default_value = "*"
    )]
    pub egress_allow_hosts: String,

    /// Hosts that may not be imported from, each with all below it, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_DENY_HOSTS",
        value_name = "HOST,…",
        default_value = ""
    )]
    pub egress_deny_hosts: String,

    /// Whether redirects from https to http are followed: true or false
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_DOWNGRADE",
        value_name = "BOOL",
        default_value = "false"
    )]
    pub egress_downgrade: String,

    /// How many connections one worker has to one origin host at once; one import may have half of
    /// them, where that helps
    #[arg(
        long,
        global = true,
        env = "MEDIA_FETCH_CONNECTIONS",
        value_name = "N",
        default_value = "16"
    )]
    pub fetch_connections: String,

    /// Where origins can write to about this service, an e-mail address or a URL: sent to them in
    /// User-Agent
    #[arg(
        long,
        global = true,
        env = "MEDIA_CONTACT",
        value_name = "CONTACT",
        default_value = ""
    )]
    pub contact: String,

    /// Encrypts the passwords, query values and headers of imports that have failed or were cancelled, so that
    /// the signal retry can use them: 32 bytes or more; without it, they are removed
    #[arg(
        long,
        global = true,
        env = "MEDIA_ENCRYPTION_KEY",
        hide_env_values = true,
        value_name = "SECRET",
        default_value = ""
    )]
    pub encryption_key: String,

    /// The file that holds the key that encrypts secrets of jobs, instead of MEDIA_ENCRYPTION_KEY
    #[arg(
        long,
        global = true,
        env = "MEDIA_ENCRYPTION_KEY_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub encryption_key_file: String,

    /// The largest media to import or upload, such as 500MiB
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_BYTES",
        value_name = "BYTES",
        default_value = "10GiB"
    )]
    pub max_bytes: String,

    /// The URL that clients reach the API at, which signed links begin with; without it, they are paths
    #[arg(
        long,
        global = true,
        env = "MEDIA_PUBLIC_URL",
        value_name = "URL",
        default_value = ""
    )]
    pub public_url: String,

    /// The most bytes that one project may store, such as 500GiB, or off
    #[arg(
        long,
        global = true,
        env = "MEDIA_PROJECT_MAX_BYTES",
        value_name = "BYTES",
        default_value = "off"
    )]
    pub project_max_bytes: String,

    /// The most unfinished jobs that one project may have, or off
    #[arg(
        long,
        global = true,
        env = "MEDIA_PROJECT_MAX_JOBS",
        value_name = "N",
        default_value = "100000"
    )]
    pub project_max_jobs: String,

    /// The highest priority, -100 to 100, that callers of the role `user` may give to a job
    #[arg(
        long,
        global = true,
        env = "MEDIA_USER_MAX_PRIORITY",
        value_name = "N",
        default_value = "100",
        allow_hyphen_values = true
    )]
    pub user_max_priority: String,

    /// How long an import waits for a connection
    #[arg(
        long,
        global = true,
        env = "MEDIA_CONNECT_TIMEOUT",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub connect_timeout: String,

    /// How long an import waits for the first byte of the answer
    #[arg(
        long,
        global = true,
        env = "MEDIA_RESPONSE_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    pub response_timeout: String,

    /// How long an import or upload may go without a single byte
    #[arg(
        long,
        global = true,
        env = "MEDIA_STALL_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    pub stall_timeout: String,

    /// How long one attempt at an import may take in all
    #[arg(
        long,
        global = true,
        env = "MEDIA_IMPORT_TIMEOUT",
        value_name = "TIME",
        default_value = "6h"
    )]
    pub import_timeout: String,

    /// How long a worker holds a job without a sign of life before another takes it over
    #[arg(
        long,
        global = true,
        env = "MEDIA_LEASE",
        value_name = "TIME",
        default_value = "15s"
    )]
    pub lease: String,

    /// How long running requests and imports may go on after the signal to stop
    #[arg(
        long,
        global = true,
        env = "MEDIA_SHUTDOWN_GRACE",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub shutdown_grace: String,

    /// How long finished jobs are kept
    #[arg(
        long,
        global = true,
        env = "MEDIA_JOB_RETENTION",
        value_name = "TIME",
        default_value = "30days"
    )]
    pub job_retention: String,
}

impl Settings {
    /// Checks every setting, and reports all that is wrong at once.
    pub fn check(&self) -> Result<Config, ConfigErrors> {
        check::check(self)
    }
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the tables are.
    pub database: DatabaseUrl,
    /// The most connections to PostgreSQL.
    pub database_connections: u32,
    /// Where workers are told of new jobs, beside this process.
    pub redis: Option<Secret>,
    /// Where the bytes are.
    pub storage: StorageUrl,
    /// How long a redirect of a download to storage is good for; none streams instead.
    pub download_redirect: Option<Duration>,
    /// Where the API listens: a loopback address if there is no authentication.
    pub listen: SocketAddr,
    /// How the API serves.
    pub http: HttpConfig,
    /// How tokens are checked; whoever reaches the service is trusted if none.
    pub authentication: Option<AuthenticationConfig>,
    /// What links are signed with; there are no signed links if none.
    pub link_keys: Option<LinkKeys>,
    /// Encrypts the secrets of jobs that may be tried again; they are removed if none.
    pub encryption_key: Option<Secret>,
    /// The largest media, in bytes.
    pub max_bytes: ByteSize,
    /// The URL that clients reach the API at, if that is known.
    pub public_url: Option<url::Url>,
    /// What one project may take up.
    pub projects: ProjectLimits,
    /// How imports run.
    pub worker: WorkerConfig,
    /// How long running requests and imports may go on after the signal to stop.
    pub shutdown_grace: Duration,
    /// What the programs say about themselves.
    pub telemetry: TelemetryConfig,
    /// The files that secrets were read from.
    pub secret_files: Vec<SecretFile>,
}

/// How imports run.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Where the worker answers about its health; nowhere if none.
    pub listen: Option<SocketAddr>,
    /// Imports at once.
    pub concurrency: usize,
    /// Where imports may connect to.
    pub egress: EgressConfig,
    /// Connections to one origin host at once.
    pub fetch_connections: usize,
    /// Where origins can write to about this service.
    pub contact: Option<String>,
    /// How long each step may take.
    pub limits: FetchLimits,
    /// How long a job is held without a sign of life.
    pub lease: Duration,
    /// How long finished jobs are kept.
    pub job_retention: Duration,
}

/// How long each step of an import may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// To a connection, name resolution included.
    pub connect: Duration,
    /// From the request to the head of the answer.
    pub response: Duration,
    /// Between two pieces of the body.
    pub stall: Duration,
    /// The whole attempt.
    pub total: Duration,
}

/// Where the tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file, created if it is not there.
    Sqlite {
        /// Its path.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// With user and password.
        url: Secret,
        /// The way to it.
        pooler: Pooler,
    },
}

/// The pooler between the programs and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// None, or one that gives each client a connection of its own for as long as it stays.
    #[default]
    None,
    /// One that gives each transaction another connection: nothing of a session outlives a transaction.
    Transaction,
}
