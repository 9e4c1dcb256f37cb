//! `media demo`: serves sample pictures from an origin on this machine, imports them, and keeps serving. Needs no
//! network.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
};

use anyhow::bail;
use ipnet::IpNet;
use media_shared::{config::Settings, shutdown, telemetry};
use poem::{
    EndpointExt as _, Response, Route, Server, endpoint::make_sync, get, listener::TcpAcceptor,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api_client::{ApiClient, NewImport},
    import::import_all,
    serve::{AnnouncedService, greet},
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
        include_bytes!("../samples/sunrise.jpg"),
    ),
    (
        "swirl.png",
        "image/png",
        include_bytes!("../samples/swirl.png"),
    ),
    (
        "cloud.webp",
        "image/webp",
        include_bytes!("../samples/cloud.webp"),
    ),
    (
        "blink.gif",
        "image/gif",
        include_bytes!("../samples/blink.gif"),
    ),
    (
        "circle.svg",
        "image/svg+xml",
        include_bytes!("../samples/circle.svg"),
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
    let telemetry = telemetry::start("media", &config.telemetry)?;
    let shutdown = shutdown::on_signal()?;
    let origin = TaskTracker::new();
    let listener = listen((ORIGIN, 0).into())?;
    let address = format!("http://{}", listener.local_addr()?);
    start_origin(&origin, listener, shutdown.clone())?;
    // Imports are not allowed to connect to this machine otherwise.
    let origin_alone = IpNet::from(IpAddr::V4(ORIGIN));
    config.worker.egress.allow.push(origin_alone);
    let service = AnnouncedService::start(&config, shutdown.clone()).await?;
    let imports = SAMPLES.map(|(name, ..)| NewImport {
        url: format!("{address}/{name}"),
        resource: RESOURCE.to_owned(),
        key: name.to_owned(),
        public: true,
        retries: 0,
    });
    let url = service.url();
    let client = ApiClient::new(url.parse()?)?;
    let all = tokio::select! {
        all = import_all(&client, &imports) => all,
        () = shutdown.cancelled() => false,
    };
    if !shutdown.is_cancelled() {
        greet(&url);
    }
    service.join().await?;
    origin.wait().await;
    telemetry.finish().await;
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
