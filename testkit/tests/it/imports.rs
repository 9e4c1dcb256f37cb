//! Imports, downloads and metrics on a cluster.

use media_testkit::{
    bytes::pattern,
    cluster::{Cluster, PREFIX},
    tokens::{SECRET, SIGNING_KEY, project_token},
};
use reqwest::{
    StatusCode, header,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

/// More than one part, with a short last one.
const LARGE: usize = 20 * 1024 * 1024 + 77;

#[tokio::test]
async fn small_and_large_imports_are_served_back_byte_for_byte() {
    let cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let _workers = (
        cluster.worker("worker-1").await,
        cluster.worker("worker-2").await,
    );
    let sizes = [0, 1, 1000, 300_000, LARGE];
    for size in sizes {
        cluster.origin.add(&size.to_string(), &pattern(size));
    }
    let mut jobs = Vec::new();
    for size in sizes {
        let url = cluster.origin.url(&size.to_string());
        jobs.push(api.import(&url, &format!("of-{size}")).await);
    }
    for (size, job) in sizes.into_iter().zip(jobs) {
        api.wait_for(&job, "succeeded").await;
        let answer = api.get(&format!("/medias/files/of-{size}")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.bytes().await.unwrap() == pattern(size), "{size}");
    }
    let stored = cluster.seaweed.objects(PREFIX).await;
    assert_eq!(stored.len(), sizes.len());
    assert_eq!(cluster.seaweed.open_uploads(PREFIX).await.len(), 0);
}

#[tokio::test]
async fn downloads_are_redirected_to_storage_if_configured() {
    let cluster = Cluster::start().await.with("MEDIA_DOWNLOAD_REDIRECT", "1m");
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    cluster.origin.add("a name.txt", b"some plain text");
    let job = api.import(&cluster.origin.url("a%20name.txt"), "r").await;
    api.wait_for(&job, "succeeded").await;

    let answer = api.get("/medias/files/r").await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    let place = answer.headers()[header::LOCATION].to_str().unwrap();
    let http = media_testkit::http_client();
    let fetched = http.get(place).send().await.unwrap();
    assert_eq!(fetched.status(), StatusCode::OK);
    assert_eq!(fetched.headers()[header::CONTENT_TYPE], "text/plain");
    let disposition = fetched.headers()[header::CONTENT_DISPOSITION].to_str();
    assert!(disposition.unwrap().contains("a name.txt"));
    assert_eq!(fetched.bytes().await.unwrap(), "some plain text");
    let part = http.get(place).header(header::RANGE, "bytes=5-9");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), "plain");

    // Clients that resume a download with our entity tag are not redirected.
    let head = http.head(api.url("/medias/files/r")).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let spliced = http
        .get(api.url("/medias/files/r"))
        .header(header::RANGE, "bytes=5-9")
        .header(header::IF_RANGE, &head.headers()[header::ETAG]);
    let spliced = spliced.send().await.unwrap();
    assert_eq!(spliced.status(), StatusCode::PARTIAL_CONTENT);
}

/// A signed link needs no token, neither here nor at the object store.
#[tokio::test]
async fn signed_links_are_redirected_to_storage_if_configured() {
    let cluster = Cluster::start()
        .await
        .with("MEDIA_DOWNLOAD_REDIRECT", "1m")
        .with("MEDIA_JWT_SECRET", SECRET)
        .with("MEDIA_URL_SIGNING_KEY", SIGNING_KEY);
    let api = cluster.api("api").await;
    let http = media_testkit::http_client();
    let token = project_token("owner", "a");
    let file = Part::bytes(b"some plain text".to_vec()).file_name("a.txt");
    let upload = http.post(api.url("/medias/files/r/k")).bearer_auth(&token);
    let upload = upload.multipart(Form::new().part("media", file));
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::CREATED);
    let document = json!({ "data": {
        "type": "media:links",
        "attributes": { "resource": "r", "key": "k", "disposition": "inline", "expires_in": 600 },
    } });
    let request = http.post(api.url("/links"));
    let answer = request.bearer_auth(&token).json(&document).send().await;
    let link: Value = answer.unwrap().json().await.unwrap();
    let link = link["data"]["attributes"]["url"].as_str().unwrap();

    let answer = api.get(link).await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    let place = answer.headers()[header::LOCATION].to_str().unwrap();
    let part = http.get(place).header(header::RANGE, "bytes=5-9");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let disposition = part.headers()[header::CONTENT_DISPOSITION].to_str();
    assert!(disposition.unwrap().starts_with("inline"));
    assert_eq!(part.bytes().await.unwrap(), "plain");
    let plain = api.get("/medias/files/r/k").await;
    assert_eq!(plain.status(), StatusCode::NOT_FOUND);
    let changed = link.replace("inline", "attachment");
    assert_eq!(api.get(&changed).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn both_programs_export_metrics_of_the_queue() {
    let cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    for _ in 0..3 {
        api.import(&cluster.origin.url("none"), "r").await;
    }
    let metrics = api.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("\nmedia_jobs_pending{class=\"media:import\"} 3\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\nmedia_jobs_running{class=\"media:import\"} 0\n"),
        "{metrics}"
    );
    let worker = cluster.worker("worker").await;
    let metrics = worker.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("\nmedia_jobs_oldest_pending_seconds{class="));
}

#[tokio::test]
async fn fifty_clients_that_post_one_unicity_get_one_job() {
    let cluster = Cluster::start().await;
    let apis = [cluster.api("api-1").await, cluster.api("api-2").await];
    let arguments = json!({ "url": cluster.origin.url("none"), "resource": "r" });
    let attributes = json!({ "unicity": "only one" });
    let document = media_testkit::service::import(&arguments, attributes);
    let posts = (0..50).map(|n| apis[n % 2].try_post("/jobs", &document));
    let mut ids = Vec::new();
    let mut created = 0;
    for answer in futures_util::future::join_all(posts).await {
        let answer = answer.unwrap();
        created += usize::from(answer.status() == StatusCode::CREATED);
        let document: Value = answer.json().await.unwrap();
        ids.push(document["data"]["id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!((created, ids.len()), (1, 1));
}
