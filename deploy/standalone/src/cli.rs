//! The command line.

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use media_services::config::Settings;
use url::Url;

use crate::commands::{
    events::EventsArguments, get::GetArguments, import::ImportArguments, jobs::JobsArguments,
    ls::LsArguments, put::PutArguments, rm::RmArguments, signal::SignalArguments,
};

mod help;
mod variables;

pub(crate) use variables::report_unknown_variables;

/// The heading of the settings in `--help`.
const SETTINGS_HEADING: &str = "Settings of the service";

/// Imports media from any URL, stores it and serves it: the whole service on one machine
#[derive(Parser)]
#[command(name = "media", version)]
#[command(
    after_help = "Without a command, the service runs: media is the same as media serve. \
    Commands for a service use the one that runs on the data of this directory, or the one at --server."
)]
pub(crate) struct Arguments {
    #[command(flatten, next_help_heading = SETTINGS_HEADING)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the API and run imports, until Ctrl-C (the default)
    Serve,
    /// Import URLs, with progress bars
    Import(Box<ImportArguments>),
    /// List jobs, or show one
    Jobs(JobsArguments),
    /// List media
    Ls(LsArguments),
    /// Download a media to a file
    Get(GetArguments),
    /// Upload a file
    Put(PutArguments),
    /// Delete media, or jobs with --job
    Rm(RmArguments),
    /// Cancel, pause, resume or retry jobs
    Signal(SignalArguments),
    /// Follow jobs until they end
    Events(EventsArguments),
    /// Import sample pictures from this machine, then serve; needs no network
    Demo,
}

/// The service that a command talks to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArguments {
    /// The service, such as localhost:8080 or https://media.example.org; without it, the one on the data of this
    /// directory
    #[arg(long, value_name = "URL", value_parser = parse_server)]
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

/// The form of the output of a list.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ListOutputArguments {
    /// Print a JSON object per line, as the API has it
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Print only the ids of jobs or the paths of media, one per line
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The form of the output of an action.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArguments {
    /// Print a JSON object per line, as the API has it
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Print nothing but failures
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Parses the command line and the environment. Exits with a message if they are wrong.
pub(crate) fn parse() -> Arguments {
    let matches = command().get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The definition of the command line, with its help wrapped for 80 columns.
pub(crate) fn command() -> clap::Command {
    help::arrange(Arguments::command())
}

/// Parses the URL of a service. `localhost:8080` means `http://localhost:8080`.
fn parse_server(text: &str) -> Result<Url, String> {
    let has_scheme = text.contains("://");
    let url = if has_scheme {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let url = url.map_err(|error| format!("{error}; give it as localhost:8080 or https://host"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_server_needs_no_scheme() {
        for (text, expected) in [
            ("localhost:8080", "http://localhost:8080/"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("[::1]:8080", "http://[::1]:8080/"),
            ("media.example", "http://media.example/"),
            ("media.example/base", "http://media.example/base"),
            ("https://media.example", "https://media.example/"),
        ] {
            assert_eq!(parse_server(text).unwrap().as_str(), expected);
        }
        for bad in ["", "ftp://media.example", "http://", "a b", "host:port"] {
            assert!(parse_server(bad).is_err(), "{bad}");
        }
    }
}
