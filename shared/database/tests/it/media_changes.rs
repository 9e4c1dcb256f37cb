//! Changes of records: attributes, moves, and the conditions under which they happen.

use std::time::Duration;

use futures_util::future::join_all;
use media_database::{
    Database,
    entities::media,
    job_repository::PresentMedia,
    media_repository::{ChangeError, Found, MediaChange, NewMedia},
};
use media_domain::{
    blob::BlobOwner,
    caller::{Caller, Creator, Principal, Role, Scope},
    ids::WorkerId,
    media::{ClientMeta, Filename, MediaPath, Sha256, WritePrecondition},
    permissions::{ProjectSelector, WriteScope},
};
use media_testkit::{
    on_every_database,
    repositories::{KNOWN, Repositories, import_to, new_media, path},
};
use serde_json::json;

on_every_database!(
    attributes_change_and_the_rest_stays,
    a_move_keeps_the_media_and_needs_a_free_place,
    a_moved_media_hides_no_public_media_of_another_project,
    an_attempt_ends_with_the_media_that_it_has_found_or_not,
    of_many_changes_under_one_condition_one_wins,
    of_many_moves_to_one_place_one_wins,
    a_change_needs_the_permission_to_replace,
);

fn everything() -> WriteScope {
    Caller::Unrestricted.write_scope().unwrap()
}

async fn stored(repositories: &Repositories, place: &MediaPath) -> media::Model {
    stored_by(repositories, place, Creator::default()).await
}

async fn stored_by(
    repositories: &Repositories,
    place: &MediaPath,
    creator: Creator,
) -> media::Model {
    let project = creator.project_id.as_deref();
    let staged = repositories.blobs.stage(BlobOwner::Upload, project).await;
    let new = NewMedia {
        creator,
        ..new_media(place.clone(), staged.unwrap().id)
    };
    repositories.medias.publish(new).await.unwrap()
}

async fn change(
    repositories: &Repositories,
    media: &media::Model,
    change: MediaChange,
) -> Result<media::Model, ChangeError> {
    let condition = WritePrecondition::default();
    let medias = &repositories.medias;
    medias
        .change_if(media.id, &everything(), change, condition)
        .await
}

fn to(resource: &str, key: Option<&str>) -> MediaChange {
    MediaChange {
        resource: Some(resource.to_owned()),
        key: Some(key.map(str::to_owned)),
        ..MediaChange::default()
    }
}

async fn attributes_change_and_the_rest_stays(database: Database) {
    let repositories = Repositories::open(&database);
    let before = stored(&repositories, &path("r")).await;
    assert_eq!(
        change(&repositories, &before, MediaChange::default())
            .await
            .unwrap(),
        before
    );
    let at = repositories.clock.now() + Duration::from_mins(1);
    let meta = ClientMeta::new(json!({ "a": [1.5, "é", { "b": null }] })).unwrap();
    let all = MediaChange {
        filename: Some(Filename::new("new name.png").unwrap()),
        public: Some(true),
        meta: Some(Some(meta.clone())),
        expires_at: Some(Some(at)),
        ..MediaChange::default()
    };
    let after = change(&repositories, &before, all).await.unwrap();
    assert_ne!(after.record_tag(), before.record_tag());
    let expected = media::Model {
        filename: "new name.png".to_owned(),
        public: true,
        public_since: Some(repositories.clock.now()),
        meta: Some(meta.into_json()),
        expires_at: Some(at),
        updated_at: after.updated_at,
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(repositories.media("r").await, Some(expected));
    let none = MediaChange {
        public: Some(false),
        meta: Some(None),
        expires_at: Some(None),
        ..MediaChange::default()
    };
    let last = change(&repositories, &after, none).await.unwrap();
    assert_eq!(
        (last.public_since, last.meta, last.expires_at),
        (None, None, None)
    );
}

async fn a_move_keeps_the_media_and_needs_a_free_place(database: Database) {
    let repositories = Repositories::open(&database);
    let medias = &repositories.medias;
    let before = stored(&repositories, &path("from")).await;
    let other = stored(&repositories, &path("taken")).await;
    let refused = change(&repositories, &before, to("taken", None)).await;
    assert!(
        matches!(refused, Err(ChangeError::TargetExists)),
        "{refused:?}"
    );
    let invalid = change(&repositories, &before, to("..", None)).await;
    assert!(matches!(invalid, Err(ChangeError::Path(_))), "{invalid:?}");
    let after = change(&repositories, &before, to("to", Some("k")))
        .await
        .unwrap();
    assert_eq!(
        (after.id, after.created_at, after.blob_id),
        (before.id, before.created_at, before.blob_id)
    );
    assert_eq!(repositories.media("from").await, None);
    let place = MediaPath::new("to", Some("k")).unwrap();
    assert_eq!(
        medias.find_in(&place, None).await.unwrap(),
        Some(after.clone())
    );
    assert_eq!(
        medias.find_by_id(before.id).await.unwrap(),
        Some(after.clone())
    );
    // To where it is.
    assert!(
        change(&repositories, &after, to("to", Some("k")))
            .await
            .is_ok()
    );
    // Back, without a key, where an expired media waits for its deletion.
    let gone = stored(&repositories, &path("from")).await;
    let soon = repositories.clock.now() + Duration::from_secs(1);
    let expiring = MediaChange {
        expires_at: Some(Some(soon)),
        ..MediaChange::default()
    };
    change(&repositories, &gone, expiring).await.unwrap();
    repositories.clock.advance(Duration::from_secs(1));
    assert!(
        change(&repositories, &after, to("from", None))
            .await
            .is_ok()
    );
    assert_eq!(repositories.media("from").await.unwrap().id, before.id);
    assert_eq!(repositories.media("taken").await, Some(other));
    assert_eq!(repositories.blobs_by_status().await, [0, 2, 1]);
}

/// Of several public media at a path, readers without a token get the one that was public there first.
async fn a_moved_media_hides_no_public_media_of_another_project(database: Database) {
    let repositories = Repositories::open(&database);
    let in_project = |project: &str| Creator {
        project_id: Some(project.to_owned()),
        ..Creator::default()
    };
    let public = MediaChange {
        public: Some(true),
        ..MediaChange::default()
    };
    let older = stored_by(&repositories, &path("elsewhere"), in_project("q")).await;
    let older = change(&repositories, &older, public.clone()).await.unwrap();
    repositories.clock.advance(Duration::from_secs(1));
    let shown = stored_by(&repositories, &path("shown"), in_project("p")).await;
    let shown = change(&repositories, &shown, public).await.unwrap();
    repositories.clock.advance(Duration::from_secs(1));
    let moved = change(&repositories, &older, to("shown", None))
        .await
        .unwrap();
    assert!(moved.public);
    let scope = Caller::Anonymous.media_read_scope();
    let found = repositories
        .medias
        .find(&path("shown"), &scope, &ProjectSelector::Any)
        .await;
    assert_eq!(found.unwrap(), Found::One(Box::new(shown)));
}

/// An attempt that has found a media at its path, and stores nothing, must not succeed with another one.
async fn an_attempt_ends_with_the_media_that_it_has_found_or_not(database: Database) {
    let repositories = Repositories::open(&database);
    let (medias, jobs) = (&repositories.medias, &repositories.jobs);
    for (resource, is_replaced, is_moved) in [
        ("stays", false, false),
        ("replaced", true, false),
        ("moved", false, true),
    ] {
        let place = path(resource);
        jobs.create(import_to(&place)).await.unwrap();
        let lease = jobs
            .claim(WorkerId::generate(), &KNOWN)
            .await
            .unwrap()
            .unwrap()
            .lease;
        let found = stored(&repositories, &place).await;
        if is_replaced {
            let staged = repositories.blobs.stage(BlobOwner::Upload, None).await;
            let new = NewMedia {
                sha256: Sha256::from_bytes([9; 32]),
                ..new_media(place, staged.unwrap().id)
            };
            assert_eq!(medias.publish(new).await.unwrap().id, found.id);
        }
        if is_moved {
            change(&repositories, &found, to("elsewhere", None))
                .await
                .unwrap();
        }
        let origin = Some(json!({ "tag": "new" }));
        let present = PresentMedia::from(&found);
        let completed = jobs.complete_with(lease, present, origin.clone(), String::new());
        let completed = completed.await.unwrap();
        assert_eq!(completed.is_some(), !is_replaced && !is_moved, "{resource}");
        let after = medias.find_by_id(found.id).await.unwrap().unwrap();
        assert_eq!(after.origin == origin, completed.is_some(), "{resource}");
    }
}

async fn of_many_changes_under_one_condition_one_wins(database: Database) {
    let repositories = Repositories::open(&database);
    let before = stored(&repositories, &path("r")).await;
    let tag = format!("\"{}\"", before.record_tag());
    let condition = WritePrecondition::new(Some(tag.into_bytes()), None);
    let racing = (0..8).map(|n| {
        let (medias, condition) = (repositories.medias.clone(), condition.clone());
        let change = MediaChange {
            filename: Some(Filename::new(&format!("{n}.png")).unwrap()),
            ..MediaChange::default()
        };
        let id = before.id;
        tokio::spawn(async move { medias.change_if(id, &everything(), change, condition).await })
    });
    let mut won = Vec::new();
    for changed in join_all(racing).await {
        match changed.unwrap() {
            Ok(media) => won.push(media.filename),
            Err(ChangeError::PreconditionFailed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, [repositories.media("r").await.unwrap().filename]);
    // The tag of the bytes is as good, as they have not changed.
    let tag = format!("\"{}\"", before.sha256).into_bytes();
    for (condition, holds) in [
        (WritePrecondition::new(Some(tag.clone()), None), true),
        (WritePrecondition::new(None, Some(tag)), false),
        (WritePrecondition::if_absent(), false),
    ] {
        let nothing = MediaChange::default();
        let medias = &repositories.medias;
        let scope = everything();
        let changed = medias.change_if(before.id, &scope, nothing, condition);
        assert_eq!(changed.await.is_ok(), holds);
    }
}

async fn of_many_moves_to_one_place_one_wins(database: Database) {
    let repositories = Repositories::open(&database);
    let mut racing = Vec::new();
    for n in 0..8 {
        let media = stored(&repositories, &path(&format!("from {n}"))).await;
        let repositories = repositories.clone();
        racing.push(tokio::spawn(async move {
            change(&repositories, &media, to("to", None))
                .await
                .map(|media| media.id)
        }));
    }
    let mut won = Vec::new();
    for moved in join_all(racing).await {
        match moved.unwrap() {
            Ok(id) => won.push(id),
            Err(ChangeError::TargetExists) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, [repositories.media("to").await.unwrap().id]);
}

async fn a_change_needs_the_permission_to_replace(database: Database) {
    let repositories = Repositories::open(&database);
    let user = |subject: &str, project: &str| {
        let principal = Principal {
            subject: subject.to_owned(),
            role: Role::User,
            projects: vec![project.to_owned()],
            scope: Scope::ALL,
            expires: i64::MAX,
        };
        Caller::Authenticated(principal).write_scope().unwrap()
    };
    let creator = Creator {
        created_by: Some("me".to_owned()),
        created_role: Some(Role::User),
        project_id: Some("p".to_owned()),
    };
    let media = stored_by(&repositories, &path("r"), creator).await;
    let medias = &repositories.medias;
    let attempt = |scope: WriteScope| async move {
        let condition = WritePrecondition::default();
        let hidden = MediaChange {
            public: Some(true),
            ..MediaChange::default()
        };
        medias.change_if(media.id, &scope, hidden, condition).await
    };
    let colleague = attempt(user("colleague", "p")).await;
    assert!(
        matches!(colleague, Err(ChangeError::Denied(_))),
        "{colleague:?}"
    );
    let stranger = attempt(user("me", "q")).await;
    assert!(
        matches!(stranger, Err(ChangeError::NotFound)),
        "{stranger:?}"
    );
    assert!(attempt(user("me", "p")).await.unwrap().public);
}
