//! Projects apart from each other, and within their limits however many write at once.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use media_shared::{
    access::{Belonging, Denied, MediaSight, Sight},
    blob_ledger::{BlobLedger, BlobOwner},
    blob_store::{BlobStore, disk::DiskStore},
    caller::{Caller, Principal, Role, Scope},
    database::Database,
    entities::media,
    ids::{BlobId, WorkerId},
    intake::{Expectation, Intake, IntakeError},
    job::{Failure, FailureCode, Priority, Signal, Unicity},
    job_ledger::{Created, JobLedger, LedgerError, NewJob, SlotUse},
    media::WritePrecondition,
    media_ledger::{Creator, DeleteError, Found, NewMedia, PublishError},
};
use tempfile::TempDir;

use crate::ledgers::{KNOWN, Ledgers, import_to, new_media, on_every_database, path};

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
        created_role: Some(role.as_str().to_owned()),
        project_id: Some(project.to_owned()),
    }
}

fn caller(projects: &[&str], role: Role, name: &str) -> Caller {
    Caller::Known(Principal {
        subject: name.to_owned(),
        role,
        projects: projects.iter().map(|&name| name.to_owned()).collect(),
        scope: Scope::ALL,
        expires: i64::MAX,
    })
}

async fn publish(
    ledgers: &Ledgers,
    creator: &Creator,
    public: bool,
) -> Result<media::Model, PublishError> {
    let project = creator.project_id.as_deref();
    let staged = ledgers.blobs.stage(BlobOwner::Upload, project).await;
    let media = NewMedia {
        creator: creator.clone(),
        public,
        ..new_media(path("r"), staged.unwrap().id)
    };
    ledgers.medias.publish(media).await
}

async fn names_are_each_projects_own(database: Database) {
    let ledgers = Ledgers::open(&database);
    let of = |project: &str| creator(project, Role::Service, "s");
    let a = publish(&ledgers, &of("a"), false).await.unwrap();
    let b = publish(&ledgers, &of("b"), true).await.unwrap();
    let c = publish(&ledgers, &of("c"), true).await.unwrap();
    let none = publish(&ledgers, &Creator::default(), false).await.unwrap();
    assert_eq!(publish(&ledgers, &of("a"), false).await.unwrap().id, a.id);

    let one = |media: &media::Model| Some(media.id);
    let seen = |caller: Caller, belonging: Belonging| {
        let ledgers = &ledgers;
        async move {
            let sight = caller.sees_media();
            match ledgers
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
    let to = |project: &str| Belonging::To(project.to_owned());
    let user = |projects| caller(projects, Role::User, "u");
    assert_eq!(seen(user(&["a"]), Belonging::Any).await, one(&a));
    assert_eq!(seen(user(&["a"]), to("b")).await, one(&b), "it is public");
    assert_eq!(seen(user(&["b"]), to("a")).await, None);
    assert_eq!(
        seen(user(&[]), Belonging::Any).await,
        one(&b),
        "the first public one"
    );
    assert_eq!(seen(user(&["x"]), Belonging::ToNone).await, None);
    assert_eq!(seen(Caller::Anonymous, Belonging::Any).await, one(&b));
    assert_eq!(seen(Caller::Anonymous, to("c")).await, one(&c));
    assert_eq!(seen(Caller::Anonymous, to("a")).await, None);
    let admin = || caller(&[], Role::Admin, "root");
    assert_eq!(seen(admin(), to("a")).await, one(&a));
    assert_eq!(seen(admin(), Belonging::ToNone).await, one(&none));
    let sight = admin().sees_media();
    let found = ledgers
        .medias
        .find(&path("r"), &sight, &Belonging::Any)
        .await;
    assert_eq!(found.unwrap(), Found::Several);

    let ids = vec![a.id, b.id, c.id];
    let sight = user(&["a", "c"]).sees().unwrap();
    let found = ledgers.medias.find_all(ids, &sight).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|media| media.id != b.id));
}

async fn a_user_replaces_and_deletes_its_own_media_alone(database: Database) {
    let ledgers = Ledgers::open(&database);
    let (me, you) = (
        creator("a", Role::User, "me"),
        creator("a", Role::User, "you"),
    );
    let mine = publish(&ledgers, &me, false).await.unwrap();
    let refused = publish(&ledgers, &you, false).await;
    assert!(
        matches!(refused, Err(PublishError::Denied(Denied::NotOwn))),
        "{refused:?}"
    );
    assert!(
        ledgers
            .medias
            .check_place(&path("r"), &you, &WritePrecondition::default())
            .await
            .is_err()
    );
    assert!(
        ledgers
            .medias
            .check_place(&path("r"), &me, &WritePrecondition::default())
            .await
            .is_ok()
    );

    let delete = |caller: Caller| {
        let (ledgers, reach) = (&ledgers, caller.reaches().unwrap());
        async move { ledgers.medias.delete(mine.id, &reach).await }
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
    import_to(&path(resource)).creator(creator(project, Role::Service, "s"))
}

async fn a_unicity_is_held_within_a_project(database: Database) {
    let ledgers = Ledgers::open(&database);
    let new = |project| job(project, "r").unicity(Some(Unicity::new("one").unwrap()));
    let create = |project| ledgers.jobs.create(new(project));
    let Created::New(first) = create("a").await.unwrap() else {
        panic!("nothing was there");
    };
    assert!(matches!(create("b").await.unwrap(), Created::New(_)));
    assert_eq!(create("a").await.unwrap(), Created::Existing(first));
}

fn open_jobs(ledgers: &Ledgers, most: u32) -> JobLedger {
    ledgers.jobs.clone().most_open(Some(most))
}

async fn open_jobs_never_exceed_what_a_project_may_have(database: Database) {
    let ledgers = Ledgers::open(&database);
    let jobs = open_jobs(&ledgers, 5);
    let entering = (0..20).map(|_| jobs.create(job("a", "r")));
    let created = join_all(entering).await;
    let refused = created
        .iter()
        .filter(|result| matches!(result, Err(LedgerError::TooManyOpen { limit: 5 })));
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
    let ledgers = Ledgers::open(&database);
    let jobs = open_jobs(&ledgers, 1);
    let unicity = || Some(Unicity::new("one").unwrap());
    let Created::New(first) = jobs.create(job("a", "r")).await.unwrap() else {
        panic!("nothing was there");
    };
    jobs.signal(first.id, Signal::Cancel).await.unwrap();
    let second = jobs.create(job("a", "r").unicity(unicity())).await.unwrap();
    assert!(matches!(second, Created::New(_)));
    let refused = jobs.signal(first.id, Signal::Retry).await;
    assert!(
        matches!(refused, Err(LedgerError::TooManyOpen { .. })),
        "{refused:?}"
    );
    let still = jobs.find(first.id).await.unwrap().unwrap();
    assert!(still.status.is_final());
    // What is there already needs no room.
    let again = jobs.create(job("a", "r").unicity(unicity())).await.unwrap();
    assert!(matches!(again, Created::Existing(_)));
}

/// A ledger of blobs with a limit, and where the bytes are.
async fn limited(ledgers: &Ledgers) -> (TempDir, BlobLedger, Arc<dyn BlobStore>) {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let blobs = ledgers.blobs.clone().most_stored(Some(LIMIT));
    (directory, blobs, Arc::new(store))
}

fn anything() -> Expectation {
    Expectation {
        max_bytes: 2 * LIMIT,
        size: None,
        sha256: None,
    }
}

/// Writes so many bytes in pieces; nobody has said how many.
async fn write(
    blobs: &BlobLedger,
    store: &Arc<dyn BlobStore>,
    size: usize,
) -> Result<BlobId, IntakeError> {
    let owner = (BlobOwner::Upload, Some("a"));
    let mut intake = Intake::open(blobs, store, owner, anything(), None).await?;
    for piece in Bytes::from(vec![7; size]).chunks(10_000) {
        if let Err(error) = intake.write(Bytes::copy_from_slice(piece)).await {
            intake.abandon().await;
            return Err(error);
        }
    }
    Ok(intake.seal().await?.blob_id)
}

async fn no_number_of_writers_stores_more_than_a_project_may(database: Database) {
    let ledgers = Ledgers::open(&database);
    let (_directory, blobs, store) = limited(&ledgers).await;
    let writers = (0..60).map(|_| write(&blobs, &store, 70_000));
    let written = join_all(writers).await;
    let kept = written.iter().filter(|result| result.is_ok()).count();
    // What is counted ahead keeps some out that would have fitted alone, but not most of them.
    let most = usize::try_from(LIMIT).unwrap() / 70_000;
    assert!((most / 2..=most).contains(&kept), "{kept} were kept");
    for refused in written.iter().filter_map(|result| result.as_ref().err()) {
        assert!(
            matches!(refused, IntakeError::OverQuota { limit: LIMIT }),
            "{refused:?}"
        );
    }
    let counted = blobs.stored_by("a").await.unwrap();
    assert_eq!(
        counted,
        70_000 * kept as u64,
        "what was refused is given back"
    );
    // One after the other, they fill it to the last that fits.
    while write(&blobs, &store, 70_000).await.is_ok() {}
    assert_eq!(blobs.stored_by("a").await.unwrap(), 70_000 * most as u64);
    let rest = LIMIT - 70_000 * most as u64;
    write(&blobs, &store, usize::try_from(rest).unwrap())
        .await
        .unwrap();
    assert_eq!(blobs.stored_by("a").await.unwrap(), LIMIT);
    assert!(write(&blobs, &store, 1).await.is_err());
}

async fn what_is_announced_and_cannot_fit_is_refused_before_its_first_byte(database: Database) {
    let ledgers = Ledgers::open(&database);
    let (_directory, blobs, store) = limited(&ledgers).await;
    let open = |size| {
        let owner = (BlobOwner::Upload, Some("a"));
        Intake::open(&blobs, &store, owner, anything(), Some(size))
    };
    let refused = open(LIMIT + 1).await.err();
    assert!(
        matches!(refused, Some(IntakeError::OverQuota { .. })),
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
    let free = Intake::open(&blobs, &store, owner, anything(), Some(2 * LIMIT)).await;
    assert!(free.is_ok());
}

async fn small_ones_that_fit_together_do_not_keep_each_other_out(database: Database) {
    let ledgers = Ledgers::open(&database);
    let (_directory, blobs, store) = limited(&ledgers).await;
    let owner = (BlobOwner::Upload, Some("a"));
    // Twelve of 70,000 bytes, all half done at the same time.
    let mut intakes = Vec::new();
    for _ in 0..12 {
        let mut intake = Intake::open(&blobs, &store, owner, anything(), None)
            .await
            .unwrap();
        intake.write(Bytes::from(vec![7; 10_000])).await.unwrap();
        intakes.push(intake);
    }
    for mut intake in intakes {
        intake.write(Bytes::from(vec![7; 60_000])).await.unwrap();
        intake.seal().await.unwrap();
    }
    assert_eq!(blobs.stored_by("a").await.unwrap(), 12 * 70_000);
}

async fn who_was_public_first_stays_at_a_path_that_the_public_knows(database: Database) {
    let ledgers = Ledgers::open(&database);
    let of = |project: &str| creator(project, Role::Service, "s");
    let seen = async |caller: Caller| {
        let (path, sight) = (path("r"), caller.sees_media());
        let found = ledgers.medias.find(&path, &sight, &Belonging::Any);
        match found.await.unwrap() {
            Found::One(media) => media.project_id.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    // Kept in private before anybody else was there, and published after.
    publish(&ledgers, &of("b"), false).await.unwrap();
    ledgers.clock.advance(std::time::Duration::from_secs(1));
    publish(&ledgers, &of("a"), true).await.unwrap();
    ledgers.clock.advance(std::time::Duration::from_secs(1));
    publish(&ledgers, &of("b"), true).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "a");
    assert_eq!(seen(caller(&["b"], Role::User, "u")).await, "b");
    // Whoever goes on publishing keeps its place, whoever stops loses it.
    ledgers.clock.advance(std::time::Duration::from_secs(1));
    publish(&ledgers, &of("a"), true).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "a");
    publish(&ledgers, &of("a"), false).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "b");
    ledgers.clock.advance(std::time::Duration::from_secs(1));
    publish(&ledgers, &of("a"), true).await.unwrap();
    assert_eq!(seen(Caller::Anonymous).await, "b");
}

async fn bytes_count_until_nothing_needs_them(database: Database) {
    let ledgers = Ledgers::open(&database);
    let (_directory, blobs, store) = limited(&ledgers).await;
    let of_a = creator("a", Role::Service, "s");
    let keep = |size| {
        let (ledgers, blobs, store, of_a) = (&ledgers, &blobs, &store, &of_a);
        async move {
            let media = NewMedia {
                creator: of_a.clone(),
                ..new_media(path("r"), write(blobs, store, size).await.unwrap())
            };
            ledgers.medias.publish(media).await.unwrap()
        }
    };
    keep(400_000).await;
    assert_eq!(blobs.stored_by("a").await.unwrap(), 400_000);
    let media = keep(500_000).await;
    assert_eq!(
        blobs.stored_by("a").await.unwrap(),
        500_000,
        "the one before is replaced"
    );
    assert_eq!(blobs.stored_by("b").await.unwrap(), 0);
    let reach = Caller::Trusted.reaches().unwrap();
    assert!(ledgers.medias.delete(media.id, &reach).await.unwrap());
    assert_eq!(blobs.stored_by("a").await.unwrap(), 0);

    // A writer that is gone gives its bytes back when the collector finds out, and once only.
    let owner = (BlobOwner::Upload, Some("a"));
    let intake = Intake::open(&blobs, &store, owner, anything(), Some(300_000)).await;
    drop(intake.unwrap());
    assert_eq!(blobs.stored_by("a").await.unwrap(), 300_000);
    ledgers.clock.advance(std::time::Duration::from_hours(1));
    for _ in 0..3 {
        blobs.collect(&store).await.unwrap();
        ledgers.clock.advance(std::time::Duration::from_hours(1));
    }
    assert_eq!(blobs.stored_by("a").await.unwrap(), 0);
    let nobody = MediaSight {
        projects: Sight::Projects(Vec::new()),
        public: true,
    };
    let found = ledgers
        .medias
        .find(&path("r"), &nobody, &Belonging::Any)
        .await;
    assert_eq!(found.unwrap(), Found::Nothing);
}

async fn claims_are_fair_by_project_and_exact_by_priority_within_one(database: Database) {
    let ledgers = Ledgers::open(&database);
    let enter = async |project: &str, name: &str, priority: i64| {
        let job = import_to(&path(name))
            .creator(creator(project, Role::Service, "s"))
            .priority(Priority::new(priority).unwrap());
        ledgers.jobs.create(job).await.unwrap();
    };
    for n in 0..40 {
        enter("many", &format!("m{n}"), 100).await;
    }
    let claims = ledgers.jobs.claims(WorkerId::generate(), &KNOWN);
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
