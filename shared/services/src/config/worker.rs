//! The worker.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use media_database::ACQUIRE_TIMEOUT;

use super::{
    EgressConfig, EgressSettings,
    checker::{Checker, address, number, optional},
};

/// The settings as text.
#[derive(Args, Clone)]
pub struct WorkerSettings {
    /// The address at which `media-worker` serves /livez, /readyz and /metrics; none by default
    #[arg(
        long,
        global = true,
        env = "MEDIA_WORKER_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = ""
    )]
    pub worker_listen: String,

    /// The number of concurrent imports in one worker
    #[arg(
        long,
        global = true,
        env = "MEDIA_WORKER_CONCURRENCY",
        value_name = "N",
        default_value = "16"
    )]
    pub worker_concurrency: String,

    /// The egress rules.
    #[command(flatten)]
    pub egress: EgressSettings,

    /// The number of connections to one origin host, of all workers together; one import may use half of them
    #[arg(
        long,
        global = true,
        env = "MEDIA_FETCH_CONNECTIONS",
        value_name = "N",
        default_value = "16"
    )]
    pub fetch_connections: String,

    /// The e-mail address or URL at which origins can contact the operator, sent in User-Agent
    #[arg(
        long,
        global = true,
        env = "MEDIA_CONTACT",
        value_name = "CONTACT",
        default_value = ""
    )]
    pub contact: String,

    /// The longest time in which an import connects
    #[arg(
        long,
        global = true,
        env = "MEDIA_CONNECT_TIMEOUT",
        value_name = "TIME",
        default_value = "10s"
    )]
    pub connect_timeout: String,

    /// The longest time until the first byte of the response
    #[arg(
        long,
        global = true,
        env = "MEDIA_RESPONSE_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    pub response_timeout: String,

    /// The longest time that an import or upload may pass without a single byte
    #[arg(
        long,
        global = true,
        env = "MEDIA_STALL_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    pub stall_timeout: String,

    /// The longest time of one attempt at an import
    #[arg(
        long,
        global = true,
        env = "MEDIA_IMPORT_TIMEOUT",
        value_name = "TIME",
        default_value = "6h"
    )]
    pub import_timeout: String,

    /// The time after which a job whose worker sends no heartbeat is given to another
    #[arg(
        long,
        global = true,
        env = "MEDIA_LEASE",
        value_name = "TIME",
        default_value = "15s"
    )]
    pub lease: String,

    /// The time after which finished jobs are deleted
    #[arg(
        long,
        global = true,
        env = "MEDIA_JOB_RETENTION",
        value_name = "TIME",
        default_value = "30days"
    )]
    pub job_retention: String,
}

/// The worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The address of its health checks and metrics, if any.
    pub listen: Option<SocketAddr>,
    /// The number of concurrent imports.
    pub concurrency: usize,
    /// The egress rules.
    pub egress: EgressConfig,
    /// The number of connections to one origin host.
    pub fetch_connections: usize,
    /// The contact for origins.
    pub contact: Option<String>,
    /// The time limits of an import.
    pub limits: FetchLimits,
    /// The time for which a job is held without a heartbeat.
    pub lease: Duration,
    /// The time after which finished jobs are deleted.
    pub job_retention: Duration,
}

/// The time limits of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Until the connection, including name resolution.
    pub connect: Duration,
    /// From the request to the head of the response.
    pub response: Duration,
    /// Between two pieces of the body.
    pub stall: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl WorkerSettings {
    pub(super) fn check(&self, checker: &mut Checker) -> Option<WorkerConfig> {
        let listen = checker.record(
            "MEDIA_WORKER_LISTEN",
            optional(&self.worker_listen, address),
        );
        let concurrency = checker.record("MEDIA_WORKER_CONCURRENCY", self.parse_concurrency());
        let egress = self.egress.check(checker);
        let fetch_connections = checker.record(
            "MEDIA_FETCH_CONNECTIONS",
            number(&self.fetch_connections, 1..=256),
        );
        let contact = checker.record("MEDIA_CONTACT", optional(&self.contact, contact));
        let limits = self.check_limits(checker);
        let lease = checker
            .duration("MEDIA_LEASE", &self.lease)
            .and_then(|lease| checker.record("MEDIA_LEASE", lease_length(lease)));
        let job_retention = checker.duration("MEDIA_JOB_RETENTION", &self.job_retention);
        Some(WorkerConfig {
            listen: listen?,
            concurrency: concurrency?,
            egress: egress?,
            fetch_connections: fetch_connections?,
            contact: contact?,
            limits: limits?,
            lease: lease?,
            job_retention: job_retention?,
        })
    }

    pub(super) fn parse_concurrency(&self) -> Result<usize, String> {
        number(&self.worker_concurrency, 1..=256)
    }

    fn check_limits(&self, checker: &mut Checker) -> Option<FetchLimits> {
        let connect = checker.duration("MEDIA_CONNECT_TIMEOUT", &self.connect_timeout);
        let response = checker.duration("MEDIA_RESPONSE_TIMEOUT", &self.response_timeout);
        let stall = checker.duration("MEDIA_STALL_TIMEOUT", &self.stall_timeout);
        let total = checker.duration("MEDIA_IMPORT_TIMEOUT", &self.import_timeout);
        Some(FetchLimits {
            connect: connect?,
            response: response?,
            stall: stall?,
            total: total?,
        })
    }
}

/// Checks the value of a header: visible ASCII.
fn contact(text: &str) -> Result<String, String> {
    if text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be an e-mail address or a URL".to_owned())
    }
}

fn lease_length(lease: Duration) -> Result<Duration, String> {
    // A claim may wait that long for a connection before it is written; a heartbeat likewise.
    if lease < ACQUIRE_TIMEOUT {
        Err(format!("must be {ACQUIRE_TIMEOUT:?} or longer"))
    } else {
        Ok(lease)
    }
}
