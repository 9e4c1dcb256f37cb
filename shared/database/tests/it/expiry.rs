//! Expired media is gone for readers at once, and is deleted in bounded turns.

use std::time::Duration;

use media_database::{
    Database,
    media_repository::{EXPIRY_BATCH, Found, NewMedia},
    pagination::{ListRequest, PageSize, PageStart, SortKey},
};
use media_domain::{
    blob::BlobOwner,
    caller::{Caller, Creator},
    media::WritePrecondition,
    permissions::{MediaReadScope, ProjectSelector, ReadScope},
};
use media_testkit::{
    on_every_database,
    repositories::{Repositories, new_media, path},
};
use sea_orm::{Condition, ConnectionTrait as _, DatabaseBackend, Statement};

on_every_database!(
    an_expired_media_is_gone_for_every_reader,
    a_new_media_at_the_place_of_an_expired_one_is_another,
    expired_media_is_deleted_in_turns_and_its_quota_returned,
);

const PROJECT: &str = "p";
const SECOND: Duration = Duration::from_secs(1);

/// Stages a media of the project that expires after a time.
async fn expiring(
    repositories: &Repositories,
    resource: &str,
    after: Option<Duration>,
) -> NewMedia {
    let blob = repositories
        .blobs
        .stage(BlobOwner::Upload, Some(PROJECT))
        .await;
    let blob = blob.unwrap();
    repositories.blobs.reserve(&blob, 4).await.unwrap();
    NewMedia {
        creator: Creator {
            project_id: Some(PROJECT.to_owned()),
            ..Creator::default()
        },
        public: true,
        expires_at: after.map(|after| repositories.clock.now() + after),
        ..new_media(path(resource), blob.id)
    }
}

fn all() -> ListRequest<media_database::entities::media::Column> {
    ListRequest {
        filter: Condition::all(),
        groups: None,
        by_range: false,
        expiry: None,
        order: vec![SortKey {
            column: media_database::entities::media::Column::Id,
            descending: false,
            nullable: false,
        }],
        start: PageStart::Number(1),
        size: PageSize::MAX,
        count: true,
    }
}

async fn listed(repositories: &Repositories) -> (usize, Option<u64>) {
    let page = repositories.medias.list(all()).await.unwrap();
    (page.items.len(), page.total)
}

async fn an_expired_media_is_gone_for_every_reader(database: Database) {
    let repositories = Repositories::open(&database);
    let medias = &repositories.medias;
    let new = expiring(&repositories, "r", Some(SECOND)).await;
    let media = medias.publish(new).await.unwrap();
    let stays = expiring(&repositories, "stays", None).await;
    medias.publish(stays).await.unwrap();
    let scopes = [
        (ReadScope::All, false),
        (ReadScope::Projects(vec![PROJECT.to_owned()]), false),
        (ReadScope::Projects(Vec::new()), true),
    ]
    .map(|(projects, public)| MediaReadScope { projects, public });
    let scope = Caller::Unrestricted.write_scope().unwrap();
    for is_gone in [false, true] {
        for scope in &scopes {
            // The second time from the cache.
            for _ in 0..2 {
                let found = medias.find(&path("r"), scope, &ProjectSelector::Any).await;
                assert_eq!(found.unwrap() == Found::Nothing, is_gone, "{scope:?}");
            }
        }
        assert_eq!(
            medias.find_by_id(media.id).await.unwrap().is_none(),
            is_gone
        );
        assert_eq!(
            medias
                .find_in(&path("r"), Some(PROJECT))
                .await
                .unwrap()
                .is_none(),
            is_gone
        );
        let included = medias
            .find_all(vec![media.id], &ReadScope::All)
            .await
            .unwrap();
        assert_eq!(included.is_empty(), is_gone);
        let count = if is_gone { 1 } else { 2 };
        assert_eq!(listed(&repositories).await, (count, Some(count as u64)));
        repositories.clock.advance(SECOND);
    }
    assert!(!medias.delete(media.id, &scope).await.unwrap());
}

async fn a_new_media_at_the_place_of_an_expired_one_is_another(database: Database) {
    let repositories = Repositories::open(&database);
    let medias = &repositories.medias;
    let new = expiring(&repositories, "r", Some(SECOND)).await;
    let first = medias.publish(new).await.unwrap();
    repositories.clock.advance(SECOND);
    let is_free = WritePrecondition::if_absent();
    let new = expiring(&repositories, "r", None).await;
    let second = medias.publish_if(new, is_free.clone()).await.unwrap();
    assert_ne!((first.id, first.created_at), (second.id, second.created_at));
    let new = expiring(&repositories, "r", None).await;
    assert!(medias.publish_if(new, is_free).await.is_err());
    assert_eq!(repositories.blobs.stored_bytes(PROJECT).await.unwrap(), 8);
}

async fn expired_media_is_deleted_in_turns_and_its_quota_returned(database: Database) {
    let repositories = Repositories::open(&database);
    let medias = &repositories.medias;
    assert_eq!(medias.delete_expired().await.unwrap(), 0);
    let kept = expiring(&repositories, "kept", Some(SECOND * 2)).await;
    medias.publish(kept).await.unwrap();
    let sample = expiring(&repositories, "sample", Some(SECOND)).await;
    medias.publish(sample).await.unwrap();
    // Two turns and a bit, in two statements.
    let more = EXPIRY_BATCH * 2;
    let (series, id) = match database.backend() {
        DatabaseBackend::Postgres => (
            format!("generate_series(1, {more}) AS series(n)"),
            "(lpad(to_hex(n), 8, '0') || '000070008000000000000000')::uuid",
        ),
        _ => (
            format!(
                "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {more}) \
                  SELECT n FROM c)"
            ),
            "unhex(printf('%08x', n) || '000070008000000000000000')",
        ),
    };
    let blobs = format!(
        "INSERT INTO blobs (id, storage_key, status, project_id, charged, created_at, updated_at) \
         SELECT {id}, 'x' || n, 'live', '{PROJECT}', 4, b.created_at, b.created_at \
         FROM {series}, blobs b WHERE b.id = (SELECT blob_id FROM medias WHERE resource = 'sample')"
    );
    let rows = format!(
        "INSERT INTO medias (id, resource, filename, size, mime_type, sha256, public, project_id, blob_id, \
           expires_at, created_at, updated_at) \
         SELECT {id}, 'x' || n, 'f', 4, m.mime_type, m.sha256, m.public, m.project_id, {id}, \
           m.expires_at, m.created_at, m.updated_at \
         FROM {series}, medias m WHERE m.resource = 'sample'"
    );
    let usage = format!(
        "UPDATE project_usage SET stored_bytes = stored_bytes + {}",
        4 * more
    );
    for sql in [blobs, rows, usage] {
        let statement = Statement::from_string(database.backend(), sql);
        database
            .transaction::<_, sea_orm::DbErr>(move |transaction| {
                let statement = statement.clone();
                Box::pin(async move { transaction.execute_raw(statement).await.map(drop) })
            })
            .await
            .unwrap();
    }
    assert_eq!(medias.delete_expired().await.unwrap(), 0);
    repositories.clock.advance(SECOND);
    let (one, other) = (medias.clone(), medias.clone());
    let (one, other) = tokio::join!(one.delete_expired(), other.delete_expired());
    let mut deleted = one.unwrap() + other.unwrap();
    while deleted < more + 1 {
        let turn = medias.delete_expired().await.unwrap();
        assert!((1..=EXPIRY_BATCH).contains(&turn), "{turn}");
        deleted += turn;
    }
    assert_eq!(
        (deleted, medias.delete_expired().await.unwrap()),
        (more + 1, 0)
    );
    assert_eq!(listed(&repositories).await, (1, Some(1)));
    assert_eq!(repositories.blobs.stored_bytes(PROJECT).await.unwrap(), 4);
    assert_eq!(repositories.blobs_by_status().await, [0, 1, more + 1]);
}
