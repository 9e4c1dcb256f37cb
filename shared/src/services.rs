//! What the API and the worker both stand on, opened once and handed to each.

use std::sync::Arc;

use sea_orm::DbErr;

use crate::{
    blob_ledger::BlobLedger,
    blob_store::{self, BlobStore, StorageError},
    clock::Clock,
    config::Config,
    database::Database,
    job_ledger::JobLedger,
    media_ledger::MediaLedger,
    tickets::Tickets,
};

/// The books, storage and tickets.
#[derive(Clone)]
pub struct Services {
    /// The tables.
    pub database: Database,
    /// The book of jobs.
    pub jobs: JobLedger,
    /// The book of media.
    pub medias: MediaLedger,
    /// The book of stored objects.
    pub blobs: BlobLedger,
    /// The stored objects.
    pub store: Arc<dyn BlobStore>,
    /// Where to say that there is work.
    pub tickets: Arc<dyn Tickets>,
}

/// Why the parts could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database in `DATABASE_URL`.
    #[error("the database in DATABASE_URL cannot be opened")]
    Database(#[from] DbErr),
    /// The storage in `MEDIA_STORAGE_URL`.
    #[error("the storage in MEDIA_STORAGE_URL cannot be opened")]
    Storage(#[from] StorageError),
}

impl Services {
    /// Opens the database and the storage that the configuration names.
    pub async fn open(config: &Config, tickets: Arc<dyn Tickets>) -> Result<Self, OpenError> {
        let database = Database::connect(&config.database).await?;
        let store = blob_store::open(&config.storage).await?;
        let (clock, lease) = (Clock::system(), config.worker.lease);
        Ok(Self {
            jobs: JobLedger::new(database.clone(), clock.clone(), lease),
            medias: MediaLedger::new(database.clone(), clock.clone()),
            blobs: BlobLedger::new(database.clone(), clock, lease),
            database,
            store,
            tickets,
        })
    }
}
