//! Lists over HTTP: every filter of the reference, sorting, sparse fields, inclusion, and stable pages while
//! rows are added and removed.

use std::collections::HashSet;

use media_testkit::{
    nginx::Nginx,
    service::{FAR_FUTURE, Installation, Service},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture::MEDIA;

/// Requests a list; the query is encoded here.
async fn list(service: &Service, path: &str, query: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = service.http.get(service.url(path)).query(query);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn found(service: &Service, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
    let (status, document) = list(service, path, query).await;
    assert_eq!(status, StatusCode::OK, "{query:?}: {document}");
    document["data"].as_array().unwrap().clone()
}

async fn refused(service: &Service, path: &str, query: &[(&str, &str)], expected: u16) {
    let (status, document) = list(service, path, query).await;
    assert_eq!(status.as_u16(), expected, "{query:?}: {document}");
    assert_eq!(
        document["errors"][0]["source"]["parameter"], query[0].0,
        "{document}"
    );
}

/// Creates three media with their jobs, and a scheduled job with a unicity.
async fn fill(service: &Service, nginx: &Nginx) -> Vec<Value> {
    let mut jobs = Vec::new();
    for (name, bytes) in [("a.txt", "1"), ("b.png", "\u{fffd}PNG"), ("c.txt", "333")] {
        nginx.add(name, bytes.as_bytes());
        jobs.push(service.import(&nginx.url(name), "list", Some(name)).await);
    }
    let later = json!({ "unicity": "later, please", "scheduled_at": FAR_FUTURE, "priority": 5 });
    let arguments = json!({ "url": nginx.url("a.txt"), "resource": "later" });
    jobs.push(service.create_job(&arguments, later).await);
    jobs
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value["attributes"][name].as_str().unwrap()
}

#[tokio::test]
async fn every_filter_on_jobs_selects_the_matching_ones() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let jobs = fill(&service, &nginx).await;
    let (first, last) = (&jobs[0], &jobs[3]);
    let (first_id, last_id) = (first["id"].as_str().unwrap(), last["id"].as_str().unwrap());
    let both = format!("{first_id},{last_id}");
    let created = text(first, "created_at");
    let shifted = created.replace('Z', "+00:00");
    let last_created = text(last, "created_at");
    for (name, value, count) in [
        ("filter[id]", first_id, 1),
        ("filter[id__in]", both.as_str(), 2),
        ("filter[id__in][]", last_id, 1),
        ("filter[job_class]", "media:import", 4),
        ("filter[job_class]", "media:export", 0),
        ("filter[job_class__in]", "media:export,media:import", 4),
        ("filter[priority]", "5", 1),
        ("filter[priority__gte]", "1", 1),
        ("filter[priority__lte]", "4", 3),
        ("filter[status]", "succeeded", 3),
        ("filter[status__in]", "succeeded,scheduled", 4),
        ("filter[progress]", "100", 3),
        ("filter[retry_count]", "0", 4),
        ("filter[retry_count__gte]", "1", 0),
        ("filter[retry_count__lte]", "0", 4),
        ("filter[error]", "origin_gone", 0),
        ("filter[error]", "", 4),
        ("filter[unicity]", "later, please", 1),
        ("filter[unicity]", "", 3),
        ("filter[scheduled_at]", "2100-01-01T02:00:00+02:00", 1),
        ("filter[scheduled_at]", "", 3),
        ("filter[scheduled_at__gte]", "2099-12-31T23:59:59Z", 1),
        ("filter[scheduled_at__lte]", "2099-12-31T23:59:59Z", 0),
        ("filter[created_at]", shifted.as_str(), 1),
        ("filter[created_at__gte]", created, 4),
        ("filter[created_at__lte]", created, 1),
        ("filter[created_at__gte]", last_created, 1),
        ("filter[updated_at]", text(first, "updated_at"), 1),
        ("filter[updated_at__gte]", "2000-01-01T00:00:00Z", 4),
        ("filter[updated_at__lte]", "2000-01-01T00:00:00Z", 0),
    ] {
        let items = found(&service, "/jobs", &[(name, value)]).await;
        assert_eq!(items.len(), count, "{name}={value}");
    }
    let combined = [
        ("filter[status]", "succeeded"),
        ("filter[priority__lte]", "4"),
        ("filter[id__in]", &both),
    ];
    assert_eq!(found(&service, "/jobs", &combined).await.len(), 1);
    let repeated = [
        ("filter[status__in]", "succeeded"),
        ("filter[status__in]", "scheduled"),
    ];
    assert_eq!(found(&service, "/jobs", &repeated).await.len(), 4);

    for (name, value, status) in [
        ("filter[id]", "x", 422),
        ("filter[id__in]", "x", 422),
        ("filter[priority]", "high", 422),
        ("filter[priority]", "99999999999999999999", 422),
        ("filter[status]", "lost", 422),
        ("filter[status__in]", "succeeded,lost", 422),
        ("filter[status__in]", "", 422),
        ("filter[id__in]", ",,", 422),
        ("filter[created_at]", "yesterday", 422),
        ("filter[created_at]", "2030-01-01T00:00:00", 422),
        ("filter[created_at]", "", 422),
        ("filter[job_class]", "a\0b", 422),
        ("filter[colour]", "red", 400),
        ("filter[priority__in]", "1", 400),
        ("filter[error__gte]", "a", 400),
        ("filter", "x", 400),
        ("sort", "colour", 400),
        ("sort", "arguments", 400),
        ("sort", "status,-status", 422),
        ("include", "owner", 400),
        ("included", "media,owner", 400),
        ("fields[media:jobs]", "status,colour", 400),
        ("fields[media:users]", "name", 400),
        ("fields", "colour", 400),
    ] {
        refused(&service, "/jobs", &[(name, value)], status).await;
    }
    refused(
        &service,
        "/jobs",
        &[("filter[status]", "failed"), ("filter[status]", "paused")],
        422,
    )
    .await;
}

#[tokio::test]
async fn every_filter_on_media_selects_the_matching_ones() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    fill(&service, &nginx).await;
    let all = found(&service, "/medias", &[]).await;
    let (id, created) = (all[0]["id"].as_str().unwrap(), text(&all[0], "created_at"));
    for (name, value, count) in [
        ("filter[id]", id, 1),
        ("filter[resource]", "list", 3),
        ("filter[resource__in]", "list,other", 3),
        ("filter[key]", "a.txt", 1),
        ("filter[key]", "", 0),
        ("filter[key__in]", "a.txt,c.txt", 2),
        ("filter[filename]", "c.txt", 1),
        ("filter[size]", "3", 1),
        ("filter[size__gte]", "3", 2),
        ("filter[size__lte]", "1", 1),
        ("filter[mime_type]", "text/plain", 3),
        ("filter[created_by]", "", 3),
        ("filter[created_by]", "somebody", 0),
        ("filter[created_role]", "", 3),
        ("filter[public]", "false", 3),
        ("filter[public]", "true", 0),
        ("filter[created_at]", created, 1),
        ("filter[updated_at]", text(&all[0], "updated_at"), 1),
        ("filter[project_id]", "", 3),
        ("filter[project_id]", "p", 0),
    ] {
        let items = found(&service, "/medias", &[(name, value)]).await;
        assert_eq!(items.len(), count, "{name}={value}");
    }
    for (name, value, status) in [
        ("filter[public]", "yes", 422),
        ("filter[size]", "big", 422),
        ("filter[charset__gte]", "x", 400),
        ("include", "job", 400),
    ] {
        refused(&service, "/medias", &[(name, value)], status).await;
    }
}

#[tokio::test]
async fn lists_are_sorted_and_show_the_requested_fields() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    fill(&service, &nginx).await;
    let keys = |items: &[Value]| -> Vec<String> {
        items
            .iter()
            .map(|item| text(item, "key").to_owned())
            .collect()
    };
    for (sort, expected) in [
        ("key", ["a.txt", "b.png", "c.txt"]),
        ("-key", ["c.txt", "b.png", "a.txt"]),
        ("mime_type,-size", ["b.png", "c.txt", "a.txt"]),
        ("-mime_type,size", ["a.txt", "c.txt", "b.png"]),
        ("-id", ["c.txt", "b.png", "a.txt"]),
        ("project_id,-created_at", ["c.txt", "b.png", "a.txt"]),
    ] {
        let items = found(&service, "/medias", &[("sort", sort)]).await;
        assert_eq!(keys(&items), expected, "{sort}");
        // The same list in pages of one item, by following the links.
        let mut next = Some(format!("/medias?sort={sort}&page%5Bsize%5D=1"));
        let mut paged = Vec::new();
        while let Some(link) = next {
            let page: Value = service.get(&link).await.json().await.unwrap();
            paged.extend(page["data"].as_array().unwrap().clone());
            next = page["links"]["next"].as_str().map(str::to_owned);
        }
        assert_eq!(keys(&paged), expected, "{sort} by links");
    }
    // NULL is always sorted last.
    let items = found(&service, "/jobs", &[("sort", "unicity")]).await;
    assert_eq!(items[0]["attributes"]["unicity"], "later, please");
    let items = found(&service, "/jobs", &[("sort", "-scheduled_at")]).await;
    assert_eq!(items[3]["attributes"]["unicity"], "later, please");

    for query in [
        ("fields[media:jobs]", "status,error"),
        ("fields[media:jobs][]", "status"),
        ("fields", "status"),
    ] {
        let items = found(&service, "/jobs", &[query]).await;
        let shown: Vec<_> = items[0]["attributes"].as_object().unwrap().keys().collect();
        assert!(
            shown.contains(&&"status".to_owned()) && shown.len() <= 2,
            "{shown:?}"
        );
    }
    for name in ["include", "included", "included[]"] {
        let (_, document) = list(
            &service,
            "/jobs",
            &[(name, "media"), ("fields[media:medias]", "size")],
        )
        .await;
        let included = document["included"].as_array().unwrap();
        assert_eq!(included.len(), 3, "{document}");
        assert_eq!(included[0]["attributes"], json!({ "size": 1 }));
        let related = &document["data"][0]["relationships"]["media"]["data"];
        assert_eq!(
            (&related["type"], &related["id"]),
            (&included[0]["type"], &included[0]["id"])
        );
    }
    let id = found(&service, "/jobs", &[]).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, document) = list(
        &service,
        &format!("/jobs/{id}"),
        &[("included", "media"), ("fields[media:jobs]", "status")],
    )
    .await;
    assert_eq!(document["included"][0]["type"], "media:medias");
    assert_eq!(
        document["data"]["attributes"],
        json!({ "status": "succeeded" })
    );
    for cursor in ["x", "bnVsbA", "W1siaWQiXSxbIngiXV0"] {
        refused(&service, "/jobs", &[("page[after]", cursor)], 422).await;
    }
}

#[tokio::test]
async fn following_links_neither_repeats_nor_skips_while_rows_come_and_go() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let enter = async |n: usize| {
        let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
        let attributes = json!({ "scheduled_at": FAR_FUTURE, "priority": n % 3 });
        service.create_job(&arguments, attributes).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut standing = Vec::new();
    let mut leaving = Vec::new();
    for n in 0..120 {
        let id = enter(n).await;
        if n % 4 == 0 {
            leaving.push(id);
        } else {
            standing.push(id);
        }
    }
    for sort in [
        "id",
        "-priority",
        "priority,-created_at",
        "unicity,priority",
    ] {
        let mut next = Some(format!("/jobs?sort={sort}&page%5Bsize%5D=7"));
        let mut seen = Vec::new();
        while let Some(link) = next {
            let answer = service.get(&link).await;
            assert_eq!(answer.status(), StatusCode::OK, "{link}");
            let page: Value = answer.json().await.unwrap();
            seen.extend(
                page["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|job| job["id"].as_str().unwrap().to_owned()),
            );
            next = page["links"]["next"].as_str().map(str::to_owned);
            enter(seen.len()).await;
            if let Some(id) = leaving.pop() {
                service
                    .http
                    .delete(service.url(&format!("/jobs/{id}")))
                    .send()
                    .await
                    .unwrap();
            }
        }
        let distinct: HashSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{sort}: nothing twice");
        for id in &standing {
            assert!(
                distinct.contains(id),
                "{sort}: {id} stood still and was skipped"
            );
        }
    }
}

#[tokio::test]
async fn a_list_of_a_hundred_thousand_can_be_followed_while_it_changes() {
    const JOBS: usize = 100_000;
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    media_testkit::databases::fill_with_jobs(&installation.database(), JOBS).await;
    let id = |n: usize| format!("01a20000-0000-7000-8000-{n:012x}");
    let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
    let mut next = Some("/jobs?fields=priority&sort=-priority".to_owned());
    let mut seen = HashSet::new();
    let mut pages = 0;
    while let Some(link) = next {
        let answer = service.get(&link).await;
        assert_eq!(answer.status(), StatusCode::OK, "{link}");
        let page: Value = answer.json().await.unwrap();
        for job in page["data"].as_array().unwrap() {
            assert!(
                seen.insert(job["id"].as_str().unwrap().to_owned()),
                "{job} twice"
            );
        }
        next = page["links"]["next"].as_str().map(str::to_owned);
        pages += 1;
        // One job is added per page, and one in a thousand is deleted, whether listed already or not.
        service
            .create_job(
                &arguments,
                json!({ "scheduled_at": FAR_FUTURE, "priority": pages % 3 }),
            )
            .await;
        let gone = service.url(&format!("/jobs/{}", id(pages * 1000 % JOBS)));
        service.http.delete(gone).send().await.unwrap();
    }
    for n in (1..=JOBS).filter(|n| n % 1000 != 0) {
        assert!(seen.contains(&id(n)), "{n} stood still and was skipped");
    }
    // Page numbers work as well.
    let page: Value = service
        .get("/jobs?page[number]=50&page[size]=1000&fields=status")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(page["data"].as_array().unwrap().len(), 1000);
}
