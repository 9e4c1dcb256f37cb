//! What the programs say about themselves: lines of log, and traces.

use std::{any::Any, io::IsTerminal as _, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::Targets,
    fmt::{
        self,
        format::{Format, Json},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::config::{LogFormat, TelemetryConfig};

mod json_fields;
mod trace_context;
mod traces;
mod unexported_traces;

use json_fields::JsonFields;
pub use trace_context::{TraceParent, export_attribute, export_failure, record_trace_id};
pub use traces::TraceError;

/// What the targets of the service's own lines and spans begin with.
const OWN: &str = "media";
/// How long what is left of the traces may take at the end.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What a service says unless `RUST_LOG` says otherwise: what happens to jobs, and what goes wrong.
const SERVICE_SAYS: &str = "warn,media=info,media_api=info,media_shared=info,media_worker=info";
/// What a command says beside its own output: what goes wrong for good.
const COMMAND_SAYS: &str = "error";

/// What has been started; it wants to be [finished](Self::finish).
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Writes a service's lines of log to standard error, and exports traces where that is configured, in
/// the name of `program`. Lines have the id of their trace in any case: it joins those about a request to
/// those about the job that came of it.
pub fn start(program: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TraceError> {
    let provider = config
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| traces::provider(program, endpoint))
        .transpose()?;
    let own = Targets::new().with_target(OWN, LevelFilter::INFO);
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(program))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(own)
    });
    tracing_subscriber::registry()
        .with(lines(config.log_format).with_filter(filter(SERVICE_SAYS)))
        .with(traces)
        .init();
    Ok(Telemetry(provider))
}

/// Writes a command's lines of log to standard error, for people.
pub fn start_command() {
    tracing_subscriber::registry()
        .with(lines(LogFormat::Text).with_filter(filter(COMMAND_SAYS)))
        .init();
}

fn filter(unless_told: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_told))
}

impl Telemetry {
    /// Exports what is left of the traces, within five seconds.
    pub async fn finish(self) {
        let Some(provider) = self.0 else {
            return;
        };
        // It blocks until its thread has ended.
        let ended =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT));
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if json {
        json_lines().with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(terminal)
            .with_target(false)
            .boxed()
    }
}

/// Lines for programs. The span that a line belongs to is the last of its list.
fn json_lines<S>() -> fmt::Layer<S, JsonFields, Format<Json>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fmt::layer()
        .json()
        .with_ansi(false)
        .with_target(false)
        .flatten_event(true)
        .with_current_span(false)
        .fmt_fields(JsonFields)
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
