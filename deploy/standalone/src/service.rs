//! The API and the worker in one process, on embedded dependencies.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use media_services::{OpenError, Services, config::Config, wakeups::local};
use media_worker::egress::SystemResolver;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{data_lock::DataLock, encryption_key};

/// The parts of the service that a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The API alone: jobs wait for a worker.
    Api,
    /// The API and the worker.
    ApiAndWorker,
}

/// The running service.
pub(crate) struct Service {
    address: SocketAddr,
    services: Services,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Service {
    /// Opens the database and the storage, migrates the schema, and starts the parts that `role` names. `lock` is
    /// the lock on the data.
    pub(crate) async fn start(
        config: &Config,
        lock: &DataLock,
        listener: TcpListener,
        role: Role,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let tickets = local::local_wakeups();
        let config = &Config {
            encryption_key: encryption_key::choose(config)?,
            ..config.clone()
        };
        let services = Services::open(config, Some(tickets.0.clone()), lock.file()).await?;
        migrate(&services).await?;
        services.warn_unless_writable().await;

        let mut tasks = JoinSet::new();
        let (api, worker) = (services.clone(), services.clone());
        let (api_config, worker_config) = (config.clone(), config.clone());
        let (api_shutdown, worker_shutdown) = (shutdown.clone(), shutdown.clone());
        tasks.spawn(async move {
            media_api::serve(api, &api_config, listener, api_shutdown)
                .await
                .context("the API ended")
        });
        tasks.spawn(async move {
            if role == Role::Api {
                worker_shutdown.cancelled().await;
                // Wake-ups are sent to it until the API has ended.
                drop(tickets);
                return Ok(());
            }
            let resolver = Arc::new(SystemResolver);
            media_worker::run(worker, tickets, resolver, &worker_config, worker_shutdown)
                .await
                .context("the worker ended")
        });
        Ok(Self {
            address,
            services,
            tasks,
            shutdown,
        })
    }

    /// The URL of the service.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the API and the worker have ended. If one ends early, the other is stopped.
    pub(crate) async fn join(mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.context("the API or the worker panicked").flatten();
            if result.is_ok() {
                result = ended;
            }
            self.shutdown.cancel();
        }
        let closed = self.services.close().await;
        result?;
        Ok(closed?)
    }
}

async fn migrate(services: &Services) -> anyhow::Result<()> {
    // Migrations need a direct connection to the server, not one through a pooler.
    if services.database.is_behind_pooler() {
        return Ok(services.check_schema().await?);
    }
    let connection = services.database.direct_connection().await?;
    media_migrations::migrate_up(&connection)
        .await
        .map_err(OpenError::Database)
        .context("the schema cannot be migrated")?;
    Ok(connection.close().await?)
}

/// Listens at an address. The error names the settings that choose another one.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    media_api::listen(address).with_context(|| {
        format!("cannot listen on {address}; choose another address with MEDIA_LISTEN or --listen")
    })
}
