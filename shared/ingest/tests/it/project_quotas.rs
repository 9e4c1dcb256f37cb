//! The isolation of projects, and their quotas under concurrent writes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use media_database::{
    Database,
    blob_repository::BlobRepository,
    entities::media,
    job_repository::{Created, JobError, JobRepository, NewJob, SlotUse},
    media_repository::{DeleteError, Found, NewMedia, PublishError},
};
use media_domain::{
    blob::BlobOwner,
    caller::{Caller, Creator, Principal, Role, Scope},
    ids::{BlobId, WorkerId},
    job::{Failure, FailureCode, Priority, Signal, Unicity},
    media::WritePrecondition,
    permissions::{Denied, MediaReadScope, ProjectSelector, ReadScope},
};
use media_ingest::garbage_collector::collect;
use media_ingest::{Expectation, Ingest, IngestError};
use media_storage::{BlobStore, disk::DiskStore};
use tempfile::TempDir;

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, Repositories, import_to, new_media, path},
};

on_every_database!(
    each_project_has_its_own_media_at_a_path,
    a_user_replaces_and_deletes_only_its_own_media,
    a_unicity_applies_within_a_project,
    unfinished_jobs_never_exceed_the_quota_of_a_project,
    a_retried_job_counts_towards_the_quota,
    concurrent_writers_never_exceed_the_quota_of_a_project,
    an_announced_size_above_the_quota_is_refused_before_the_first_byte,
    concurrent_small_writes_within_the_quota_all_succeed,
    the_project_that_published_first_keeps_a_public_path,
    bytes_count_towards_the_quota_until_they_are_garbage,
    claims_are_fair_between_projects_and_ordered_by_priority_within_a_project,
);

const QUOTA_BYTES: u64 = 1_000_000;

fn creator(project: &str, role: Role, name: &str) -> Creator {
    Creator {
        created_by: Some(name.to_owned()),
        created_role: Some(role),
        project_id: Some(project.to_owned()),
    }
}

fn caller(projects: &[&str], role: Role, name: &str) -> Caller {
    Caller::Authenticated(Principal {
        subject: name.to_owned(),
        role,
        projects: projects.iter().map(|&name| name.to_owned()).collect(),
        scope: Scope::ALL,
        expires: i64::MAX,
    })
}

async fn publish(
    repositories: &Repositories,
    creator: &Creator,
    public: bool,
) -> Result<media::Model, PublishError> {
    let project = creator.project_id.as_deref();
    let staged = repositories.blobs.stage(BlobOwner::Upload, project).await;
    let media = NewMedia {
        creator: creator.clone(),
        public,
        ..new_media(path("r"), staged.unwrap().id)
    };
    repositories.medias.publish(media).await
}

async fn each_project_has_its_own_media_at_a_path(database: Database) {
    let repositories = Repositories::open(&database);
    let of = |project: &str| creator(project, Role::Service, "s");
    let a = publish(&repositories, &of("a"), false).await.unwrap();
    let b = publish(&repositories, &of("b"), true).await.unwrap();
    let c = publish(&repositories, &of("c"), true).await.unwrap();
    let none = publish(&repositories, &Creator::default(), false)
        .await
        .unwrap();
    assert_eq!(
        publish(&repositories, &of("a"), false).await.unwrap().id,
        a.id
    );

    let one = |media: &media::Model| Some(media.id);
    let find = |caller: Caller, selector: ProjectSelector| {
        let repositories = &repositories;
        async move {
            let scope = caller.media_read_scope();
            match repositories
                .medias
                .find(&path("r"), &scope, &selector)
                .await
                .unwrap()
            {
                Found::One(media) => Some(media.id),
                Found::Nothing => None,
                Found::Several => panic!("several"),
            }
        }
    };
    let to = |project: &str| ProjectSelector::Project(project.to_owned());
    let user = |projects| caller(projects, Role::User, "u");
    assert_eq!(find(user(&["a"]), ProjectSelector::Any).await, one(&a));
    assert_eq!(find(user(&["a"]), to("b")).await, one(&b), "it is public");
    assert_eq!(find(user(&["b"]), to("a")).await, None);
    assert_eq!(
        find(user(&[]), ProjectSelector::Any).await,
        one(&b),
        "the first public one"
    );
    assert_eq!(find(user(&["x"]), ProjectSelector::Unassigned).await, None);
    assert_eq!(find(Caller::Anonymous, ProjectSelector::Any).await, one(&b));
    assert_eq!(find(Caller::Anonymous, to("c")).await, one(&c));
    assert_eq!(find(Caller::Anonymous, to("a")).await, None);
    let admin = || caller(&[], Role::Admin, "root");
    assert_eq!(find(admin(), to("a")).await, one(&a));
    assert_eq!(find(admin(), ProjectSelector::Unassigned).await, one(&none));
    let scope = admin().media_read_scope();
    let found = repositories
        .medias
        .find(&path("r"), &scope, &ProjectSelector::Any)
        .await;
    assert_eq!(found.unwrap(), Found::Several);

    let ids = vec![a.id, b.id, c.id];
    let scope = user(&["a", "c"]).read_scope().unwrap();
    let found = repositories.medias.find_all(ids, &scope).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|media| media.id != b.id));
}

async fn a_user_replaces_and_deletes_only_its_own_media(database: Database) {
    let repositories = Repositories::open(&database);
    let (me, you) = (
        creator("a", Role::User, "me"),
        creator("a", Role::User, "you"),
    );
    let mine = publish(&repositories, &me, false).await.unwrap();
    let refused = publish(&repositories, &you, false).await;
    assert!(
        matches!(refused, Err(PublishError::Denied(Denied::NotOwn))),
        "{refused:?}"
    );
    assert!(
        repositories
            .medias
            .check_write(&path("r"), &you, &WritePrecondition::default())
            .await
            .is_err()
    );
    assert!(
        repositories
            .medias
            .check_write(&path("r"), &me, &WritePrecondition::default())
            .await
            .is_ok()
    );

    let delete = |caller: Caller| {
        let (repositories, scope) = (&repositories, caller.write_scope().unwrap());
        async move { repositories.medias.delete(mine.id, &scope).await }
    };
    let refused = delete(caller(&["a"], Role::User, "you")).await;
    assert!(
        matches!(refused, Err(DeleteError::Denied(Denied::NotOwn))),
        "{refused:?}"
    );
    let elsewhere = delete(caller(&["b"], Role::Service, "me")).await;
    assert!(!elsewhere.unwrap(), "another project does not find it");
    assert!(delete(caller(&["a"], Role::User, "me")).await.unwrap());
}

fn job(project: &str, resource: &str) -> NewJob {
    import_to(&path(resource)).with_creator(creator(project, Role::Service, "s"))
}

async fn a_unicity_applies_within_a_project(database: Database) {
    let repositories = Repositories::open(&database);
    let new = |project| job(project, "r").unicity(Some(Unicity::new("one").unwrap()));
    let create = |project| repositories.jobs.create(new(project));
    let Created::New(first) = create("a").await.unwrap() else {
        panic!("a job already existed");
    };
    assert!(matches!(create("b").await.unwrap(), Created::New(_)));
    assert_eq!(create("a").await.unwrap(), Created::Existing(first));
}

fn max_unfinished_jobs(repositories: &Repositories, max: u32) -> JobRepository {
    repositories.jobs.clone().max_unfinished_jobs(Some(max))
}

async fn unfinished_jobs_never_exceed_the_quota_of_a_project(database: Database) {
    let repositories = Repositories::open(&database);
    let jobs = max_unfinished_jobs(&repositories, 5);
    let creations = (0..20).map(|_| jobs.create(job("a", "r")));
    let created = join_all(creations).await;
    let refused = created
        .iter()
        .filter(|result| matches!(result, Err(JobError::TooManyUnfinished { limit: 5 })));
    assert_eq!(refused.count(), 15, "{created:?}");
    // The quota does not apply to other projects.
    assert!(jobs.create(job("b", "r")).await.is_ok());
    assert!(jobs.create(import_to(&path("r"))).await.is_ok());
    // A new job can be created for each job that ends.
    let claimed = loop {
        let claimed = jobs.claim(WorkerId::generate(), &KNOWN).await.unwrap();
        let claimed = claimed.expect("jobs of the project are pending");
        if claimed.job.project_id.as_deref() == Some("a") {
            break claimed;
        }
    };
    let gone = Failure::new(FailureCode::OriginGone, "gone");
    jobs.fail(claimed.lease, gone).await.unwrap();
    assert!(jobs.create(job("a", "r")).await.is_ok());
    assert!(jobs.create(job("a", "r")).await.is_err());
}

async fn a_retried_job_counts_towards_the_quota(database: Database) {
    let repositories = Repositories::open(&database);
    let jobs = max_unfinished_jobs(&repositories, 1);
    let unicity = || Some(Unicity::new("one").unwrap());
    let Created::New(first) = jobs.create(job("a", "r")).await.unwrap() else {
        panic!("a job already existed");
    };
    jobs.signal(first.id, Signal::Cancel).await.unwrap();
    let second = jobs.create(job("a", "r").unicity(unicity())).await.unwrap();
    assert!(matches!(second, Created::New(_)));
    let refused = jobs.signal(first.id, Signal::Retry).await;
    assert!(
        matches!(refused, Err(JobError::TooManyUnfinished { .. })),
        "{refused:?}"
    );
    let still = jobs.find(first.id).await.unwrap().unwrap();
    assert!(still.status.is_final());
    // Returning an existing job requires no quota.
    let again = jobs.create(job("a", "r").unicity(unicity())).await.unwrap();
    assert!(matches!(again, Created::Existing(_)));
}

/// A blob repository with a quota, and its store.
async fn limited(repositories: &Repositories) -> (TempDir, BlobRepository, Arc<dyn BlobStore>) {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let blobs = repositories
        .blobs
        .clone()
        .max_stored_bytes(Some(QUOTA_BYTES));
    (directory, blobs, Arc::new(store))
}

fn anything() -> Expectation {
    Expectation {
        max_bytes: 2 * QUOTA_BYTES,
        size: None,
        sha256: None,
        sha512: None,
        md5: None,
    }
}

/// Writes `size` bytes in chunks, without announcing the size.
async fn write(
    blobs: &BlobRepository,
    store: &Arc<dyn BlobStore>,
    size: usize,
) -> Result<BlobId, IngestError> {
    let owner = (BlobOwner::Upload, Some("a"));
    let mut ingest = Ingest::open(blobs, store, owner, anything(), None).await?;
    for chunk in Bytes::from(vec![7; size]).chunks(10_000) {
        if let Err(error) = ingest.write(Bytes::copy_from_slice(chunk)).await {
            ingest.abandon().await;
            return Err(error);
        }
    }
    Ok(ingest.finish().await?.blob_id)
}

async fn concurrent_writers_never_exceed_the_quota_of_a_project(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let writers = (0..60).map(|_| write(&blobs, &store, 70_000));
    let written = join_all(writers).await;
    let stored = written.iter().filter(|result| result.is_ok()).count();
    // Reservations refuse some writes that would have fit alone, but not most of them.
    let max = usize::try_from(QUOTA_BYTES).unwrap() / 70_000;
    assert!((max / 2..=max).contains(&stored), "{stored} were stored");
    for refused in written.iter().filter_map(|result| result.as_ref().err()) {
        assert!(
            matches!(refused, IngestError::OverQuota { limit: QUOTA_BYTES }),
            "{refused:?}"
        );
    }
    let counted = blobs.stored_bytes("a").await.unwrap();
    assert_eq!(
        counted,
        70_000 * stored as u64,
        "refused writes release their reservations"
    );
    // Sequential writes use the quota completely.
    while write(&blobs, &store, 70_000).await.is_ok() {}
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 70_000 * max as u64);
    let rest = QUOTA_BYTES - 70_000 * max as u64;
    write(&blobs, &store, usize::try_from(rest).unwrap())
        .await
        .unwrap();
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), QUOTA_BYTES);
    assert!(write(&blobs, &store, 1).await.is_err());
}

async fn an_announced_size_above_the_quota_is_refused_before_the_first_byte(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let open = |size| {
        let owner = (BlobOwner::Upload, Some("a"));
        Ingest::open(&blobs, &store, owner, anything(), Some(size))
    };
    let refused = open(QUOTA_BYTES + 1).await.err();
    assert!(
        matches!(refused, Some(IngestError::OverQuota { .. })),
        "{refused:?}"
    );
    let first = open(QUOTA_BYTES - 10).await.unwrap();
    assert!(
        open(11).await.is_err(),
        "the announced bytes of the first are reserved"
    );
    first.abandon().await;
    open(QUOTA_BYTES).await.unwrap();
    // There is no quota without a project.
    let owner = (BlobOwner::Upload, None);
    let unlimited = Ingest::open(&blobs, &store, owner, anything(), Some(2 * QUOTA_BYTES)).await;
    assert!(unlimited.is_ok());
}

async fn concurrent_small_writes_within_the_quota_all_succeed(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let owner = (BlobOwner::Upload, Some("a"));
    // Twelve concurrent writes of 70,000 bytes.
    let mut ingests = Vec::new();
    for _ in 0..12 {
        let mut ingest = Ingest::open(&blobs, &store, owner, anything(), None)
            .await
            .unwrap();
        ingest.write(Bytes::from(vec![7; 10_000])).await.unwrap();
        ingests.push(ingest);
    }
    for mut ingest in ingests {
        ingest.write(Bytes::from(vec![7; 60_000])).await.unwrap();
        ingest.finish().await.unwrap();
    }
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 12 * 70_000);
}

async fn the_project_that_published_first_keeps_a_public_path(database: Database) {
    let repositories = Repositories::open(&database);
    let of = |project: &str| creator(project, Role::Service, "s");
    let find = async |caller: Caller| {
        let (path, scope) = (path("r"), caller.media_read_scope());
        let found = repositories
            .medias
            .find(&path, &scope, &ProjectSelector::Any);
        match found.await.unwrap() {
            Found::One(media) => media.project_id.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    // The media of "b" is older, but was made public later.
    publish(&repositories, &of("b"), false).await.unwrap();
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("a"), true).await.unwrap();
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("b"), true).await.unwrap();
    assert_eq!(find(Caller::Anonymous).await, "a");
    assert_eq!(find(caller(&["b"], Role::User, "u")).await, "b");
    // A project keeps the path while its media stays public, and loses it otherwise.
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("a"), true).await.unwrap();
    assert_eq!(find(Caller::Anonymous).await, "a");
    publish(&repositories, &of("a"), false).await.unwrap();
    assert_eq!(find(Caller::Anonymous).await, "b");
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("a"), true).await.unwrap();
    assert_eq!(find(Caller::Anonymous).await, "b");
}

async fn bytes_count_towards_the_quota_until_they_are_garbage(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let of_a = creator("a", Role::Service, "s");
    let store_media = |size| {
        let (repositories, blobs, store, of_a) = (&repositories, &blobs, &store, &of_a);
        async move {
            let media = NewMedia {
                creator: of_a.clone(),
                ..new_media(path("r"), write(blobs, store, size).await.unwrap())
            };
            repositories.medias.publish(media).await.unwrap()
        }
    };
    store_media(400_000).await;
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 400_000);
    let media = store_media(500_000).await;
    assert_eq!(
        blobs.stored_bytes("a").await.unwrap(),
        500_000,
        "the previous media is replaced"
    );
    assert_eq!(blobs.stored_bytes("b").await.unwrap(), 0);
    let scope = Caller::Unrestricted.write_scope().unwrap();
    assert!(repositories.medias.delete(media.id, &scope).await.unwrap());
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 0);

    // The reservation of a failed writer is released by the collector, and only once.
    let owner = (BlobOwner::Upload, Some("a"));
    let ingest = Ingest::open(&blobs, &store, owner, anything(), Some(300_000)).await;
    drop(ingest.unwrap());
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 300_000);
    repositories
        .clock
        .advance(std::time::Duration::from_hours(1));
    for _ in 0..3 {
        collect(&blobs, &store).await.unwrap();
        repositories
            .clock
            .advance(std::time::Duration::from_hours(1));
    }
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 0);
    let public_only = MediaReadScope {
        projects: ReadScope::Projects(Vec::new()),
        public: true,
    };
    let found = repositories
        .medias
        .find(&path("r"), &public_only, &ProjectSelector::Any)
        .await;
    assert_eq!(found.unwrap(), Found::Nothing);
}

async fn claims_are_fair_between_projects_and_ordered_by_priority_within_a_project(
    database: Database,
) {
    let repositories = Repositories::open(&database);
    let create = async |project: &str, name: &str, priority: i64| {
        let job = import_to(&path(name))
            .with_creator(creator(project, Role::Service, "s"))
            .priority(Priority::new(priority).unwrap());
        repositories.jobs.create(job).await.unwrap();
    };
    for n in 0..40 {
        create("many", &format!("m{n}"), 100).await;
    }
    let claims = repositories.jobs.claims(WorkerId::generate(), &KNOWN);
    let any = SlotUse::AnyProject;
    let claim = async |slot_use| {
        let claimed = claims.next(slot_use).await.unwrap()?;
        Some(
            claimed.job.arguments["resource"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    };
    for n in 0..8 {
        assert_eq!(
            claim(any).await,
            Some(format!("m{n}")),
            "the only project gets all slots"
        );
    }
    // The jobs of the other projects have lower priorities.
    for (name, priority) in [("low", -100), ("high", -98), ("middle", -99)] {
        create("few", name, priority).await;
    }
    create("", "no project", -100).await;
    // A reserved slot is for projects with few running jobs.
    let reserved = SlotUse::FewerRunningThan(1);
    let mut first = [
        claim(reserved).await.unwrap(),
        claim(reserved).await.unwrap(),
    ];
    first.sort();
    assert_eq!(first, ["high", "no project"]);
    assert_eq!(claim(reserved).await, None);
    assert_eq!(claim(any).await.as_deref(), Some("middle"));
    assert_eq!(claim(any).await.as_deref(), Some("low"));
    assert_eq!(claim(any).await.as_deref(), Some("m8"));
}
