//! `media-migrate`: migrates the schema up or down, reports its state, waits for it, and checks the tables.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use media_migrations::{
    SchemaError,
    exit::{self, ExitKind},
    file_lock::{FileLock, Locking},
    integrity,
};
use sea_orm_migration::{
    MigratorTrait,
    sea_orm::{ConnectOptions, Database, DatabaseConnection},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

/// The timeout of `wait`.
const WAIT_TIMEOUT: Duration = Duration::from_mins(10);
/// The interval at which `wait` checks the schema.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Migrates the database of the media importer, and checks it.
#[derive(Parser)]
#[command(name = "media-migrate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The database: sqlite://path or postgres://user:password@host/name
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://data/media.db",
        hide_env_values = true,
        global = true
    )]
    database_url: String,
    /// A file that contains the URL of the database, instead of DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE", global = true, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Apply all pending migrations
    Up,
    /// Revert the newest migration
    Down,
    /// List the applied and the pending migrations
    Status,
    /// Wait for at most ten minutes until no migration is pending, without changing anything
    Wait,
    /// Report media without bytes, bytes without media and wrong usages; exit with 1 if there are any
    Check {
        /// Recalculate charges and usages, delete records without bytes, and leave bytes without a record to the
        /// collector
        #[arg(long)]
        repair: bool,
    },
}

impl Command {
    /// Whether the command writes to the database.
    fn writes(self) -> bool {
        match self {
            Self::Up | Self::Down => true,
            Self::Status | Self::Wait => false,
            Self::Check { repair } => repair,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    media_migrations::private_files::by_default();
    let mut arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter("error,sea_orm_migration=info")
        .with_ansi(false)
        .with_target(false)
        .init();
    let done = tokio::select! {
        done = run(&mut arguments) => done,
        stopped = stop_signal() => stopped.map_err(Into::into).and_then(|()| {
            Err(exit::Failure::new(ExitKind::Temporary, "stopped by a signal").into())
        }),
    };
    match done {
        Ok(code) => code,
        Err(error) => exit::report("media-migrate", error.as_ref(), None),
    }
}

/// Waits for SIGINT or SIGTERM. Without a handler, the first process of a container would ignore them.
async fn stop_signal() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn run(arguments: &mut Arguments) -> anyhow::Result<ExitCode> {
    if let Some(file) = &arguments.database_url_file {
        let url = std::fs::read_to_string(file)
            .with_context(|| format!("DATABASE_URL_FILE cannot be read from {}", file.display()))?;
        url.trim().clone_into(&mut arguments.database_url);
    }
    let arguments = &*arguments;
    let _lock = lock(arguments)?;
    let mut options = ConnectOptions::new(with_create_mode(&arguments.database_url)?);
    options.sqlx_logging(false);
    let database = Database::connect(options).await.map_err(|error| {
        let advice = exit::advice_about_database(&error);
        anyhow::Error::new(error).context(format!(
            "cannot connect to the database in DATABASE_URL{advice}"
        ))
    })?;
    match arguments.command {
        Command::Up => media_migrations::migrate_up(&database).await?,
        Command::Down => media_migrations::Migrator::down(&database, Some(1)).await?,
        Command::Status => media_migrations::Migrator::status(&database).await?,
        Command::Wait => timeout(WAIT_TIMEOUT, wait(&database)).await.map_err(|_| {
            let sentence = format!("the schema was not up to date within {WAIT_TIMEOUT:?}");
            exit::Failure::new(ExitKind::Temporary, sentence)
        })??,
        Command::Check { repair } => return check(&database, repair).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Locks an SQLite file that the command writes to. Fails if another program uses the file.
fn lock(arguments: &Arguments) -> anyhow::Result<Option<FileLock>> {
    let Some(path) = arguments.database_url.strip_prefix("sqlite://") else {
        return Ok(None);
    };
    if !arguments.command.writes() {
        return Ok(None);
    }
    let path = Path::new(path.split('?').next().unwrap_or(path));
    match FileLock::try_acquire(&FileLock::beside(path))
        .with_context(|| format!("cannot lock {}", path.display()))?
    {
        Locking::Acquired(lock) => Ok(Some(lock)),
        Locking::HeldBy(_) => Err(exit::Failure::new(
            ExitKind::Unavailable,
            format!(
                "another program uses {}; stop it first, or set DATABASE_URL to another file",
                path.display()
            ),
        )
        .into()),
    }
}

async fn check(database: &DatabaseConnection, repair: bool) -> anyhow::Result<ExitCode> {
    let violations = if repair {
        integrity::repair(database).await?
    } else {
        integrity::find_violations(database).await?
    };
    for violation in &violations {
        eprintln!("{violation}");
    }
    match (violations.len(), repair) {
        (0, _) => eprintln!("no violations found"),
        (many, true) => eprintln!("repaired: {many}"),
        (many, false) => {
            eprintln!("{many} found; run `media-migrate check --repair` to repair them");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until no migration is pending.
async fn wait(database: &DatabaseConnection) -> Result<(), SchemaError> {
    let mut is_reported = false;
    loop {
        match media_migrations::check(database).await {
            Err(missing @ SchemaError::Behind(_)) => {
                if !is_reported {
                    eprintln!("waiting: {missing}");
                    is_reported = true;
                }
            }
            result => return result,
        }
        sleep(CHECK_INTERVAL).await;
    }
}

/// Makes the URL of an SQLite file create the file, and creates its directory, like the other programs.
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
