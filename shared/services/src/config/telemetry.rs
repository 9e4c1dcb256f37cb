//! Logs and traces.

use clap::Args;
use media_telemetry::{LogFormat, TelemetryConfig};
use url::Url;

use super::checker::{Checker, optional};

/// The settings as text.
#[derive(Args, Clone)]
pub struct TelemetrySettings {
    /// The URL under which traces are posted over OTLP, to /v1/traces; not exported by default
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide_env_values = true,
        value_name = "URL",
        default_value = ""
    )]
    pub otlp_endpoint: String,

    /// The format of the log: text, json, or auto (text on a terminal, json elsewhere)
    #[arg(
        long,
        global = true,
        env = "MEDIA_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub log_format: String,
}

impl TelemetrySettings {
    pub(super) fn check(&self, checker: &mut Checker) -> Option<TelemetryConfig> {
        let otlp_endpoint = checker.record(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            optional(&self.otlp_endpoint, endpoint),
        );
        let log_format = checker.record("MEDIA_LOG_FORMAT", log_format(&self.log_format));
        Some(TelemetryConfig {
            otlp_endpoint: otlp_endpoint?,
            log_format: log_format?,
        })
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "must be a URL such as http://collector:4318".to_owned())
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text, json or auto".to_owned()),
    }
}
