//! `media`: the whole service on one machine, and a command line to it.

use std::process::ExitCode;

use clap::Parser;

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
async fn main() -> anyhow::Result<ExitCode> {
    media_migrations::private_files::by_default();
    let Arguments { settings, command } = Arguments::parse();
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&settings).await,
        Command::Import(arguments) => import::run(&settings, arguments).await,
        Command::Demo => demo::run(&settings).await,
    }
}
