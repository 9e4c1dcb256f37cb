//! `media demo`: serves sample pictures from an origin on this machine, imports them, and keeps serving. Needs no
//! network.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
};

use anyhow::bail;
use ipnet::IpNet;
use media_domain::media::MediaPath;
use media_services::{config::Settings, shutdown};
use poem::{
    EndpointExt as _, Response, Route, Server, endpoint::make_sync, get, listener::TcpAcceptor,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    import::{Outcome, Row, Runner},
    serve::{AnnouncedService, greet},
};
use crate::{
    client::{ApiClient, NewImport},
    progress::{Display, Verbosity},
    service::listen,
};

/// The address of the origin: a loopback address that nothing else uses, so that allowing it opens nothing else.
const ORIGIN: Ipv4Addr = Ipv4Addr::new(127, 83, 77, 1);
/// The resource that the demonstration imports into.
const RESOURCE: &str = "demo";

/// The samples: name, declared type, bytes.
const SAMPLES: [(&str, &str, &[u8]); 5] = [
    (
        "sunrise.jpg",
        "image/jpeg",
        include_bytes!("../../samples/sunrise.jpg"),
    ),
    (
        "swirl.png",
        "image/png",
        include_bytes!("../../samples/swirl.png"),
    ),
    (
        "cloud.webp",
        "image/webp",
        include_bytes!("../../samples/cloud.webp"),
    ),
    (
        "blink.gif",
        "image/gif",
        include_bytes!("../../samples/blink.gif"),
    ),
    (
        "circle.svg",
        "image/svg+xml",
        include_bytes!("../../samples/circle.svg"),
    ),
];

/// Runs the demonstration until the service is stopped.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut config = settings.check()?;
    if config.authentication.is_some() {
        bail!(
            "the demonstration needs no authentication; unset MEDIA_JWT_SECRET and MEDIA_JWKS_URL"
        );
    }
    let telemetry = media_telemetry::start("media", &config.telemetry)?;
    let shutdown = shutdown::on_signal()?;
    let origin = TaskTracker::new();
    let listener = listen((ORIGIN, 0).into())?;
    let address = format!("http://{}", listener.local_addr()?);
    start_origin(&origin, listener, shutdown.clone())?;
    // Imports are not allowed to connect to this machine otherwise.
    let origin_alone = IpNet::from(IpAddr::V4(ORIGIN));
    config.worker.egress.allow.push(origin_alone);
    let service = AnnouncedService::start(&config, shutdown.clone()).await?;
    let url = service.url();
    let client = ApiClient::new(url.parse()?, None)?;
    let all_imported = import_samples(&client, &address, &shutdown).await?;
    if !shutdown.is_cancelled() {
        greet(&url, &config);
    }
    service.join().await?;
    origin.wait().await;
    telemetry.finish().await;
    Ok(if all_imported {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Imports the samples from the origin. Returns whether all were imported.
async fn import_samples(
    client: &ApiClient,
    origin: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<bool> {
    let rows = SAMPLES.iter().enumerate().map(|(n, (name, ..))| {
        let url = format!("{origin}/{name}");
        Ok(Row {
            line: n + 1,
            import: NewImport::public(&url, MediaPath::new(RESOURCE, Some(name))?)?,
            has_own_key: true,
            earlier_job: None,
        })
    });
    let rows: Vec<Row> = rows.collect::<anyhow::Result<_>>()?;
    let display = Display::new(1, Verbosity::Everything);
    let mut imported = 0;
    // The jobs are cancelled at the end of the service.
    let runner = Runner::new(client, &display, shutdown, true);
    runner
        .run(&rows, |_, ended| {
            imported += usize::from(matches!(ended.outcome, Outcome::Imported(_)));
        })
        .await;
    Ok(imported == rows.len())
}

/// Serves the samples.
fn start_origin(
    tasks: &TaskTracker,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let mut routes = Route::new();
    for (name, mime_type, bytes) in SAMPLES {
        let sample = make_sync(move |_| Response::builder().content_type(mime_type).body(bytes));
        routes = routes.at(format!("/{name}"), get(sample));
    }
    let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
    tasks.spawn(async move {
        let stop = shutdown.cancelled_owned();
        if let Err(error) = server
            .run_with_graceful_shutdown(routes.boxed(), stop, None)
            .await
        {
            tracing::error!(%error, "the demonstration's origin ended");
        }
    });
    tasks.close();
    Ok(())
}
