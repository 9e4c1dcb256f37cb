//! `PUT` of files, `Expect: 100-continue`, and the deviations of upload widgets.

use media_testkit::{
    service::{Installation, Service},
    tokens::{SECRET, claims, project_token, secret_token},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};

use crate::fixture::{MEDIA, ask_raw, error_code, file, with_authentication};

async fn put(service: &Service, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut request = service.http.put(service.url(path)).body(body.to_vec());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn the_body_of_a_put_is_the_file() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let png = file("swirl.png");
    let answer = put(&service, "/medias/files/put/a.png", &[], &png).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["location"], "/medias/files/put/a.png");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let document: Value = answer.json().await.unwrap();
    let media = &document["data"]["attributes"];
    assert_eq!(media["filename"], "a.png");
    assert_eq!(media["mime_type"], "image/png");
    assert_eq!(media["public"], false);
    let back = service.get("/medias/files/put/a.png").await;
    assert_eq!(back.bytes().await.unwrap(), png);

    let described = [
        ("content-type", "text/plain; charset=iso-8859-15"),
        (
            "content-disposition",
            "attachment; filename*=UTF-8''%C3%A9.txt",
        ),
        ("if-match", &tag),
    ];
    let path = "/medias/files/put/a.png?public=True";
    let answer = put(&service, path, &described, b"plain text").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let document: Value = answer.json().await.unwrap();
    let media = &document["data"]["attributes"];
    assert_eq!(media["filename"], "é.txt");
    assert_eq!(media["mime_type"], "text/plain");
    assert_eq!(media["charset"], "iso-8859-15");
    assert_eq!(media["public"], true);

    let answer = put(&service, "/medias/files/empty", &[], b"").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(service.media("empty").await["filename"], "download");
}

#[tokio::test]
async fn an_invalid_put_is_refused_and_leaves_nothing() {
    let installation = Installation::new(MEDIA).with("MEDIA_MAX_BYTES", "1KiB");
    let service = installation.serve().await;
    let path = "/medias/files/put/a";
    let codings = [
        ("content-encoding", "identity"),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(put(&service, path, &codings, b"x").await.status(), 415);
    for (path, header, body, status, code) in [
        (path, ("if-match", "*"), 10, 412, "precondition_failed"),
        (
            path,
            ("content-type", "multipart/form-data; boundary=b"),
            10,
            415,
            "unsupported_media_type",
        ),
        (
            path,
            ("content-encoding", "gzip"),
            10,
            415,
            "unsupported_media_type",
        ),
        (
            path,
            ("content-range", "bytes 0-9/100"),
            10,
            400,
            "bad_request",
        ),
        (path, ("expect", "a-miracle"), 10, 417, "expectation_failed"),
        (path, ("x", "x"), 1025, 413, "too_large"),
        (
            "/medias/files/put/a%5Cb",
            ("x", "x"),
            10,
            422,
            "invalid_value",
        ),
        (
            "/medias/files/put/a?public=yes",
            ("x", "x"),
            10,
            422,
            "invalid_value",
        ),
        (
            "/medias/files/put/a?pubic=true",
            ("x", "x"),
            10,
            400,
            "unknown_parameter",
        ),
        (
            "/medias/info/put/a",
            ("x", "x"),
            10,
            405,
            "method_not_allowed",
        ),
    ] {
        let answer = put(&service, path, &[header], &vec![7; body]).await;
        assert_eq!(answer.status().as_u16(), status, "{path} {header:?}");
        assert_eq!(error_code(answer).await, code, "{path} {header:?}");
    }
    // A body that ends before its announced length.
    let mut stream = TcpStream::connect(service.url("").replace("http://", ""))
        .await
        .unwrap();
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome bytes");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert_eq!(
        service.get("/medias/info/put/a").await.status(),
        StatusCode::NOT_FOUND
    );
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn a_refused_upload_is_answered_before_its_body() {
    const FORM: &str = "Content-Type: multipart/form-data; boundary=b\r\n";
    const FILES: &str = "/medias/files/up/load";
    let installation = with_authentication()
        .with("MEDIA_MAX_BYTES", "1MiB")
        .with("MEDIA_PROJECT_MAX_BYTES", "200KiB")
        .with("MEDIA_RATE_LIMIT", "off");
    let service = installation.serve().await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let ann = bearer(&project_token("ann", "press"));
    let bob = bearer(&secret_token(SECRET, &claims("bob")));
    let length = |bytes: usize| format!("Content-Length: {bytes}\r\n");
    let (small, over_quota, too_large) = (length(1000), length(400_000), length(2 << 20));
    for (method, path, headers, status) in [
        (Method::PUT, FILES, format!("{ann}{small}"), "100"),
        (Method::POST, FILES, format!("{ann}{FORM}{small}"), "100"),
        (Method::PUT, FILES, small.clone(), "401"),
        (Method::POST, FILES, format!("{FORM}{small}"), "401"),
        (Method::PUT, FILES, format!("{bob}{small}"), "403"),
        (Method::POST, "/nowhere", format!("{ann}{small}"), "404"),
        (Method::PUT, "/jobs", format!("{ann}{small}"), "405"),
        (
            Method::PUT,
            FILES,
            format!("{ann}{small}If-Match: *\r\n"),
            "412",
        ),
        (
            Method::POST,
            FILES,
            format!("{ann}{FORM}{small}If-Match: *\r\n"),
            "412",
        ),
        (Method::PUT, FILES, format!("{ann}{too_large}"), "413"),
        (
            Method::POST,
            FILES,
            format!("{ann}{FORM}{too_large}"),
            "413",
        ),
        (
            Method::POST,
            "/jobs",
            format!("{ann}Content-Type: application/json\r\n{too_large}"),
            "413",
        ),
        (Method::PUT, FILES, format!("{ann}{FORM}{small}"), "415"),
        (Method::POST, FILES, format!("{ann}{small}"), "415"),
        (
            Method::PUT,
            FILES,
            format!("{ann}{small}Expect: x\r\n"),
            "417",
        ),
        (
            Method::PUT,
            "/medias/files/up/..",
            format!("{ann}{small}"),
            "422",
        ),
        (Method::PUT, FILES, format!("{ann}{over_quota}"), "507"),
        (
            Method::POST,
            FILES,
            format!("{ann}{FORM}{over_quota}"),
            "507",
        ),
    ] {
        let headers = format!("Expect: 100-continue\r\n{headers}");
        let answer = ask_raw(&service, &method, path, &headers).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(
            answer.starts_with(&expected),
            "{method} {path} {headers:?}: {answer}"
        );
    }
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn curl_uploads_a_large_file() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let path = installation.directory().join("large.bin");
    std::fs::write(&path, vec![7; 3 << 20]).unwrap();
    // curl expects `100 Continue` for bodies of this size, and appends the name to a URL that ends in a slash.
    let output = Command::new("curl")
        .args(["-sv", "-T"])
        .arg(&path)
        .arg(service.url("/medias/files/curl/from/here/"))
        .output()
        .await
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("HTTP/1.1 100"), "{log}");
    assert!(log.contains("HTTP/1.1 201"), "{log}");
    let media = service.media("curl/from/here/large.bin").await;
    assert_eq!(media["key"], "from/here/large.bin");
    assert_eq!(media["filename"], "large.bin");
    assert_eq!(media["size"], 3 << 20);
}

#[tokio::test]
async fn forms_of_upload_widgets_are_accepted() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let part = |name: &str, value: &str| {
        format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let whole = |name: &str| {
        format!(
            "--cut\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\ntext\r\n"
        )
    };
    let post = async |parts: &[String]| {
        let form = format!("{}--cut--\r\n", parts.concat());
        let request = service.http.post(service.url("/medias/files/widget"));
        let request = request.header("content-type", "multipart/form-data; boundary=cut");
        let answer = request.body(form).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let digest = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1";
    for (parts, public) in [
        (
            vec![
                part("relativePath", "null"),
                part("name", "a.txt"),
                part("type", "text/plain"),
                whole("file"),
            ],
            false,
        ),
        (vec![whole("file"), part("public", "on")], true),
        (
            vec![
                whole("media"),
                part("public", "1"),
                part("size", "4"),
                part("sha256", digest),
            ],
            true,
        ),
        (vec![part("public", "True"), whole("media")], true),
        (vec![part("public", "0"), whole("media")], false),
        (vec![part("public", "off"), whole("media")], false),
        (
            vec![
                part("public", "False"),
                whole("media"),
                part("type", "text/plain"),
            ],
            false,
        ),
    ] {
        let (status, document) = post(&parts).await;
        assert!(matches!(status, 200 | 201), "{parts:?}: {document}");
        let media = &document["data"]["attributes"];
        assert_eq!(
            (&media["public"], &media["filename"]),
            (&json!(public), &json!("a.txt")),
            "{parts:?}"
        );
    }
    let (_, document) = post(&[whole("media"), part("filename", "b.txt")]).await;
    assert_eq!(document["data"]["attributes"]["filename"], "b.txt");
    let (status, document) = post(&[part("public", "1"), whole("photo")]).await;
    assert_eq!(status, 422);
    let error = &document["errors"][0];
    assert_eq!(
        error["detail"],
        "`photo` is not a field of this form; send the file as `media`"
    );
    assert_eq!(error["source"]["pointer"], "/photo");
}
