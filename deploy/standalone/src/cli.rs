//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use media_services::config::Settings;
use url::Url;

/// Imports media from anywhere, keeps it, and serves it back: the whole service on one machine.
#[derive(Parser)]
#[command(name = "media", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the API and run imports, until Ctrl-C (the default)
    Serve,
    /// Import URLs and print the records; through the running service if there is one
    Import(ImportArguments),
    /// Import pictures of its own from this machine, then serve; needs no network
    Demo,
}

/// What to import, and where to keep it.
#[derive(Args)]
pub(crate) struct ImportArguments {
    /// What to import
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// Where to keep it
    #[arg(long, value_name = "R", default_value = "imports")]
    pub(crate) resource: String,
    /// Where within the resource; for one URL only. Without it, each gets a new key of its own
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Let anyone download it
    #[arg(long)]
    pub(crate) public: bool,
    /// How often to try again where that can help
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) retries: i32,
    /// The service to hand the work to, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// The token to show where there is authentication
    #[arg(
        long,
        env = "MEDIA_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
}
