//! Invalid requests: a 4xx with a JSON:API error, never a 5xx, never a hang.

use std::time::Duration;

use media_testkit::service::{Installation, Service, import};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::MEDIA;

/// The longest time until the response to an invalid request.
const LIMIT: Duration = Duration::from_secs(10);

async fn send(
    service: &Service,
    method: Method,
    path: &str,
    content_type: &str,
    body: Vec<u8>,
) -> Response {
    let request = service.http.request(method, service.url(path));
    let request = request
        .header("content-type", content_type)
        .timeout(LIMIT)
        .body(body);
    request.send().await.unwrap()
}

/// Checks that a response is a JSON:API error document with this status, and returns its first error.
async fn error(answer: Response, expected: u16, what: &str) -> Value {
    let status = answer.status();
    assert_eq!(
        status.as_u16(),
        expected,
        "{what}: {}",
        answer.text().await.unwrap()
    );
    assert_eq!(
        answer.headers()["content-type"],
        "application/vnd.api+json",
        "{what}"
    );
    let document: Value = answer.json().await.unwrap();
    let error = document["errors"][0].clone();
    assert_eq!(error["status"], status.as_str(), "{what}");
    for member in ["code", "title", "detail"] {
        assert!(
            error[member].as_str().is_some_and(|text| !text.is_empty()),
            "{what}: {document}"
        );
    }
    error
}

#[tokio::test]
async fn an_invalid_body_is_refused() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let json_api = "application/vnd.api+json";
    let deep = "[".repeat(100_000);
    for (content_type, body, status) in [
        (json_api, Vec::new(), 400),
        (json_api, b"not JSON".to_vec(), 400),
        (json_api, b"{\"data\":".to_vec(), 400),
        (json_api, b"{} {}".to_vec(), 422),
        (json_api, b"\xff\xfe".to_vec(), 400),
        (json_api, deep.into_bytes(), 400),
        (json_api, b"null".to_vec(), 422),
        (json_api, b"[]".to_vec(), 422),
        (json_api, b"{}".to_vec(), 422),
        (json_api, vec![b' '; 10 << 20], 413),
        (
            json_api,
            format!("{{\"data\":\"{}\"}}", "x".repeat(10 << 20)).into_bytes(),
            413,
        ),
        ("text/plain", b"{}".to_vec(), 415),
        ("nonsense", b"{}".to_vec(), 415),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = send(&service, Method::POST, "/jobs", content_type, body).await;
        error(answer, status, &format!("{content_type}: {shown}")).await;
    }
    let bare = service
        .http
        .post(service.url("/jobs"))
        .send()
        .await
        .unwrap();
    error(bare, 415, "no body").await;
}

#[tokio::test]
async fn an_invalid_value_is_refused_with_a_pointer() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let good = json!({ "url": "http://origin.test/", "resource": "r" });
    let with = |name: &str, value: Value| {
        let mut arguments = good.clone();
        arguments[name] = value;
        import(&arguments, json!({}))
    };
    let attribute = |name: &str, value: Value| import(&good, json!({ name: value }));
    let mut headers = serde_json::Map::new();
    for n in 0..40 {
        headers.insert(format!("x-{n}"), json!("y"));
    }
    for (document, pointer) in [
        (with("url", json!("")), "arguments/url"),
        (with("url", json!(7)), "arguments/url"),
        (with("url", json!(null)), "arguments/url"),
        (with("url", json!("ftp://origin.test/")), "arguments/url"),
        (with("url", json!("file:///etc/passwd")), "arguments/url"),
        (with("url", json!("http://")), "arguments/url"),
        (with("url", json!("http://a\0b/")), "arguments/url"),
        (
            with(
                "url",
                json!(format!("http://origin.test/{}", "x".repeat(100_000))),
            ),
            "arguments/url",
        ),
        (with("resource", json!("")), "arguments/resource"),
        (with("resource", json!("../x")), "arguments/resource"),
        (with("resource", json!("..")), "arguments/resource"),
        (with("resource", json!("a/b")), "arguments/resource"),
        (with("resource", json!("a\0b")), "arguments/resource"),
        (
            with("resource", json!("x".repeat(256))),
            "arguments/resource",
        ),
        (with("resource", json!([])), "arguments/resource"),
        (with("key", json!("a\\b")), "arguments/key"),
        (with("key", json!("")), "arguments/key"),
        (with("key", json!("\u{0000}")), "arguments/key"),
        (
            with("filename", json!("../../etc/passwd")),
            "arguments/filename",
        ),
        (with("filename", json!("a\r\nb")), "arguments/filename"),
        (
            with("filename", json!("x".repeat(300))),
            "arguments/filename",
        ),
        (with("public", json!("yes")), "arguments/public"),
        (with("sha256", json!("abc")), "arguments/sha256"),
        (with("size", json!(-1)), "arguments/size"),
        (with("size", json!(1.5)), "arguments/size"),
        (with("size", json!(u64::MAX)), "arguments/size"),
        (with("max_bytes", json!(0)), "arguments/max_bytes"),
        (with("headers", json!({ "a b": "c" })), "arguments/headers"),
        (
            with("headers", json!({ "x": "a\r\nb: c" })),
            "arguments/headers",
        ),
        (
            with("headers", json!({ "Host": "inside" })),
            "arguments/headers",
        ),
        (with("headers", json!({ "x": 1 })), "arguments/headers/x"),
        (with("headers", Value::Object(headers)), "arguments/headers"),
        (with("colour", json!("red")), "arguments/colour"),
        (attribute("priority", json!(101)), "priority"),
        (attribute("priority", json!("high")), "priority"),
        (attribute("priority", json!(i64::MIN)), "priority"),
        (attribute("unicity", json!("")), "unicity"),
        (attribute("unicity", json!("a\0b")), "unicity"),
        (attribute("unicity", json!("x".repeat(256))), "unicity"),
        (attribute("scheduled_at", json!("tomorrow")), "scheduled_at"),
        (
            attribute("scheduled_at", json!("2030-01-01T00:00:00")),
            "scheduled_at",
        ),
        (
            attribute("scheduled_at", json!("+262000-01-01T00:00:00Z")),
            "scheduled_at",
        ),
        (attribute("max_retries", json!(101)), "max_retries"),
        (attribute("max_retries", json!(-1)), "max_retries"),
        (attribute("job_class", json!("media:export")), "job_class"),
        (attribute("status", json!("succeeded")), "status"),
    ] {
        let answer = service.post("/jobs", &document).await;
        let error = error(
            answer,
            422,
            &document.to_string()[..document.to_string().len().min(300)],
        )
        .await;
        let expected = format!("/data/attributes/{pointer}");
        assert_eq!(error["source"]["pointer"], expected, "{error}");
    }
    let mut document = import(&good, json!({}));
    document["data"]["type"] = json!("media:medias");
    let answer = service.post("/jobs", &document).await;
    assert_eq!(
        error(answer, 409, "type").await["source"]["pointer"],
        "/data/type"
    );
    let jobs: Value = service.get("/jobs").await.json().await.unwrap();
    assert_eq!(jobs["data"], json!([]), "nothing was entered");
}

#[tokio::test]
async fn invalid_paths_and_parameters_are_refused() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (method, path, status, parameter) in [
        (Method::GET, "/nowhere", 404, None),
        (Method::GET, "/jobs//", 404, None),
        (Method::GET, "/jobs/nonsense", 404, None),
        (Method::GET, "/jobs/%00", 404, None),
        (Method::GET, "/jobs/%ff", 404, None),
        (
            Method::GET,
            "/jobs/00000000-0000-0000-0000-000000000000",
            404,
            None,
        ),
        (Method::PATCH, "/jobs", 405, None),
        (Method::PUT, "/medias/info/r", 405, None),
        (
            Method::GET,
            "/jobs?page[number]=0",
            422,
            Some("page[number]"),
        ),
        (
            Method::GET,
            "/jobs?page[number]=-1",
            422,
            Some("page[number]"),
        ),
        (
            Method::GET,
            "/jobs?page[number]=x",
            422,
            Some("page[number]"),
        ),
        (
            Method::GET,
            "/jobs?page[number]=99999999999999999999",
            422,
            Some("page[number]"),
        ),
        (Method::GET, "/jobs?page[size]=0", 422, Some("page[size]")),
        (
            Method::GET,
            "/jobs?page[size]=1001",
            422,
            Some("page[size]"),
        ),
        (Method::GET, "/jobs?page[size]=", 422, Some("page[size]")),
        (Method::GET, "/jobs?page[after]=x", 422, Some("page[after]")),
        (Method::GET, "/jobs?count=maybe", 422, Some("count")),
        (Method::GET, "/jobs?colour=red", 400, Some("colour")),
        (
            Method::GET,
            "/medias?page[colour]=red",
            400,
            Some("page[colour]"),
        ),
        (Method::GET, "/medias/info/nothing", 404, None),
        (Method::GET, "/medias/info/..%2f..%2fetc", 404, None),
        (Method::GET, "/medias/files/a%00b", 404, None),
        (Method::GET, "/medias/files/r/k/more", 404, None),
        (Method::DELETE, "/medias/files/nothing", 404, None),
        (
            Method::GET,
            "/medias/files/r?disposition=sideways",
            422,
            Some("disposition"),
        ),
    ] {
        let request = service
            .http
            .request(method.clone(), service.url(path))
            .timeout(LIMIT);
        let error = error(
            request.send().await.unwrap(),
            status,
            &format!("{method} {path}"),
        )
        .await;
        assert_eq!(
            error["source"]["parameter"].as_str(),
            parameter,
            "{method} {path}: {error}"
        );
    }
    // The HTTP client would normalize these paths.
    for path in [
        "/medias/files/..",
        "/medias/files/%2e%2e",
        "/medias/files/a%2fb",
        "/medias/files/r/a%00b",
    ] {
        let raw = raw_post(&service.url(path)).await;
        assert!(raw.starts_with("HTTP/1.1 4"), "{path}: {raw}");
    }
    let refused = service
        .http
        .patch(service.url("/jobs"))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.headers()["allow"], "GET, HEAD, POST");
    assert_eq!(service.get("/livez").await.status(), StatusCode::OK);
}

/// Posts a small form to exactly this URL.
async fn raw_post(url: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let body = "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"x\"\r\n\r\nx\r\n--b--\r\n";
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_documentation_needs_no_network() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let document: Value = service.get("/openapi.json").await.json().await.unwrap();
    for path in [
        "/jobs",
        "/jobs/{resource_id}",
        "/medias",
        "/medias/info/{resource}",
        "/medias/info/{resource}/{key}",
        "/medias/files/{resource}",
        "/medias/files/{resource}/{key}",
        "/livez",
        "/readyz",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let form = &document["paths"]["/medias/files/{resource}"]["post"]["requestBody"]["content"]["multipart/form-data"]
        ["schema"];
    assert_eq!(form["properties"]["media"]["format"], "binary");
    let page = service.get("/docs").await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(page.contains("swagger"));
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
}
