//! `media import`: imports URLs and prints the records, by the running service if there is one.

use std::{io::Write as _, net::Ipv4Addr, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use media_services::{
    config::{Config, Settings},
    shutdown,
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

/// How often a running import is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The most imports that are followed at once.
const AT_ONCE: usize = 32;
/// What a shell takes for "ended by Ctrl-C".
const INTERRUPTED: u8 = 130;

/// Imports.
pub(crate) async fn run(
    settings: &Settings,
    arguments: ImportArguments,
) -> anyhow::Result<ExitCode> {
    if arguments.key.is_some() && arguments.urls.len() > 1 {
        bail!("--key names one media; give one URL with it, or leave it out");
    }
    media_telemetry::start_command();
    let shutdown = shutdown::on_signal()?;
    let found = tokio::select! {
        found = Host::of(settings, arguments.server.as_ref(), &shutdown) => Some(found?),
        () = shutdown.cancelled() => None,
    };
    let Some(host) = found else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let client = ApiClient::new(host.url()?)?.with_token(arguments.token.clone());
    let imports = imports_of(arguments);
    let all = tokio::select! {
        all = import_all(&client, &imports) => Some(all),
        () = shutdown.cancelled() => None,
    };
    if all.is_none() {
        eprintln!(
            "stopping; imports that are not done are kept, and {}",
            host.who_goes_on()
        );
    }
    host.stop(&shutdown).await?;
    Ok(match all {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(INTERRUPTED),
    })
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

/// Imports all side by side and prints the records in their order, each as soon as it is its turn.
/// Says whether all succeeded.
pub(crate) async fn import_all(client: &ApiClient, imports: &[NewImport]) -> bool {
    let display = Display::new();
    let mut running = stream::iter(imports)
        .map(|import| import_one(client, import, &display))
        .buffered(AT_ONCE);
    let mut all = true;
    while let Some(record) = running.next().await {
        match record {
            Some(record) => display.pause(|| print(&record)),
            None => all = false,
        }
    }
    all
}

/// Imports one URL; nothing if it failed, which the display then says.
async fn import_one(client: &ApiClient, import: &NewImport, display: &Display) -> Option<Value> {
    let mut line = display.add(&import.url);
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
        job = client.job_patiently(&job.id).await?;
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
    /// The service named by the user, the one that holds the database, or one of our own.
    async fn of(
        settings: &Settings,
        server: Option<&Url>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        match server {
            Some(url) => Ok(Self::Elsewhere(url.clone())),
            None => Self::find_or_start(&settings.check()?, shutdown).await,
        }
    }

    async fn find_or_start(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        let mut told = false;
        loop {
            match DataLock::try_acquire(config)? {
                Locking::Acquired(lock) => {
                    let listener = service::listen((Ipv4Addr::LOCALHOST, 0).into())?;
                    // Not the signal's token: imports may end before the service is told to stop.
                    // And not announced: it is gone when these imports are done.
                    let service =
                        Service::start(config, &lock, listener, shutdown.child_token()).await?;
                    return Ok(Self::Here(Box::new((lock, service))));
                }
                Locking::HeldBy(Some(url)) if ApiClient::new(url.clone())?.is_alive().await => {
                    return Ok(Self::Elsewhere(url));
                }
                // Just starting, just stopping, or another import.
                Locking::HeldBy(_) => {
                    if !std::mem::replace(&mut told, true) {
                        eprintln!("waiting for another program that uses the same data");
                    }
                    sleep(LOOK_EVERY).await;
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

    fn who_goes_on(&self) -> &'static str {
        match self {
            Self::Elsewhere(_) => "the service goes on with them",
            Self::Here(_) => "the next start goes on with them",
        }
    }

    /// Stops the service in this process, if there is one.
    async fn stop(self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        match self {
            Self::Elsewhere(_) => Ok(()),
            Self::Here(here) => {
                shutdown.cancel();
                here.1.join().await
            }
        }
    }
}
