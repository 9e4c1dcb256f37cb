//! `media import`: imports URLs and prints the records of the media, through the running service if there is one.

use std::{io::Write as _, net::Ipv4Addr, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use media_shared::{
    config::{Config, Settings},
    shutdown, telemetry,
};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::{
    api_client::{ApiClient, NewImport},
    cli::ImportArguments,
    data_lock::{DataLock, Locking},
    progress::{Display, Line},
    service::{self, Service},
};

/// The interval between two lookups of a running job, or of a lock that another process holds.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The most imports that run at the same time.
const MAX_CONCURRENT_IMPORTS: usize = 32;
/// The exit code of a program that Ctrl-C has ended: 128 and the number of SIGINT.
const INTERRUPTED_EXIT_CODE: u8 = 130;

/// Runs the command.
pub(crate) async fn run(
    settings: &Settings,
    arguments: ImportArguments,
) -> anyhow::Result<ExitCode> {
    if arguments.key.is_some() && arguments.urls.len() > 1 {
        bail!("--key names one media; give one URL with it, or leave it out");
    }
    telemetry::start_command();
    let shutdown = shutdown::on_signal()?;
    let target = tokio::select! {
        target = TargetService::find_or_start(settings, arguments.server.as_ref(), &shutdown) => target?,
        () = shutdown.cancelled() => return Ok(ExitCode::from(INTERRUPTED_EXIT_CODE)),
    };
    let client = ApiClient::new(target.url()?)?.with_token(arguments.token.clone());
    let imports = new_imports(arguments);
    let all_succeeded = tokio::select! {
        all_succeeded = import_all(&client, &imports) => Some(all_succeeded),
        () = shutdown.cancelled() => None,
    };
    if all_succeeded.is_none() {
        eprintln!(
            "stopping; {} the unfinished imports",
            target.who_continues()
        );
    }
    target.stop(&shutdown).await?;
    Ok(match all_succeeded {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(INTERRUPTED_EXIT_CODE),
    })
}

/// Assigns a resource and a key to each URL.
fn new_imports(arguments: ImportArguments) -> Vec<NewImport> {
    let ImportArguments {
        urls,
        resource,
        key,
        public,
        retries,
        ..
    } = arguments;
    urls.into_iter()
        .map(|url| NewImport {
            url,
            resource: resource.clone(),
            key: key.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
            public,
            retries,
        })
        .collect()
}

/// Runs imports concurrently and prints the records in the order of the imports. Returns whether all succeeded.
pub(crate) async fn import_all(client: &ApiClient, imports: &[NewImport]) -> bool {
    let display = Display::new();
    let mut running = stream::iter(imports)
        .map(|import| import_one(client, import, &display))
        .buffered(MAX_CONCURRENT_IMPORTS);
    let mut all_succeeded = true;
    while let Some(record) = running.next().await {
        match record {
            Some(record) => display.pause(|| print(&record)),
            None => all_succeeded = false,
        }
    }
    all_succeeded
}

/// Imports one URL and returns the media's record. None if the import failed; the display shows the error.
async fn import_one(client: &ApiClient, import: &NewImport, display: &Display) -> Option<Value> {
    let mut line = display.add(&import.url);
    match follow(client, import, &mut line).await {
        Ok(record) => {
            let attributes = &record["attributes"];
            let text = |name: &str| attributes[name].as_str().unwrap_or_default();
            line.finish(&format!(
                "imported {} ({}, {} bytes)",
                text("filename"),
                text("mime_type"),
                attributes["size"]
            ));
            Some(record)
        }
        Err(error) => {
            line.finish(&format!("failed: {error:#}"));
            None
        }
    }
}

async fn follow(client: &ApiClient, import: &NewImport, line: &mut Line) -> anyhow::Result<Value> {
    let mut job = client.create_job(import).await?;
    while !job.is_final() {
        sleep(POLL_INTERVAL).await;
        job = client.job_with_retries(&job.id).await?;
        line.update(&job);
    }
    if !job.has_succeeded() {
        let attributes = job.attributes;
        bail!(
            "{} ({})",
            attributes.error_detail.unwrap_or(attributes.status),
            attributes.error.as_deref().unwrap_or("no code")
        );
    }
    client.media(&import.resource, &import.key).await
}

fn print(record: &Value) {
    // Writing fails if the reader has closed the pipe, and then nothing reads the record.
    let _ = writeln!(std::io::stdout(), "{record:#}");
}

/// The service that runs the imports.
enum TargetService {
    /// A service in another process.
    Running(Url),
    /// A service in this process, which stops when the imports have ended.
    Own(Box<OwnService>),
}

struct OwnService {
    service: Service,
    _lock: DataLock,
}

impl TargetService {
    /// Returns the service at `server`, or else the one that holds the lock on the data, or else starts one.
    async fn find_or_start(
        settings: &Settings,
        server: Option<&Url>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        if let Some(url) = server {
            return Ok(Self::Running(url.clone()));
        }
        let config = settings.check()?;
        let mut is_waiting = false;
        loop {
            match DataLock::try_acquire(&config)? {
                Locking::Acquired(lock) => return Self::start(&config, lock, shutdown).await,
                Locking::HeldBy(Some(url)) if ApiClient::new(url.clone())?.is_alive().await => {
                    return Ok(Self::Running(url));
                }
                // The holder is starting or stopping, or it is another import.
                Locking::HeldBy(_) => {
                    if !std::mem::replace(&mut is_waiting, true) {
                        eprintln!("waiting for another program that uses the same data");
                    }
                    sleep(POLL_INTERVAL).await;
                }
            }
        }
    }

    /// Starts a service in this process. Its URL is not announced, as it stops with the imports.
    async fn start(
        config: &Config,
        lock: DataLock,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let listener = service::listen((Ipv4Addr::LOCALHOST, 0).into())?;
        // If the service ends early, it cancels its own token alone.
        let service = Service::start(config, &lock, listener, shutdown.child_token()).await?;
        Ok(Self::Own(Box::new(OwnService {
            service,
            _lock: lock,
        })))
    }

    fn url(&self) -> anyhow::Result<Url> {
        match self {
            Self::Running(url) => Ok(url.clone()),
            Self::Own(own) => own.service.url().parse().context("the service's URL"),
        }
    }

    fn who_continues(&self) -> &'static str {
        match self {
            Self::Running(_) => "the service continues",
            Self::Own(_) => "the next start of the service continues",
        }
    }

    /// Stops the service in this process, if there is one.
    async fn stop(self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Own(own) => {
                shutdown.cancel();
                own.service.join().await
            }
        }
    }
}
