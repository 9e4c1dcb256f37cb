//! The database.

use clap::Args;
use media_database::{DatabaseUrl, Pooler};

use super::checker::{Checker, number, path};

/// The database of a service that is given no other.
const DEFAULT_DATABASE_URL: &str = "sqlite://data/media.db";

/// The settings as text.
#[derive(Args, Clone)]
pub struct DatabaseSettings {
    /// The database: sqlite://path or postgres://user:password@host/name
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = DEFAULT_DATABASE_URL
    )]
    pub database_url: String,

    /// The file that holds the URL of the database, instead of DATABASE_URL
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub database_url_file: String,

    /// The pooler between the programs and PostgreSQL: none, or transaction for one that gives each transaction
    /// another connection (PgBouncer in transaction mode)
    #[arg(
        long,
        global = true,
        env = "MEDIA_DATABASE_POOLER",
        value_name = "MODE",
        default_value = "none"
    )]
    pub database_pooler: String,

    /// The largest number of PostgreSQL connections of one program
    #[arg(
        long,
        global = true,
        env = "MEDIA_DATABASE_CONNECTIONS",
        value_name = "N",
        default_value = "16"
    )]
    pub database_connections: String,
}

/// The database.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// Its address.
    pub url: DatabaseUrl,
    /// The most connections to PostgreSQL.
    pub connections: u32,
}

impl DatabaseSettings {
    pub(super) fn check(&self, checker: &mut Checker) -> Option<DatabaseConfig> {
        let pooler = checker.record("MEDIA_DATABASE_POOLER", pooler(&self.database_pooler));
        let url = self.check_url(pooler.unwrap_or_default(), checker);
        let connections = checker.record(
            "MEDIA_DATABASE_CONNECTIONS",
            number(&self.database_connections, 2..=1000),
        );
        Some(DatabaseConfig {
            url: url?,
            connections: connections?,
        })
    }

    /// Reads the address from the setting, or from a file if the setting has its default.
    fn check_url(&self, pooler: Pooler, checker: &mut Checker) -> Option<DatabaseUrl> {
        const VARIABLE: &str = "DATABASE_URL";
        let (text, file) = match self.database_url_file.as_str() {
            "" => (self.database_url.as_str(), ""),
            file if self.database_url == DEFAULT_DATABASE_URL => ("", file),
            file => (self.database_url.as_str(), file),
        };
        let url = checker.secret(VARIABLE, text, file, check_database_url)?;
        let text = url.expose();
        if let Some(sqlite) = text.strip_prefix("sqlite://") {
            let path = checker.record(VARIABLE, path(sqlite))?;
            return Some(DatabaseUrl::Sqlite { path });
        }
        checker.follow(VARIABLE, Some(&url), file, check_postgres_url);
        Some(DatabaseUrl::Postgres { url, pooler })
    }
}

fn pooler(text: &str) -> Result<Pooler, String> {
    match text {
        "none" => Ok(Pooler::None),
        "transaction" => Ok(Pooler::Transaction),
        _ => Err("must be none or transaction".to_owned()),
    }
}

fn check_database_url(text: &str) -> Result<(), String> {
    if text.starts_with("sqlite://") {
        Ok(())
    } else {
        check_postgres_url(text)
    }
}

fn check_postgres_url(text: &str) -> Result<(), String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return url::Url::parse(text)
            .map(drop)
            .map_err(|error| format!("is not a URL: {error}"));
    }
    Err("must start with sqlite:// or postgres://".to_owned())
}
