//! `media-migrate`: brings the schema up, down, or tells how it stands.

use anyhow::Context;
use clap::{Parser, ValueEnum};
use sea_orm_migration::{
    MigratorTrait,
    sea_orm::{ConnectOptions, Database},
};

/// Migrates the database of the media importer.
#[derive(Parser)]
#[command(name = "media-migrate", version)]
struct Arguments {
    /// What to do.
    command: Command,
    /// The database: sqlite://path or postgres://user:password@host/name
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://data/media.db",
        hide_env_values = true
    )]
    database_url: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Command {
    /// Apply what is missing.
    Up,
    /// Take back the newest migration.
    Down,
    /// List what is applied and what is missing.
    Status,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter("error,sea_orm_migration=info")
        .with_ansi(false)
        .with_target(false)
        .init();
    let mut options = ConnectOptions::new(with_create_mode(&arguments.database_url)?);
    options.sqlx_logging(false);
    let database = Database::connect(options)
        .await
        .context("cannot connect to the database in DATABASE_URL")?;
    match arguments.command {
        Command::Up => media_migrations::migrate_up(&database).await?,
        Command::Down => media_migrations::Migrator::down(&database, Some(1)).await?,
        Command::Status => media_migrations::Migrator::status(&database).await?,
    }
    Ok(())
}

/// A SQLite file that is not there yet is created, its directory too, as the programs do.
fn with_create_mode(url: &str) -> std::io::Result<String> {
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.contains('?') => {
            if let Some(parent) = std::path::Path::new(path).parent() {
                std::fs::create_dir_all(parent)?;
            }
            Ok(format!("{url}?mode=rwc"))
        }
        _ => Ok(url.to_owned()),
    }
}
