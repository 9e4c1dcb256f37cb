//! What the programs say about themselves, and where to.

use clap::Args;
use url::Url;

use super::check::{Checker, optional};

/// The settings as text.
#[derive(Args, Clone)]
pub struct TelemetrySettings {
    /// Where traces go, over OTLP: the URL that /v1/traces is beneath; nowhere by default
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide_env_values = true,
        value_name = "URL",
        default_value = ""
    )]
    pub otlp_endpoint: String,

    /// How lines of log are written: text, json, or auto (text on a terminal, json elsewhere)
    #[arg(
        long,
        global = true,
        env = "MEDIA_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "auto"
    )]
    pub log_format: String,
}

/// Where traces go, and what lines of log are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// What traces are posted beneath; nowhere if none.
    pub otlp_endpoint: Option<Url>,
    /// How lines of log are written.
    pub log_format: LogFormat,
}

/// How lines of log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, for programs elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl TelemetrySettings {
    pub(super) fn check(&self, checker: &mut Checker) -> Option<TelemetryConfig> {
        let otlp_endpoint = checker.keep(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            optional(&self.otlp_endpoint, endpoint),
        );
        let log_format = checker.keep("MEDIA_LOG_FORMAT", log_format(&self.log_format));
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
