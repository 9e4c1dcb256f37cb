//! `media`: the whole service on one machine, and its command line.

use std::process::ExitCode;

mod cli;
mod client;
mod command_error;
mod commands;
mod data_lock;
mod encryption_key;
mod filters;
mod output;
mod progress;
mod server_arguments;
mod service;
mod target;

use cli::{Arguments, Command};
use commands::{demo, events, get, import, jobs, ls, put, rm, serve, signal};

#[tokio::main]
async fn main() -> ExitCode {
    media_migrations::private_files::by_default();
    let Arguments { settings, command } = cli::parse();
    cli::report_unknown_variables();
    let done = match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&settings).await,
        Command::Import(arguments) => Box::pin(import::run(&settings, *arguments)).await,
        Command::Jobs(arguments) => Box::pin(jobs::run(&settings, arguments)).await,
        Command::Ls(arguments) => Box::pin(ls::run(&settings, arguments)).await,
        Command::Get(arguments) => Box::pin(get::run(&settings, arguments)).await,
        Command::Put(arguments) => Box::pin(put::run(&settings, arguments)).await,
        Command::Rm(arguments) => Box::pin(rm::run(&settings, arguments)).await,
        Command::Signal(arguments) => Box::pin(signal::run(&settings, arguments)).await,
        Command::Events(arguments) => Box::pin(events::run(&settings, arguments)).await,
        Command::Demo => Box::pin(demo::run(&settings)).await,
    };
    done.unwrap_or_else(|error| command_error::report(&error))
}
