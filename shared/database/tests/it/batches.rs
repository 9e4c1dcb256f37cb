//! Concurrent operations that share statements: each caller gets the result of its own operation.

use std::collections::HashSet;

use futures_util::future::join_all;
use media_database::{
    Database,
    job_repository::{Claimed, Created, JobError, SlotUse},
    media_repository::{Found, NewMedia},
};
use media_domain::{
    blob::BlobOwner,
    caller::{Caller, Creator},
    ids::{JobId, WorkerId},
    job::{JobStatus, Unicity},
    media::MediaPath,
    permissions::ProjectSelector,
};

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, Repositories, import_to, new_media, path},
};

on_every_database!(
    concurrent_job_operations_each_get_their_own_result,
    concurrent_lookups_each_find_their_own_media,
);

async fn concurrent_job_operations_each_get_their_own_result(database: Database) {
    const JOBS: usize = 40;
    let repositories = Repositories::open(&database);
    let jobs = &repositories.jobs;
    let new = |n: usize| {
        // Some jobs have the same unicity.
        let unicity = n
            .is_multiple_of(4)
            .then(|| Unicity::new(&(n % 8).to_string()).unwrap());
        import_to(&path(&format!("r{n}"))).unicity(unicity)
    };
    let created = join_all((0..JOBS).map(|n| jobs.create(new(n)))).await;
    let is_new = |created: &Result<Created, _>| matches!(created, Ok(Created::New(_)));
    assert!(created.iter().all(Result::is_ok));
    let new_jobs = JOBS - JOBS / 4 + 2;
    assert_eq!(created.iter().filter(|each| is_new(each)).count(), new_jobs);

    let claims = jobs.claims(WorkerId::generate(), &KNOWN);
    let claimed = join_all((0..JOBS).map(|_| claims.next(SlotUse::AnyProject))).await;
    let claimed: Vec<Claimed> = claimed.into_iter().filter_map(Result::unwrap).collect();
    let ids: HashSet<JobId> = claimed.iter().map(|claimed| claimed.job.id).collect();
    assert_eq!((claimed.len(), ids.len()), (new_jobs, new_jobs));

    let staged = claimed.iter().map(|claimed| {
        let place = match claimed.job.arguments["resource"].as_str().unwrap() {
            // Two media have the same path: the last one stays.
            "r1" | "r2" => "same",
            other => other,
        };
        repositories.staged_media(claimed.lease, path(place))
    });
    let staged = join_all(staged).await;
    // One job loses its lease and another one its blob.
    let of = |resource: &str| {
        let is_of = |claimed: &&Claimed| claimed.job.arguments["resource"] == resource;
        claimed.iter().find(is_of).unwrap().lease
    };
    jobs.release(of("r3")).await.unwrap();
    repositories.blobs.abandon_attempt(of("r5")).await.unwrap();
    let all = (1..).zip(&claimed).zip(staged);
    let ended = all.map(async |((size, claimed), media)| {
        let media = NewMedia { size, ..media };
        (claimed, size, jobs.complete(claimed.lease, media).await)
    });
    let mut succeeded = 0;
    for (claimed, size, ended) in join_all(ended).await {
        let job = jobs.find(claimed.job.id).await.unwrap().unwrap();
        match ended {
            Ok(media) => {
                let done = (job.status, job.media_id, job.bytes_done.unsigned_abs());
                assert_eq!(done, (JobStatus::Succeeded, Some(media.id), size));
                succeeded += 1;
            }
            Err(JobError::LeaseLost) => assert_eq!(claimed.lease, of("r3")),
            Err(JobError::BlobLost) => assert_eq!(claimed.lease, of("r5")),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(succeeded, new_jobs - 2);
    // Two blobs are garbage: the abandoned one and the replaced one of the two at the same path.
    assert_eq!(
        repositories.blobs_by_status().await,
        [1, new_jobs as u64 - 3, 2]
    );
}

/// Looks up existing and missing media, with and without a key, and a path that exists in several projects.
async fn concurrent_lookups_each_find_their_own_media(database: Database) {
    let repositories = Repositories::open(&database);
    let owner = BlobOwner::Upload;
    let mut places: Vec<(MediaPath, Found)> = Vec::new();
    for n in 0..7 {
        for key in [None, Some(format!("key {n}"))] {
            let place = MediaPath::new("shelf", key.as_deref()).unwrap();
            let place = key.map_or_else(|| path(&format!("r{n}")), |_| place);
            let blob = repositories.blobs.stage(owner, None).await.unwrap();
            let media = new_media(place.clone(), blob.id);
            let media = repositories.medias.publish(media).await.unwrap();
            places.push((place, Found::One(Box::new(media))));
        }
    }
    for project in ["a", "b", "c"] {
        let blob = repositories
            .blobs
            .stage(owner, Some(project))
            .await
            .unwrap();
        let media = NewMedia {
            creator: Creator {
                project_id: Some(project.to_owned()),
                ..Creator::default()
            },
            ..new_media(path("several"), blob.id)
        };
        repositories.medias.publish(media).await.unwrap();
    }
    places.push((path("several"), Found::Several));
    places.push((path("nothing"), Found::Nothing));
    places.push((
        MediaPath::new("shelf", Some("none")).unwrap(),
        Found::Nothing,
    ));
    places.push((path("shelf"), Found::Nothing));

    let scope = Caller::Unrestricted.media_read_scope();
    let lookups: Vec<&(MediaPath, Found)> = (0..5).flat_map(|_| &places).collect();
    let found = lookups.iter().map(|(place, _)| {
        repositories
            .medias
            .find(place, &scope, &ProjectSelector::Any)
    });
    for (found, (place, expected)) in join_all(found).await.into_iter().zip(lookups) {
        assert_eq!(found.unwrap(), *expected, "{place:?}");
    }
}
