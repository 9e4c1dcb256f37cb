//! The command line.

use clap::{Args, Parser, Subcommand};
use media_shared::config::Settings;
use url::Url;

/// Imports media from any URL, stores it and serves it: the whole service on one machine.
#[derive(Parser)]
#[command(name = "media", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the API and run imports, until Ctrl-C (the default)
    Serve,
    /// Import URLs and print the records of the media, through the running service if there is one
    Import(ImportArguments),
    /// Import sample pictures from this machine, then serve; needs no network
    Demo,
}

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// The URLs to import
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// The resource to store the media in
    #[arg(long, value_name = "R", default_value = "imports")]
    pub(crate) resource: String,
    /// The key within the resource, for a single URL; without it, each media gets a new key
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Make the media public: anyone may download it
    #[arg(long)]
    pub(crate) public: bool,
    /// The most retries of an import after failures that may be temporary
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) retries: i32,
    /// The service that runs the imports, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// The token for a service with authentication
    #[arg(
        long,
        env = "MEDIA_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
}
