//! `media`: the whole service on one machine, and its command line.

use std::process::ExitCode;

use clap::Parser;
use media_shared::exit;

mod api_client;
mod cli;
mod data_lock;
mod demo;
mod encryption_key;
mod import;
mod progress;
mod serve;
mod service;

use cli::{Arguments, Command};

#[tokio::main]
async fn main() -> ExitCode {
    media_migrations::private_files::by_default();
    let Arguments { settings, command } = Arguments::parse();
    let done = match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&settings).await,
        Command::Import(arguments) => Box::pin(import::run(&settings, arguments)).await,
        Command::Demo => Box::pin(demo::run(&settings)).await,
    };
    done.unwrap_or_else(|error| exit::report("media", error.as_ref()))
}
