use std::time::Duration;

use media_domain::{
    blob::BlobOwner,
    caller::Creator,
    clock::Clock,
    ids::WorkerId,
    job::{Attempt, ImportArguments, KnownClass, MediaImport, arguments::RawImportArguments},
    media::{Filename, MediaPath, Sha256},
};

use super::*;
use crate::{
    DatabaseUrl,
    blob_repository::BlobRepository,
    job_repository::{JobRepository, NewJob},
};

const MINUTE: Duration = Duration::from_mins(1);
const KNOWN: [KnownClass; 1] = [KnownClass::of::<MediaImport>()];

async fn stored(jobs: &JobRepository, blobs: &BlobRepository, resource: &str) -> Completion {
    let arguments = RawImportArguments {
        url: "http://origin.test/file.png?sig=secret".into(),
        headers: Some([("X-Key".to_owned(), "secret".to_owned())].into()),
        resource: resource.into(),
        ..RawImportArguments::default()
    };
    let arguments = ImportArguments::check(arguments).unwrap();
    let job = NewJob::new::<MediaImport>(&arguments).unwrap();
    jobs.create(job).await.unwrap();
    let claimed = jobs.claim(WorkerId::generate(), &KNOWN).await;
    let lease = claimed.unwrap().unwrap().lease;
    let blob = blobs.stage(BlobOwner::Attempt(lease), None).await.unwrap();
    Completion {
        lease,
        new: NewMedia {
            path: MediaPath::new(resource, None).unwrap(),
            filename: Filename::new("file.png").unwrap(),
            mime_type: "image/png".into(),
            charset: None,
            size: 4,
            sha256: Sha256::from_bytes([7; 32]),
            metadata: None,
            public: true,
            source_url: Some(arguments.public_url()),
            origin: None,
            meta: None,
            expires_at: None,
            creator: Creator::default(),
            blob_id: blob.id,
        },
        now: Utc::now(),
    }
}

/// Completions that a batch leaves out are retried alone, which would hide a batch that does nothing.
#[tokio::test]
async fn a_batch_completes_all_that_have_no_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
    let database = database.unwrap();
    let connection = database.direct_connection().await.unwrap();
    media_migrations::migrate_up(&connection).await.unwrap();
    let jobs = JobRepository::new(database.clone(), Clock::system(), MINUTE);
    let blobs = BlobRepository::new(database.clone(), Clock::system(), MINUTE);
    let mut completions = Vec::new();
    for resource in ["a", "b", "a", "c"] {
        completions.push(stored(&jobs, &blobs, resource).await);
    }
    completions[3].lease.attempt = Attempt::new(2);
    // An earlier attempt at the second job has a blob of its own.
    let mut earlier = completions[1].clone();
    earlier.lease.attempt = Attempt::default();
    let staged = blobs.stage(BlobOwner::Attempt(earlier.lease), None).await;
    earlier.new.blob_id = staged.unwrap().id;
    completions.push(earlier);
    let second = completions[1].new.blob_id;
    let done = complete_batch(database.clone(), completions.clone())
        .await
        .unwrap();
    assert_eq!(done[1].as_ref().map(|media| media.blob_id), Some(second));
    let done: Vec<bool> = done.iter().map(Option::is_some).collect();
    assert_eq!(done, [true, true, false, false, false]);
    let ended = jobs
        .find(completions[0].lease.job_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        ended.arguments["url"],
        "http://origin.test/file.png?sig=redacted"
    );
    assert!(ended.arguments.get("headers").is_none());
    let again = complete_batch(database, completions).await.unwrap();
    assert!(again.iter().all(Option::is_none));
}
