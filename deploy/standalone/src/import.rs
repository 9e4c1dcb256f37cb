//! `media import`: imports URLs and prints the records, by the running service if there is one.

use std::{io::Write as _, net::Ipv4Addr, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use media_shared::{
    config::{Config, Settings},
    shutdown,
    telemetry::{self, Verbosity},
};
use serde_json::Value;
use tokio::time::{Instant, sleep};
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

/// How often a running import is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a service that is just starting may take to say where it is.
const ANNOUNCEMENT_LIMIT: Duration = Duration::from_secs(10);

/// Imports.
pub(crate) async fn run(
    settings: &Settings,
    arguments: ImportArguments,
) -> anyhow::Result<ExitCode> {
    if arguments.key.is_some() && arguments.urls.len() > 1 {
        bail!("--key names one media; give one URL with it, or leave it out");
    }
    telemetry::start(Verbosity::Command);
    let shutdown = shutdown::on_signal()?;
    let host = match &arguments.server {
        Some(url) => Host::Elsewhere(url.clone()),
        None => Host::find_or_start(&settings.check()?, &shutdown).await?,
    };
    let client = ApiClient::new(host.url()?)?;
    let imports = imports_of(arguments);
    let finished = tokio::select! {
        finished = import_all(&client, &imports) => Some(finished),
        () = shutdown.cancelled() => None,
    };
    let elsewhere = host.stop(&shutdown).await?;
    match finished {
        Some(true) => Ok(ExitCode::SUCCESS),
        Some(false) => Ok(ExitCode::FAILURE),
        None => {
            let who = if elsewhere {
                "the service goes on with them"
            } else {
                "the next start goes on with them"
            };
            eprintln!("stopped; imports that are not done are kept: {who}");
            Ok(ExitCode::from(130))
        }
    }
}

/// Each URL with the place it gets.
fn imports_of(arguments: ImportArguments) -> Vec<NewImport> {
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

/// Imports all side by side and prints the records in their order. Says whether all succeeded.
pub(crate) async fn import_all(client: &ApiClient, imports: &[NewImport]) -> bool {
    let display = Display::new();
    let mut running: FuturesOrdered<_> = imports
        .iter()
        .map(|import| import_one(client, import, display.add(&import.url)))
        .collect();
    let mut records = Vec::new();
    let mut all = true;
    while let Some(record) = running.next().await {
        all &= record.is_some();
        records.extend(record);
    }
    drop(display);
    for record in records {
        print(&record);
    }
    all
}

/// Imports one URL; nothing if it failed, which the line then says.
async fn import_one(client: &ApiClient, import: &NewImport, mut line: Line) -> Option<Value> {
    match follow(client, import, &mut line).await {
        Ok(record) => {
            let attributes = &record["attributes"];
            let of = |name: &str| attributes[name].as_str().unwrap_or_default();
            line.finish(&format!(
                "imported {} ({}, {} bytes)",
                of("filename"),
                of("mime_type"),
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
    let mut job = client.enter(import).await?;
    while !job.is_final() {
        sleep(LOOK_EVERY).await;
        job = client.job(&job.id).await?;
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
    // A reader that has gone away wants no more records.
    let _ = writeln!(std::io::stdout(), "{record:#}");
}

/// Who does the work.
enum Host {
    /// A service elsewhere.
    Elsewhere(Url),
    /// One in this process, for as long as the imports take.
    Here(Box<(DataLock, Service)>),
}

impl Host {
    /// Finds the service that holds the data directory, or starts one.
    async fn find_or_start(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        let give_up = Instant::now() + ANNOUNCEMENT_LIMIT;
        loop {
            match DataLock::try_acquire(config)? {
                Locking::Acquired(mut lock) => {
                    let listener = service::listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
                    // Not the signal's token: imports may end before the service is told to stop.
                    let service = Service::start(config, listener, shutdown.child_token()).await?;
                    lock.announce(&service.url())?;
                    return Ok(Self::Here(Box::new((lock, service))));
                }
                Locking::HeldBy(Some(url)) => return Ok(Self::Elsewhere(url)),
                Locking::HeldBy(None) if Instant::now() < give_up => sleep(LOOK_EVERY).await,
                Locking::HeldBy(None) => {
                    bail!("another service uses this data directory and does not say where it is")
                }
            }
        }
    }

    fn url(&self) -> anyhow::Result<Url> {
        match self {
            Self::Elsewhere(url) => Ok(url.clone()),
            Self::Here(here) => here.1.url().parse().context("the service's URL"),
        }
    }

    /// Stops the service in this process, if there is one. Says whether the work is elsewhere.
    async fn stop(self, shutdown: &CancellationToken) -> anyhow::Result<bool> {
        match self {
            Self::Elsewhere(_) => Ok(true),
            Self::Here(here) => {
                shutdown.cancel();
                here.1.join().await?;
                Ok(false)
            }
        }
    }
}
