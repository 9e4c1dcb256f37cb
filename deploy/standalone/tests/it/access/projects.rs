//! Isolation of projects: no project sees, counts, signs or changes what belongs to another.

use std::time::Duration;

use media_testkit::{
    origin::{Content, RangedOrigin},
    service::{FAR_FUTURE, change_document},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::fixture::{Fixture, Who};

async fn ids(fixture: &Fixture, who: Who, path: &str) -> Vec<Value> {
    let document = fixture.document(who, path).await;
    let items = document["data"].as_array().unwrap().clone();
    items.into_iter().map(|item| item["id"].clone()).collect()
}

#[tokio::test]
async fn lists_counts_and_filters_are_limited_to_own_projects() {
    let fixture = Fixture::new().await;
    let target = fixture.target(true).await;
    let (job, media) = (json!(target.job), json!(target.media));
    for who in [
        Who::Owner,
        Who::Colleague,
        Who::Service,
        Who::BothProjects,
        Who::Admin,
        Who::ReadOnly,
    ] {
        assert!(ids(&fixture, who, "/jobs").await.contains(&job), "{who:?}");
        assert!(
            ids(&fixture, who, "/medias").await.contains(&media),
            "{who:?}"
        );
        assert_eq!(fixture.count(who, "/medias").await, 2, "{who:?}");
    }
    for who in [Who::Stranger, Who::ForeignService, Who::WithoutProject] {
        for path in [
            "/jobs".to_owned(),
            "/medias".to_owned(),
            format!("/jobs?filter[id]={}", target.job),
            format!("/medias?filter[id__in]={}", target.media),
            format!("/medias?filter[resource]={}", target.resource),
            "/medias?filter[created_by]=owner".to_owned(),
            "/medias?filter[project_id]=a".to_owned(),
            "/medias?filter[public]=true".to_owned(),
            "/jobs?sort=-created_at&page[number]=1".to_owned(),
        ] {
            assert_eq!(
                ids(&fixture, who, &path).await,
                Vec::<Value>::new(),
                "{who:?} {path}"
            );
        }
        assert_eq!(fixture.count(who, "/jobs").await, 0, "{who:?}");
        assert_eq!(fixture.count(who, "/medias").await, 0, "{who:?}");
    }
}

#[tokio::test]
async fn pages_of_several_projects_are_one_list() {
    let fixture = Fixture::new().await;
    let mut entered = Vec::new();
    for (number, who) in [Who::Owner, Who::Stranger, Who::Service, Who::ForeignService]
        .iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let answer = fixture
            .create_job(
                *who,
                &format!("r{number}"),
                json!({ "priority": number % 3 }),
            )
            .await;
        entered.push(answer.json::<Value>().await.unwrap()["data"]["id"].clone());
    }
    for (sort, number) in [
        ("id", true),
        ("-created_at", true),
        ("priority", false),
        ("-scheduled_at", false),
    ] {
        let whole = ids(&fixture, Who::BothProjects, &format!("/jobs?sort={sort}")).await;
        assert_eq!(whole.len(), 12, "{sort}");
        let mut followed = Vec::new();
        let mut next = Some(format!("/jobs?sort={sort}&page[size]=5"));
        while let Some(path) = next {
            let page = fixture.document(Who::BothProjects, &path).await;
            followed.extend(
                page["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|job| job["id"].clone()),
            );
            next = page["links"]["next"].as_str().map(str::to_owned);
        }
        assert_eq!(followed, whole, "{sort}");
        if number {
            let second = ids(
                &fixture,
                Who::BothProjects,
                &format!("/jobs?sort={sort}&page[size]=5&page[number]=2"),
            )
            .await;
            assert_eq!(second, whole[5..10], "{sort}");
        }
    }
    assert_eq!(ids(&fixture, Who::BothProjects, "/jobs").await, entered);
}

#[tokio::test]
async fn resources_of_another_project_do_not_seem_to_exist() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    let nothing = uuid::Uuid::now_v7();
    let (look, all) = (&[Method::GET][..], &[Method::GET, Method::DELETE][..]);
    for (there, nowhere, methods) in [
        (
            format!("/jobs/{}", target.job),
            format!("/jobs/{nothing}"),
            all,
        ),
        (
            format!("/medias/info/{}", target.resource),
            "/medias/info/nothing".to_owned(),
            look,
        ),
        (
            format!("/medias/files/{}/k", target.resource),
            "/medias/files/nothing/k".to_owned(),
            all,
        ),
    ] {
        let text = async |method: &Method, path: &str| {
            let method = method.clone();
            let answer = fixture
                .ask(Who::ForeignService, method, path)
                .send()
                .await
                .unwrap();
            let status = answer.status();
            let mut document: Value = answer.json().await.unwrap();
            // Every error has an id of its own.
            document["errors"][0]["id"].take();
            (status, document)
        };
        for method in methods {
            let said = text(method, &there).await;
            assert_eq!(said.0, StatusCode::NOT_FOUND);
            assert_eq!(said, text(method, &nowhere).await, "{method} {there}");
        }
    }
}

#[tokio::test]
async fn names_and_unicities_are_separate_per_project() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    let path = format!("{}/k", target.resource);
    assert_eq!(
        fixture
            .upload(Who::ForeignService, &path, true)
            .await
            .status(),
        StatusCode::CREATED
    );
    let info = format!("/medias/info/{path}");
    let project = async |who, path: &str| {
        let document = fixture.document(who, path).await;
        document["data"]["attributes"]["project_id"].clone()
    };
    assert_eq!(project(Who::Owner, &info).await, "a");
    assert_eq!(project(Who::ForeignService, &info).await, "b");
    // Of the two media, only this one is public.
    assert_eq!(project(Who::Anonymous, &info).await, "b");
    assert_eq!(
        project(Who::Owner, &format!("{info}?project_id=b")).await,
        "b"
    );
    // A caller with several projects has to name one.
    for who in [Who::BothProjects, Who::Admin] {
        let answer = fixture.get(who, &info).await;
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        let document: Value = answer.json().await.unwrap();
        assert_eq!(document["errors"][0]["source"]["parameter"], "project_id");
        assert_eq!(project(who, &format!("{info}?project_id=a")).await, "a");
    }
    let file = format!("/medias/files/{path}");
    let ambiguous = fixture
        .ask(Who::Admin, Method::DELETE, &file)
        .send()
        .await
        .unwrap();
    assert_eq!(ambiguous.status(), StatusCode::CONFLICT);
    let deleted = fixture.ask(Who::Admin, Method::DELETE, &format!("{file}?project_id=b"));
    assert_eq!(
        deleted.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(project(Who::Owner, &info).await, "a");

    let unicity = || json!({ "unicity": "one" });
    let enter = async |who| {
        let answer = fixture.create_job(who, "r", unicity()).await;
        let status = answer.status();
        (
            status,
            answer.json::<Value>().await.unwrap()["data"].clone(),
        )
    };
    let (status, first) = enter(Who::Owner).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(enter(Who::ForeignService).await.0, StatusCode::CREATED);
    let (status, again) = enter(Who::Colleague).await;
    assert_eq!(
        (status, again["id"].clone()),
        (StatusCode::OK, first["id"].clone())
    );
    assert_eq!(first["attributes"]["project_id"], "a");
    assert_eq!(first["attributes"]["created_by"], "owner");
    assert_eq!(first["attributes"]["created_role"], "user");
    let several = fixture
        .create_job(Who::BothProjects, "r", json!({ "project_id": "a" }))
        .await;
    assert_eq!(several.status(), StatusCode::CREATED);
    let foreign = fixture
        .create_job(Who::Owner, "r", json!({ "project_id": "b" }))
        .await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_import_replaces_only_media_that_its_user_may_replace() {
    let fixture = Fixture::new().await;
    let (origin, target) = (RangedOrigin::start().await, fixture.target(false).await);
    let content = Content::Generated {
        size: 1000,
        seed: 1,
    };
    let url = origin.add("picture.png", content);
    let arguments = |key: &str| json!({ "url": url, "resource": target.resource, "key": key });
    let import = async |who, key: &str| {
        let document = media_testkit::service::import(&arguments(key), json!({ "max_retries": 0 }));
        fixture.post(who, "/jobs", &document).await
    };
    // The conflict is detected at once.
    assert_eq!(
        import(Who::Colleague, "k").await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        import(Who::Service, "k").await.status(),
        StatusCode::CREATED
    );
    // The conflict is detected at the end, because the owner uploads in the meantime.
    let document =
        media_testkit::service::import(&arguments("late"), json!({ "scheduled_at": FAR_FUTURE }));
    let late: Value = fixture
        .post(Who::Colleague, "/jobs", &document)
        .await
        .json()
        .await
        .unwrap();
    let id = late["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("{}/late", target.resource);
    assert_eq!(
        fixture.upload(Who::Owner, &path, false).await.status(),
        StatusCode::CREATED
    );
    let now = change_document(&id, &json!({ "scheduled_at": null }));
    let changed = fixture
        .ask(Who::Colleague, Method::PATCH, &format!("/jobs/{id}"))
        .json(&now);
    assert_eq!(changed.send().await.unwrap().status(), StatusCode::OK);
    let job = media_testkit::wait_until("the job ends", Duration::from_secs(30), async || {
        let job = fixture
            .document(Who::Colleague, &format!("/jobs/{id}?include=media"))
            .await;
        (job["data"]["attributes"]["finished_at"] != Value::Null).then_some(job)
    })
    .await;
    assert_eq!(
        job["data"]["attributes"]["error"], "overwrite_denied",
        "{job}"
    );
    let kept = fixture
        .document(Who::Owner, &format!("/medias/info/{path}"))
        .await;
    assert_eq!(kept["data"]["attributes"]["created_by"], "owner");
}
