//! The table of permissions over HTTP: every operation by every kind of caller.

use std::collections::BTreeSet;

use media_testkit::service::{change_document, signal_document};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::fixture::{Fixture, Target, Who, form, waiting};

/// The expected status for each caller, in the order of [`Who::ALL`].
type Statuses = [u16; 11];

/// An operation with its expected statuses.
struct Row {
    operation: &'static str,
    method: Method,
    path: fn(&Target) -> String,
    body: Body,
    on_private: Statuses,
    on_public: Statuses,
}

enum Body {
    None,
    Document(fn(&Target) -> Value),
    Form,
    Raw,
}

const OWN_LIST: Statuses = [401, 200, 200, 200, 200, 200, 200, 200, 200, 403, 200];
/// Reads of jobs and lists.
const READ: Statuses = [401, 200, 200, 200, 404, 404, 200, 200, 200, 403, 404];
/// Reads of single media.
const READ_MEDIA: Statuses = [404, 200, 200, 200, 404, 404, 200, 200, 200, 404, 404];
const PUBLIC: Statuses = [200; 11];

/// Returns the statuses of a change, which is answered with `done` where it is allowed.
const fn change(done: u16) -> Statuses {
    [401, done, 403, done, 404, 404, 403, done, 403, 403, 404]
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    let row = |operation, method, path, body, on_private: Statuses, on_public: Statuses| Row { operation, method, path, body, on_private, on_public };
    let job = |t: &Target| format!("/jobs/{}", t.job);
    let signal = |t: &Target| format!("/jobs/{}/signal", t.job);
    let events = |t: &Target| format!("/jobs/{}/events", t.job);
    let file = |t: &Target| format!("/medias/files/{}", t.resource);
    let file_by_key = |t: &Target| format!("/medias/files/{}/k", t.resource);
    let info = |t: &Target| format!("/medias/info/{}", t.resource);
    let info_by_key = |t: &Target| format!("/medias/info/{}/k", t.resource);
    let info_with_key = |t: &Target| format!("/medias/info/{}?key=k", t.resource);
    let new_job = |t: &Target| waiting(&t.resource, json!({ "arguments": { "url": "http://origin.test/", "resource": "new" } }));
    let job_change = |t: &Target| change_document(&t.job, &json!({ "priority": 1 }));
    let media_change = |t: &Target| json!({ "data": { "type": "media:medias", "id": t.media, "attributes": { "filename": "new" } } });
    let cancel = |_: &Target| signal_document("cancel");
    let link = |t: &Target| json!({ "data": { "type": "media:links", "attributes": { "resource": t.resource, "key": "k" } } });
    let upload_link = |t: &Target| json!({ "data": { "type": "media:links", "attributes": { "resource": t.resource, "key": "k", "method": "upload" } } });
    // A caller with several projects has to name one, and a caller without a project is refused.
    let create = |done| [401, done, done, done, done, done, 422, done, 403, 403, 403];
    // An upload of a caller in another project, or in none, goes there and creates another media.
    let upload = [401, 200, 403, 200, 201, 201, 422, 201, 403, 403, 403];
    let link_to_upload = [401, 201, 403, 201, 201, 201, 422, 201, 403, 403, 403];
    vec![
        row("createJob", Method::POST, |_| "/jobs".to_owned(), Body::Document(new_job), create(201), create(201)),
        row("listJobs", Method::GET, |_| "/jobs".to_owned(), Body::None, OWN_LIST, OWN_LIST),
        row("showJob", Method::GET, job, Body::None, READ, READ),
        row("changeJob", Method::PATCH, job, Body::Document(job_change), change(200), change(200)),
        row("deleteJob", Method::DELETE, job, Body::None, change(204), change(204)),
        row("signalJob", Method::POST, signal, Body::Document(cancel), change(200), change(200)),
        row("listenToJob", Method::GET, events, Body::None, READ, READ),
        row("listMedias", Method::GET, |_| "/medias".to_owned(), Body::None, OWN_LIST, OWN_LIST),
        row("showMedia", Method::GET, info, Body::None, READ_MEDIA, PUBLIC),
        row("showMediaByKey", Method::GET, info_by_key, Body::None, READ_MEDIA, PUBLIC),
        row("changeMedia", Method::PATCH, info_with_key, Body::Document(media_change), change(200), change(200)),
        row("changeMediaByKey", Method::PATCH, info_by_key, Body::Document(media_change), change(200), change(200)),
        row("downloadMedia", Method::GET, file, Body::None, READ_MEDIA, PUBLIC),
        row("downloadMediaByKey", Method::GET, file_by_key, Body::None, READ_MEDIA, PUBLIC),
        row("probeMedia", Method::HEAD, file, Body::None, READ_MEDIA, PUBLIC),
        row("probeMediaByKey", Method::HEAD, file_by_key, Body::None, READ_MEDIA, PUBLIC),
        row("uploadMedia", Method::POST, file, Body::Form, upload, upload),
        row("uploadMediaByKey", Method::POST, file_by_key, Body::Form, upload, upload),
        row("deleteMedia", Method::DELETE, file, Body::None, change(204), change(204)),
        row("deleteMediaByKey", Method::DELETE, file_by_key, Body::None, change(204), change(204)),
        row("putMedia", Method::PUT, file, Body::Raw, upload, upload),
        row("putMediaByKey", Method::PUT, file_by_key, Body::Raw, upload, upload),
        row("createLink", Method::POST, |_| "/links".to_owned(), Body::Document(link), READ.map(made), READ.map(made)),
        row("createLink", Method::POST, |_| "/links".to_owned(), Body::Document(upload_link), link_to_upload, link_to_upload),
        row("livez", Method::GET, |_| "/livez".to_owned(), Body::None, PUBLIC, PUBLIC),
        row("readyz", Method::GET, |_| "/readyz".to_owned(), Body::None, PUBLIC, PUBLIC),
        row("metrics", Method::GET, |_| "/metrics".to_owned(), Body::None, METRICS, METRICS),
    ]
}

/// The metrics cover all projects.
const METRICS: Statuses = [401, 403, 403, 403, 403, 403, 403, 200, 403, 403, 403];

fn made(status: u16) -> u16 {
    if status == 200 { 201 } else { status }
}

impl Row {
    async fn ask(&self, fixture: &Fixture, who: Who, target: &Target) -> Response {
        let request = fixture.ask(who, self.method.clone(), &(self.path)(target));
        let request = match &self.body {
            Body::None => request,
            Body::Document(document) => request.json(&document(target)),
            Body::Form => request.multipart(form(b"other bytes", false)),
            Body::Raw => request.body("other bytes"),
        };
        request.send().await.unwrap()
    }
}

/// Returns the parts of a target that an operation can change.
async fn state(fixture: &Fixture, target: &Target) -> (Value, Value) {
    let job = format!("/jobs/{}", target.job);
    let media = format!("/medias?filter[id]={}", target.media);
    let job = fixture.document(Who::Admin, &job).await;
    (job, fixture.document(Who::Admin, &media).await)
}

#[tokio::test]
async fn every_caller_may_do_exactly_what_the_table_says() {
    let fixture = Fixture::new().await;
    let mut wrong = Vec::new();
    for row in table() {
        for (public, expected) in [(false, row.on_private), (true, row.on_public)] {
            for (who, expected) in Who::ALL.into_iter().zip(expected) {
                let target = fixture.target(public).await;
                let before = state(&fixture, &target).await;
                let answer = row.ask(&fixture, who, &target).await;
                let status = answer.status().as_u16();
                if status != expected {
                    let place = if public { "public" } else { "private" };
                    wrong.push(format!(
                        "{} {place} {who:?}: {status}, not {expected}",
                        row.operation
                    ));
                }
                if matches!(status, 401 | 403 | 404) {
                    let kind = answer.headers()["content-type"].clone();
                    assert_eq!(kind, "application/vnd.api+json", "{}", row.operation);
                    let after = state(&fixture, &target).await;
                    assert_eq!(after, before, "{} by {who:?}", row.operation);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_operation_is_in_the_table() {
    let fixture = Fixture::new().await;
    let document = fixture.document(Who::Anonymous, "/openapi.json").await;
    let operations: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let table = table();
    let rows: BTreeSet<&str> = table.iter().map(|row| row.operation).collect();
    assert_eq!(operations, rows);
}
