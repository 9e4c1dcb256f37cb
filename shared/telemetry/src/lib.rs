//! Telemetry: logs, traces and metrics of the programs.
//!
//! This crate counts and describes; it must not know the database, storage or the network beyond the export of traces.

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

use url::Url;

pub mod metrics;
mod trace_context;
mod traces;
mod unexported_traces;

pub use trace_context::{TraceParent, export_attribute, export_failure, record_trace_id};
pub use traces::TraceError;

/// The beginning of the targets of the service's own events and spans.
const OWN_TARGET: &str = "media";
/// The longest that the export of the last traces may take at the end.
pub const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// The default filter of a service's log: changes of jobs, and failures. `RUST_LOG` replaces it.
const SERVICE_FILTER: &str = "warn,media=info";
/// The default filter of a command's log: failures that end it. `RUST_LOG` replaces it.
const COMMAND_FILTER: &str = "error";

/// The settings of logs and traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// The URL under which traces are posted; they are not exported if none.
    pub otlp_endpoint: Option<Url>,
    /// The format of the log.
    pub log_format: LogFormat,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// A JSON object per line, for programs.
    Json,
}

/// Running telemetry, to be ended by [`Telemetry::finish`].
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Writes a service's log to standard error, and exports traces as `program` if that is configured. Lines have the id
/// of their trace in any case: it joins the lines about a request to those about the job that it created.
pub fn start(program: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TraceError> {
    let provider = config
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| traces::provider(program, endpoint))
        .transpose()?;
    let own = Targets::new().with_target(OWN_TARGET, LevelFilter::INFO);
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(program))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(own)
    });
    tracing_subscriber::registry()
        .with(lines(config.log_format).with_filter(filter(SERVICE_FILTER)))
        .with(traces)
        .init();
    Ok(Telemetry(provider))
}

/// Writes a command's log to standard error, as text.
pub fn start_command() {
    tracing_subscriber::registry()
        .with(lines(LogFormat::Text).with_filter(filter(COMMAND_FILTER)))
        .init();
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

impl Telemetry {
    /// Exports the remaining traces, within [`FLUSH_LIMIT`].
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

/// Lines in JSON. The span of a line is the last in its list of spans.
fn json_lines<S>() -> fmt::Layer<S, fmt::format::JsonFields, Format<Json>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fmt::layer()
        .json()
        .with_ansi(false)
        .with_target(false)
        .flatten_event(true)
        .with_current_span(false)
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::field::{Empty, display};
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_has_all_that_was_recorded_of_its_spans() {
        let lines = Lines::default();
        let layer = crate::json_lines().with_writer(lines.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let bare = tracing::info_span!("bare", later = Empty);
            let span = tracing::info_span!(
                parent: &bare,
                "full",
                text = "a \"quoted\"\nline",
                number = -7,
                amount = u64::MAX,
                ratio = 0.5,
                r#type = true,
                shown = %"ä",
                a.dotted = ?Some(1),
                later = Empty,
                last = Empty,
            );
            bare.record("later", "now");
            span.record("later", display(1));
            span.record("later", 2);
            span.record("last", "\\");
            span.in_scope(|| tracing::info!("message"));
        });
        let written = lines.0.lock().unwrap();
        let line: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(
            line["spans"],
            json!([
                { "name": "bare", "later": "now" },
                {
                    "name": "full",
                    "text": "a \"quoted\"\nline",
                    "number": -7,
                    "amount": u64::MAX,
                    "ratio": 0.5,
                    "type": true,
                    "shown": "ä",
                    "a.dotted": "Some(1)",
                    "later": 2,
                    "last": "\\",
                },
            ])
        );
        assert_eq!(line["message"], "message");
    }
}
