//! The repositories on a database of their own, with a clock that only the test moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use media_database::{
    Database,
    blob_repository::BlobRepository,
    entities::{
        blob::{self, BlobStatus},
        media,
    },
    job_repository::{JobRepository, NewJob},
    media_repository::{MediaRepository, NewMedia},
};
use media_domain::{
    blob::BlobOwner,
    caller::{Caller, Creator},
    clock::Clock,
    ids::BlobId,
    job::{ImportArguments, KnownClass, Lease, MediaImport, arguments::RawImportArguments},
    media::{Filename, MediaPath, Metadata, Sha256},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

/// The lease of jobs in tests.
pub const LEASE: Duration = Duration::from_secs(15);

/// The classes that the workers of tests can run.
pub const KNOWN: [KnownClass; 1] = [KnownClass::of::<MediaImport>()];

/// A clock that only the test moves.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_800_000_000_000_000)))
    }
}

impl ManualClock {
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    pub fn set_back(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap();
        self.0.fetch_sub(by, Ordering::SeqCst);
    }

    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::from_fn(move || clock.now())
    }
}

/// The repositories.
#[derive(Clone, Debug)]
pub struct Repositories {
    pub jobs: JobRepository,
    pub medias: MediaRepository,
    pub blobs: BlobRepository,
    pub clock: ManualClock,
    pub database: Database,
}

impl Repositories {
    pub fn open(database: &Database) -> Self {
        let clock = ManualClock::default();
        Self {
            jobs: JobRepository::new(database.clone(), clock.clock(), LEASE),
            medias: MediaRepository::new(database.clone(), clock.clock()).caching_lookups(),
            blobs: BlobRepository::new(database.clone(), clock.clock(), LEASE),
            clock,
            database: database.clone(),
        }
    }

    /// Gives each unit of work of these repositories a limit.
    pub fn limit_units(&mut self, limit: Duration) {
        let database = self.database.within(limit);
        let clock = self.clock.clone();
        *self = Self {
            jobs: JobRepository::new(database.clone(), clock.clock(), LEASE),
            medias: MediaRepository::new(database.clone(), clock.clock()),
            blobs: BlobRepository::new(database.clone(), clock.clock(), LEASE),
            clock,
            database,
        };
    }

    /// Stages a blob for an attempt and describes a media that points to it.
    pub async fn staged_media(&self, lease: Lease, path: MediaPath) -> NewMedia {
        let owner = BlobOwner::Attempt(lease);
        let blob = self.blobs.stage(owner, None).await.unwrap();
        new_media(path, blob.id)
    }

    /// The number of blobs in each status: staged, live, garbage.
    pub async fn blobs_by_status(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        let statuses = [BlobStatus::Staged, BlobStatus::Live, BlobStatus::Garbage];
        for (count, status) in counts.iter_mut().zip(statuses) {
            let of_status = blob::Entity::find().filter(blob::Column::Status.eq(status));
            *count = of_status.count(self.database.reader()).await.unwrap();
        }
        counts
    }

    /// The media at a resource, of no project.
    pub async fn media(&self, resource: &str) -> Option<media::Model> {
        let found = self.medias.find_in(&path(resource), None).await;
        found.unwrap()
    }

    /// Deletes the media at a resource. Returns whether there was one.
    pub async fn delete(&self, resource: &str) -> bool {
        let Some(media) = self.media(resource).await else {
            return false;
        };
        let scope = Caller::Unrestricted.write_scope().unwrap();
        self.medias.delete(media.id, &scope).await.unwrap()
    }
}

/// A job that imports a file to a path.
pub fn import_to(path: &MediaPath) -> NewJob {
    let arguments = ImportArguments::check(RawImportArguments {
        url: "http://origin.test/file.png".into(),
        resource: path.resource().into(),
        key: path.key().map(Into::into),
        ..RawImportArguments::default()
    })
    .unwrap();
    NewJob::new::<MediaImport>(&arguments).unwrap()
}

pub fn path(resource: &str) -> MediaPath {
    MediaPath::new(resource, None).unwrap()
}

pub fn new_media(path: MediaPath, blob_id: BlobId) -> NewMedia {
    NewMedia {
        path,
        filename: Filename::new("file.png").unwrap(),
        metadata: Some(Metadata {
            dimensions: None,
            orientation: None,
            duration: Some(Duration::from_millis(7200)),
        }),
        mime_type: "image/png".into(),
        charset: None,
        size: 4,
        sha256: Sha256::from_bytes([7; 32]),
        public: false,
        source_url: None,
        origin: None,
        meta: None,
        expires_at: None,
        creator: Creator::default(),
        blob_id,
    }
}

/// Makes tests of functions that take a [`Database`], one for each kind of database.
#[macro_export]
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        $crate::on_every_database!(@ sqlite: $($name),*);
        $crate::on_every_database!(@ postgres: $($name),*);
        $crate::on_every_database!(@ pgbouncer: $($name),*);
    };
    (@ $kind:ident: $($name:ident),*) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let test = $crate::databases::$kind().await;
                    super::$name(test.database.clone()).await;
                }
            )*
        }
    };
}
