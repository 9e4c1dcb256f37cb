//! The command line.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use media_services::config::Settings;

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

/// Parses the command line and the environment. Exits with a message if they are wrong.
pub(crate) fn parse() -> Arguments {
    let matches = command().get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The definition of the command line, with its help wrapped for 80 columns.
pub(crate) fn command() -> clap::Command {
    help::arrange(Arguments::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }
}
