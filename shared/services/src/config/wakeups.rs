//! Wake-ups between processes.

use clap::Args;
use media_domain::secret::Secret;

use super::checker::Checker;

/// The settings as text.
#[derive(Args, Clone)]
pub struct WakeupSettings {
    /// The Redis that wakes workers in other processes: redis://host:port; without it, they find new jobs within a
    /// second
    #[arg(
        long,
        global = true,
        env = "REDIS_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = ""
    )]
    pub redis_url: String,

    /// The file that holds the URL of Redis, instead of REDIS_URL
    #[arg(
        long,
        global = true,
        env = "REDIS_URL_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub redis_url_file: String,
}

impl WakeupSettings {
    /// Checks the URL of Redis; None without one.
    pub(super) fn check(&self, checker: &mut Checker) -> Option<Secret> {
        checker.secret(
            "REDIS_URL",
            &self.redis_url,
            &self.redis_url_file,
            check_redis_url,
        )
    }
}

fn check_redis_url(text: &str) -> Result<(), String> {
    if !["redis://", "rediss://", "unix://", "redis+unix://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
    {
        return Err("must start with redis:// or rediss://".to_owned());
    }
    url::Url::parse(text)
        .map(drop)
        .map_err(|error| format!("is not a URL: {error}"))
}
