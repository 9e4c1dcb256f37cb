//! The service that a command talks to: one at a URL, the one that runs on the data of this directory, or one in this
//! process.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context as _;
use media_database::DatabaseUrl;
use media_services::config::{Config, Settings};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    client::ApiClient,
    command_error::failed,
    data_lock::{DataLock, Locking},
    server_arguments::ServerArguments,
    service::{self, Role, Service},
};

/// The interval between two attempts to lock data that another process holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// The service that a command talks to.
pub(crate) struct Target {
    /// The client of the service.
    pub(crate) client: ApiClient,
    own: Option<OwnService>,
    /// Whether `--server` named the service.
    is_named: bool,
}

/// A service in this process, which stops with the command.
struct OwnService {
    service: Service,
    _lock: DataLock,
    shutdown: CancellationToken,
}

impl Target {
    /// Finds the service, or else starts one in this process that runs jobs.
    pub(crate) async fn for_imports(
        settings: &Settings,
        server: &ServerArguments,
    ) -> anyhow::Result<Self> {
        Box::pin(Self::find(settings, server, Role::ApiAndWorker, true)).await
    }

    /// Finds the service, or else starts one in this process that receives uploads and runs no jobs.
    pub(crate) async fn for_uploads(
        settings: &Settings,
        server: &ServerArguments,
    ) -> anyhow::Result<Self> {
        Box::pin(Self::find(settings, server, Role::Api, true)).await
    }

    /// Finds the service, or else starts one in this process that answers requests and runs no jobs. Fails if there
    /// is no data yet.
    pub(crate) async fn for_requests(
        settings: &Settings,
        server: &ServerArguments,
    ) -> anyhow::Result<Self> {
        Box::pin(Self::find(settings, server, Role::Api, false)).await
    }

    async fn find(
        settings: &Settings,
        server: &ServerArguments,
        role: Role,
        may_create_data: bool,
    ) -> anyhow::Result<Self> {
        if let Some(url) = &server.server {
            return Self::running(url.clone(), server, true);
        }
        let config = settings.check()?;
        if !may_create_data {
            check_for_data(&config)?;
        }
        let mut is_waiting = false;
        loop {
            match DataLock::try_acquire(&config)? {
                Locking::Acquired(lock) => return Self::start(&config, lock, server, role).await,
                Locking::HeldBy(Some(url))
                    if ApiClient::new(url.clone(), None)?.is_alive().await =>
                {
                    return Self::running(url, server, false);
                }
                // The holder is starting or stopping, or it is another command.
                Locking::HeldBy(_) => {
                    if !std::mem::replace(&mut is_waiting, true) {
                        eprintln!("waiting for another program that uses the same data");
                    }
                    sleep(LOCK_INTERVAL).await;
                }
            }
        }
    }

    fn running(url: Url, server: &ServerArguments, is_named: bool) -> anyhow::Result<Self> {
        Ok(Self {
            client: ApiClient::new(url, server.token.clone())?,
            own: None,
            is_named,
        })
    }

    /// Starts a service in this process. Its URL is not announced, as it stops with the command.
    async fn start(
        config: &Config,
        lock: DataLock,
        server: &ServerArguments,
        role: Role,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        // All that it does is for this command, whose end need not wait for anything else.
        config.http.rate_limit = None;
        config.shutdown_grace = Duration::ZERO;
        let listener = service::listen((Ipv4Addr::LOCALHOST, 0).into())?;
        let shutdown = CancellationToken::new();
        let service = Service::start(&config, &lock, listener, role, shutdown.clone()).await?;
        let url = service.url().parse().context("the service's URL")?;
        Ok(Self {
            client: ApiClient::new(url, server.token.clone())?.in_this_process(),
            own: Some(OwnService {
                service,
                _lock: lock,
                shutdown,
            }),
            is_named: false,
        })
    }

    /// Whether the service is in this process.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The flag that names the service in further commands, after a space; empty if it is found without.
    pub(crate) fn server_flag(&self) -> String {
        if self.is_named {
            format!(
                " --server {}",
                self.client.url().as_str().trim_end_matches('/')
            )
        } else {
            String::new()
        }
    }

    /// Stops the service if it is in this process, and returns the result of the command.
    pub(crate) async fn finish<T>(self, done: anyhow::Result<T>) -> anyhow::Result<T> {
        let stopped = self.stop().await;
        let value = done?;
        stopped.map(|()| value)
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self.own {
            None => Ok(()),
            Some(own) => {
                own.shutdown.cancel();
                own.service.join().await
            }
        }
    }
}

/// Fails if a command that only reads would create the data.
fn check_for_data(config: &Config) -> anyhow::Result<()> {
    match &config.database {
        DatabaseUrl::Sqlite { path } if !path.exists() => Err(failed(format!(
            "no service runs here, and there is no data at {}; start the service with media, or name one with --server",
            path.display()
        ))),
        _ => Ok(()),
    }
}
