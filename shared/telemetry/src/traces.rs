//! Exports traces over OTLP, as protobuf over HTTP.

use std::thread;

use media_tls::TrustError;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use reqwest::blocking::Client;
use url::Url;

/// The path of traces beneath the endpoint (OTLP 1.x, “OTLP/HTTP Request”).
const PATH: &str = "v1/traces";

/// Traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The trusted authorities cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no HTTP client.
    #[error("there is no HTTP client for traces")]
    Client(#[from] reqwest::Error),
    /// A setting whose name begins with `OTEL_` cannot be used.
    #[error("the settings OTEL_… cannot be used")]
    Settings(#[from] ExporterBuildError),
}

/// Collects spans and exports them in batches, from a thread of its own. The SDK reads its other settings from the
/// environment, as the OpenTelemetry specification says: `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`,
/// `OTEL_BSP_…`.
pub(super) fn provider(
    program: &'static str,
    endpoint: &Url,
) -> Result<SdkTracerProvider, TraceError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client()?)
        .with_endpoint(format!(
            "{}/{PATH}",
            endpoint.as_str().trim_end_matches('/')
        ))
        .build()?;
    let resource = Resource::builder().with_service_name(program).build();
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// Builds the client on another thread: a blocking client has a runtime of its own, which may not be made within a
/// runtime.
fn client() -> Result<Client, TraceError> {
    let tls = media_tls::client_config()?;
    let build = || {
        Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .build()
    };
    let client = thread::spawn(build).join();
    // A panic of that thread goes on in this one.
    Ok(client.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
}
