//! `media demo`: serves pictures of its own from an origin on this machine, imports them, and goes
//! on serving. Works without a network.

use std::{net::Ipv4Addr, process::ExitCode};

use ipnet::{IpNet, Ipv4Net};
use media_shared::{
    config::Settings,
    shutdown,
    telemetry::{self, Verbosity},
};
use poem::{
    EndpointExt as _, Response, Route, Server, endpoint::make_sync, get, listener::TcpAcceptor,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api_client::{ApiClient, NewImport},
    import::import_all,
    serve::{greet, start},
    service::listen,
};

/// The resource that the demonstration imports into.
const RESOURCE: &str = "demo";

/// Name, declared type, bytes.
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

/// Demonstrates.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut config = settings.check()?;
    telemetry::start(Verbosity::Service);
    // The origin is on this machine, which imports otherwise never reach.
    let this_machine = Ipv4Net::from(Ipv4Addr::LOCALHOST);
    config.worker.egress.allow.push(IpNet::V4(this_machine));

    let shutdown = shutdown::on_signal()?;
    let origin = TaskTracker::new();
    let address = start_origin(&origin, shutdown.clone()).await?;
    let (_lock, service) = start(&config, shutdown.clone()).await?;
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
    if all {
        greet(&url);
        tracing::info!("all media: {url}/medias — Ctrl-C stops");
    }
    service.join().await?;
    origin.wait().await;
    Ok(ExitCode::SUCCESS)
}

/// Serves the samples; answers where.
async fn start_origin(tasks: &TaskTracker, shutdown: CancellationToken) -> anyhow::Result<String> {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
    let url = format!("http://{}", listener.local_addr()?);
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
    Ok(url)
}
