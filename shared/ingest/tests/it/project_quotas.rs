//! Projects apart from each other, and within their limits however many write at once.

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
use media_ingest::collector::collect;
use media_ingest::{Expectation, Ingest, IngestError};
use media_storage::{BlobStore, disk::DiskStore};
use tempfile::TempDir;

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, Repositories, import_to, new_media, path},
};

on_every_database!(
    names_are_each_projects_own,
    a_user_replaces_and_deletes_its_own_media_alone,
    a_unicity_is_held_within_a_project,
    open_jobs_never_exceed_what_a_project_may_have,
    a_job_that_is_open_again_needs_room,
    no_number_of_writers_stores_more_than_a_project_may,
    what_is_announced_and_cannot_fit_is_refused_before_its_first_byte,
    small_ones_that_fit_together_do_not_keep_each_other_out,
    who_was_public_first_stays_at_a_path_that_the_public_knows,
    bytes_count_until_nothing_needs_them,
    claims_are_fair_by_project_and_exact_by_priority_within_one,
);

const LIMIT: u64 = 1_000_000;

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

async fn names_are_each_projects_own(database: Database) {
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
    let seen = |caller: Caller, belonging: ProjectSelector| {
        let repositories = &repositories;
        async move {
            let sight = caller.media_read_scope();
            match repositories
                .medias
                .find(&path("r"), &sight, &belonging)
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
    assert_eq!(seen(user(&["a"]), ProjectSelector::Any).await, one(&a));
    assert_eq!(seen(user(&["a"]), to("b")).await, one(&b), "it is public");
    assert_eq!(seen(user(&["b"]), to("a")).await, None);
    assert_eq!(
        seen(user(&[]), ProjectSelector::Any).await,
        one(&b),
        "the first public one"
    );
    assert_eq!(seen(user(&["x"]), ProjectSelector::Unassigned).await, None);
    assert_eq!(seen(Caller::Anonymous, ProjectSelector::Any).await, one(&b));
    assert_eq!(seen(Caller::Anonymous, to("c")).await, one(&c));
    assert_eq!(seen(Caller::Anonymous, to("a")).await, None);
    let admin = || caller(&[], Role::Admin, "root");
    assert_eq!(seen(admin(), to("a")).await, one(&a));
    assert_eq!(seen(admin(), ProjectSelector::Unassigned).await, one(&none));
    let sight = admin().media_read_scope();
    let found = repositories
        .medias
        .find(&path("r"), &sight, &ProjectSelector::Any)
        .await;
    assert_eq!(found.unwrap(), Found::Several);

    let ids = vec![a.id, b.id, c.id];
    let sight = user(&["a", "c"]).read_scope().unwrap();
    let found = repositories.medias.find_all(ids, &sight).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|media| media.id != b.id));
}

async fn a_user_replaces_and_deletes_its_own_media_alone(database: Database) {
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
        let (repositories, reach) = (&repositories, caller.write_scope().unwrap());
        async move { repositories.medias.delete(mine.id, &reach).await }
    };
    let refused = delete(caller(&["a"], Role::User, "you")).await;
    assert!(
        matches!(refused, Err(DeleteError::Denied(Denied::NotOwn))),
        "{refused:?}"
    );
    let elsewhere = delete(caller(&["b"], Role::Service, "me")).await;
    assert!(!elsewhere.unwrap(), "it is not there for another project");
    assert!(delete(caller(&["a"], Role::User, "me")).await.unwrap());
}

fn job(project: &str, resource: &str) -> NewJob {
    import_to(&path(resource)).with_creator(creator(project, Role::Service, "s"))
}

async fn a_unicity_is_held_within_a_project(database: Database) {
    let repositories = Repositories::open(&database);
    let new = |project| job(project, "r").unicity(Some(Unicity::new("one").unwrap()));
    let create = |project| repositories.jobs.create(new(project));
    let Created::New(first) = create("a").await.unwrap() else {
        panic!("nothing was there");
    };
    assert!(matches!(create("b").await.unwrap(), Created::New(_)));
    assert_eq!(create("a").await.unwrap(), Created::Existing(first));
}

fn max_unfinished_jobs(repositories: &Repositories, most: u32) -> JobRepository {
    repositories.jobs.clone().max_unfinished_jobs(Some(most))
}

async fn open_jobs_never_exceed_what_a_project_may_have(database: Database) {
    let repositories = Repositories::open(&database);
    let jobs = max_unfinished_jobs(&repositories, 5);
    let entering = (0..20).map(|_| jobs.create(job("a", "r")));
    let created = join_all(entering).await;
    let refused = created
        .iter()
        .filter(|result| matches!(result, Err(JobError::TooManyUnfinished { limit: 5 })));
    assert_eq!(refused.count(), 15, "{created:?}");
    // Others are not concerned.
    assert!(jobs.create(job("b", "r")).await.is_ok());
    assert!(jobs.create(import_to(&path("r"))).await.is_ok());
    // One that ends makes room for one.
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

async fn a_job_that_is_open_again_needs_room(database: Database) {
    let repositories = Repositories::open(&database);
    let jobs = max_unfinished_jobs(&repositories, 1);
    let unicity = || Some(Unicity::new("one").unwrap());
    let Created::New(first) = jobs.create(job("a", "r")).await.unwrap() else {
        panic!("nothing was there");
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
    // What is there already needs no room.
    let again = jobs.create(job("a", "r").unicity(unicity())).await.unwrap();
    assert!(matches!(again, Created::Existing(_)));
}

/// A repository of blobs with a limit, and where the bytes are.
async fn limited(repositories: &Repositories) -> (TempDir, BlobRepository, Arc<dyn BlobStore>) {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let blobs = repositories.blobs.clone().max_stored_bytes(Some(LIMIT));
    (directory, blobs, Arc::new(store))
}

fn anything() -> Expectation {
    Expectation {
        max_bytes: 2 * LIMIT,
        size: None,
        sha256: None,
        sha512: None,
        md5: None,
    }
}

/// Writes so many bytes in pieces; nobody has said how many.
async fn write(
    blobs: &BlobRepository,
    store: &Arc<dyn BlobStore>,
    size: usize,
) -> Result<BlobId, IngestError> {
    let owner = (BlobOwner::Upload, Some("a"));
    let mut ingest = Ingest::open(blobs, store, owner, anything(), None).await?;
    for piece in Bytes::from(vec![7; size]).chunks(10_000) {
        if let Err(error) = ingest.write(Bytes::copy_from_slice(piece)).await {
            ingest.abandon().await;
            return Err(error);
        }
    }
    Ok(ingest.finish().await?.blob_id)
}

async fn no_number_of_writers_stores_more_than_a_project_may(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let writers = (0..60).map(|_| write(&blobs, &store, 70_000));
    let written = join_all(writers).await;
    let kept = written.iter().filter(|result| result.is_ok()).count();
    // What is counted ahead keeps some out that would have fitted alone, but not most of them.
    let most = usize::try_from(LIMIT).unwrap() / 70_000;
    assert!((most / 2..=most).contains(&kept), "{kept} were kept");
    for refused in written.iter().filter_map(|result| result.as_ref().err()) {
        assert!(
            matches!(refused, IngestError::OverQuota { limit: LIMIT }),
            "{refused:?}"
        );
    }
    let counted = blobs.stored_bytes("a").await.unwrap();
    assert_eq!(
        counted,
        70_000 * kept as u64,
        "what was refused is given back"
    );
    // One after the other, they fill it to the last that fits.
    while write(&blobs, &store, 70_000).await.is_ok() {}
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 70_000 * most as u64);
    let rest = LIMIT - 70_000 * most as u64;
    write(&blobs, &store, usize::try_from(rest).unwrap())
        .await
        .unwrap();
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), LIMIT);
    assert!(write(&blobs, &store, 1).await.is_err());
}

async fn what_is_announced_and_cannot_fit_is_refused_before_its_first_byte(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let open = |size| {
        let owner = (BlobOwner::Upload, Some("a"));
        Ingest::open(&blobs, &store, owner, anything(), Some(size))
    };
    let refused = open(LIMIT + 1).await.err();
    assert!(
        matches!(refused, Some(IngestError::OverQuota { .. })),
        "{refused:?}"
    );
    let first = open(LIMIT - 10).await.unwrap();
    assert!(
        open(11).await.is_err(),
        "the bytes of the first are counted before they come"
    );
    first.abandon().await;
    open(LIMIT).await.unwrap();
    // Without a project there is no limit.
    let owner = (BlobOwner::Upload, None);
    let free = Ingest::open(&blobs, &store, owner, anything(), Some(2 * LIMIT)).await;
    assert!(free.is_ok());
}

async fn small_ones_that_fit_together_do_not_keep_each_other_out(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let owner = (BlobOwner::Upload, Some("a"));
    // Twelve of 70,000 bytes, all half done at the same time.
    let mut intakes = Vec::new();
    for _ in 0..12 {
        let mut ingest = Ingest::open(&blobs, &store, owner, anything(), None)
            .await
            .unwrap();
        ingest.write(Bytes::from(vec![7; 10_000])).await.unwrap();
        intakes.push(ingest);
    }
    for mut ingest in intakes {
        ingest.write(Bytes::from(vec![7; 60_000])).await.unwrap();
        ingest.finish().await.unwrap();
    }
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 12 * 70_000);
}

async fn who_was_public_first_stays_at_a_path_that_the_public_knows(database: Database) {
    let repositories = Repositories::open(&database);
    let of = |project: &str| creator(project, Role::Service, "s");
    let seen = async |caller: Caller| {
        let (path, sight) = (path("r"), caller.media_read_scope());
        let found = repositories
            .medias
            .find(&path, &sight, &ProjectSelector::Any);
        match found.await.unwrap() {
            Found::One(media) => media.project_id.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    // ResumeLocation in private before anybody else was there, and published after.
    publish(&repositories, &of("b"), false).await.unwrap();
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("a"), true).await.unwrap();
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("b"), true).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "a");
    assert_eq!(seen(caller(&["b"], Role::User, "u")).await, "b");
    // Whoever goes on publishing keeps its place, whoever stops loses it.
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("a"), true).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "a");
    publish(&repositories, &of("a"), false).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "b");
    repositories
        .clock
        .advance(std::time::Duration::from_secs(1));
    publish(&repositories, &of("a"), true).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "b");
}

async fn bytes_count_until_nothing_needs_them(database: Database) {
    let repositories = Repositories::open(&database);
    let (_directory, blobs, store) = limited(&repositories).await;
    let of_a = creator("a", Role::Service, "s");
    let keep = |size| {
        let (repositories, blobs, store, of_a) = (&repositories, &blobs, &store, &of_a);
        async move {
            let media = NewMedia {
                creator: of_a.clone(),
                ..new_media(path("r"), write(blobs, store, size).await.unwrap())
            };
            repositories.medias.publish(media).await.unwrap()
        }
    };
    keep(400_000).await;
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 400_000);
    let media = keep(500_000).await;
    assert_eq!(
        blobs.stored_bytes("a").await.unwrap(),
        500_000,
        "the one before is replaced"
    );
    assert_eq!(blobs.stored_bytes("b").await.unwrap(), 0);
    let reach = Caller::Unrestricted.write_scope().unwrap();
    assert!(repositories.medias.delete(media.id, &reach).await.unwrap());
    assert_eq!(blobs.stored_bytes("a").await.unwrap(), 0);

    // A writer that is gone gives its bytes back when the collector finds out, and once only.
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
    let nobody = MediaReadScope {
        projects: ReadScope::Projects(Vec::new()),
        public: true,
    };
    let found = repositories
        .medias
        .find(&path("r"), &nobody, &ProjectSelector::Any)
        .await;
    assert_eq!(found.unwrap(), Found::Nothing);
}

async fn claims_are_fair_by_project_and_exact_by_priority_within_one(database: Database) {
    let repositories = Repositories::open(&database);
    let enter = async |project: &str, name: &str, priority: i64| {
        let job = import_to(&path(name))
            .with_creator(creator(project, Role::Service, "s"))
            .priority(Priority::new(priority).unwrap());
        repositories.jobs.create(job).await.unwrap();
    };
    for n in 0..40 {
        enter("many", &format!("m{n}"), 100).await;
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
            "alone, it has all slots"
        );
    }
    // None of them is more urgent.
    for (name, priority) in [("low", -100), ("high", -98), ("middle", -99)] {
        enter("few", name, priority).await;
    }
    enter("", "no project", -100).await;
    // A slot that is reserved is for projects that run little.
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
