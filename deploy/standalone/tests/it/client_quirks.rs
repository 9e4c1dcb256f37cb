//! Deviations of real clients in forms, documents and queries, which are accepted.

use media_testkit::service::{Installation, Service, import};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::MEDIA;

async fn post(service: &Service, path: &str, content_type: &str, body: &[u8]) -> Response {
    let request = service.http.post(service.url(path));
    let request = request.header("content-type", content_type);
    request.body(body.to_vec()).send().await.unwrap()
}

async fn detail(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let document: Value = answer.json().await.unwrap();
    let detail = document["errors"][0]["detail"].as_str();
    (status, detail.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn unusual_forms_are_accepted() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (headers, expected, charset) in [
        (&b"Content-Disposition: form-data; name=\"media\"; filename*=UTF-8''%C3%A9.txt"[..], "é.txt", None),
        (b"Content-Disposition: form-data; filename*=UTF-8''%C3%A9.txt; filename=e.txt; name=media", "é.txt", None),
        (b"Content-Disposition: form-data; filename=\"x; name=public\"; name=\"media\"", "x; name=public", None),
        (b"Content-Disposition: form-data; filename=name=a.txt; name=media", "name=a.txt", None),
        (b"Content-Disposition: form-data; name=\"media\"; filename=\"=?utf-8?Q?=C3=A9.txt?=\"", "é.txt", None),
        (b"Content-Disposition: form-data; name=\"media\"; filename=\"caf\xe9.txt\"", "café.txt", None),
        (b"Content-Disposition: form-data; name=\"media\"; filename=\"a %22b%22.txt\"", "a \"b\".txt", None),
        (b"Content-Disposition: form-data;\r\n\tname=\"media\";\r\n filename=\"folded.txt\"\r\nContent-Type: text/plain;\r\n charset=iso-8859-15", "folded.txt", Some("iso-8859-15")),
        (b"content-disposition : form-data; name = media; filename = a b.txt", "a b.txt", None),
        (b"Content-Type: text/plain; charset=\"UTF-8\"\r\nContent-Disposition: form-data; name=media; filename=\"C:\\dir\\a.txt\"", "a.txt", Some("utf-8")),
    ] {
        let boundary = "----=_Part_1==";
        let content = [b"------=_Part_1==\r\n", headers, b"\r\n\r\ntext\r\n------=_Part_1==--\r\n"].concat();
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let answer = post(&service, "/medias/files/forms", &content_type, &content).await;
        let status = answer.status();
        let document: Value = answer.json().await.unwrap();
        let shown = headers.escape_ascii();
        assert!(status.is_success(), "{shown}: {document}");
        let media = &document["data"]["attributes"];
        assert_eq!(media["filename"], expected, "{shown}");
        assert_eq!(media["charset"], json!(charset), "{shown}");
        assert_eq!(media["size"], 4, "{shown}");
    }
    // A wrong field is named in the error, even if the file is large.
    for size in [10, 1 << 20] {
        let head = b"--cut\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"a.png\"\r\n\r\n";
        let content = [head, vec![b'\xff'; size].as_slice(), b"\r\n--cut--"].concat();
        let answer = post(
            &service,
            "/medias/files/forms",
            "multipart/form-data; boundary=cut",
            &content,
        )
        .await;
        let (status, detail) = detail(answer).await;
        assert_eq!(status, 422, "{detail}");
        assert!(
            detail.contains("`picture` is not a field") && detail.contains("`media`"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn profiles_charsets_and_byte_order_marks_are_ignored() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (accept, status) in [
        (
            "application/vnd.api+json; profile=\"https://profiles.test/a https://profiles.test/b\"",
            200,
        ),
        ("application/vnd.api+json;profile=\"x\", text/html", 200),
        ("application/json; charset=utf-8", 200),
        (
            "application/vnd.api+json; ext=\"https://extensions.test/a\"",
            406,
        ),
    ] {
        for path in ["/jobs", "/medias"] {
            let request = service.http.get(service.url(path)).header("accept", accept);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{path} {accept}");
            assert_eq!(answer.headers()["content-type"], "application/vnd.api+json");
        }
    }
    let document = import(
        &json!({ "url": "http://127.0.0.2/", "resource": "r" }),
        json!({}),
    )
    .to_string();
    for content_type in [
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/vnd.api+json; profile=\"x\"",
    ] {
        let body = format!("\u{feff}{document}");
        let answer = post(&service, "/jobs", content_type, body.as_bytes()).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{content_type}");
    }
}

#[tokio::test]
async fn times_are_parsed_alike_in_bodies_and_queries() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for time in [
        "2030-01-31T12:00:00+0200",
        "2030-01-31T12:00:00+02:00",
        "2030-01-31T10:00:00Z",
    ] {
        let arguments = json!({ "url": "http://127.0.0.2/", "resource": "r" });
        let document = import(&arguments, json!({ "scheduled_at": time }));
        let answer = service.post("/jobs", &document).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{time}");
        for spelling in [time.replace('+', "%2B"), time.to_owned()] {
            let list = service
                .get(&format!("/jobs?filter[scheduled_at]={spelling}&count=true"))
                .await;
            assert_eq!(list.status(), StatusCode::OK, "{spelling}");
            let list: Value = list.json().await.unwrap();
            assert!(
                list["meta"]["count"].as_u64().unwrap() > 0,
                "{spelling}: {list}"
            );
        }
    }
    let arguments = json!({ "url": "http://127.0.0.2/", "resource": "r" });
    let document = import(&arguments, json!({ "scheduled_at": "2030-01-31T12:00:00" }));
    let (status, in_body) = detail(service.post("/jobs", &document).await).await;
    assert_eq!(status, 422);
    let answer = service
        .get("/jobs?filter[scheduled_at]=2030-01-31T12:00:00")
        .await;
    let (status, in_query) = detail(answer).await;
    assert_eq!(status, 422);
    for said in [in_body, in_query] {
        assert!(said.contains("no time zone"), "{said}");
    }
}

#[tokio::test]
async fn no_error_names_a_line_and_a_column() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for body in [
        "",
        "{",
        "nonsense",
        "{\"data\": {}}",
        "{\"data\": {\"type\": \"media:jobs\", \"attributes\": {\"job_class\": 7}}}",
        "{\"data\": {\"type\": \"media:jobs\", \"attributes\": {\"colour\": 7}}}",
        "{\"data\": {\"type\": \"media:jobs\", \"attributes\": {\"scheduled_at\": \"soon\"}}}",
        "{\"data\": {\"type\": \"other\"}}",
        "[1, 2,",
        "{} {}",
    ] {
        let answer = post(&service, "/jobs", "application/json", body.as_bytes()).await;
        let (status, said) = detail(answer).await;
        assert!(
            (400..500).contains(&status) && !said.is_empty(),
            "{body}: {said}"
        );
        assert!(
            !said.contains(" line ") && !said.contains("column"),
            "{body}: {said}"
        );
    }
}

#[tokio::test]
async fn downloads_ignore_unknown_parameters() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let form = b"--cut\r\nContent-Disposition: form-data; name=media; filename=a.txt\r\n\r\nmoored\r\n--cut--";
    for path in ["/medias/files/link", "/medias/files/link/key"] {
        let answer = post(&service, path, "multipart/form-data; boundary=cut", form).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    for query in [
        "?v=3",
        "?utm_source=letter&utm_medium=a",
        "?disposition=inline&t=1",
        "?key=key",
        "?key=key&v=1",
    ] {
        for kind in ["files", "info"] {
            let answer = service.get(&format!("/medias/{kind}/link{query}")).await;
            assert_eq!(answer.status(), StatusCode::OK, "{kind} {query}");
        }
    }
    let answer = service.get("/medias/files/link?key=none").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    // Lists refuse unknown parameters.
    assert_eq!(
        service.get("/medias?v=3").await.status(),
        StatusCode::BAD_REQUEST
    );
}
