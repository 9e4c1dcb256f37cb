//! Ranges, conditions and headers of downloads (RFC 9110 §13, §14).

use media_testkit::service::{Installation, Service};
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap},
};

use crate::fixture::{MEDIA, file, send, upload};

async fn get(service: &Service, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let answer = send(service, Method::GET, "/medias/files/digits", headers).await;
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn ranges_follow_rfc_9110() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "digits", "digits.txt", b"0123456789").await;
    for (range, expected) in [
        ("bytes=0-3", Some(("bytes 0-3/10", "0123"))),
        ("bytes=4-", Some(("bytes 4-9/10", "456789"))),
        ("bytes=-3", Some(("bytes 7-9/10", "789"))),
        ("bytes=-300", Some(("bytes 0-9/10", "0123456789"))),
        ("bytes=8-100", Some(("bytes 8-9/10", "89"))),
        ("bytes=0-1,3-4", None),
        ("bytes=5-2", None),
        ("bytes=a-b", None),
        ("lines=1-2", None),
        ("bytes=0-99999999999999999999999", None),
    ] {
        let (status, headers, body) = get(&service, &[("range", range)]).await;
        if let Some((content_range, bytes)) = expected {
            assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(headers[header::CONTENT_RANGE], content_range);
            assert_eq!(body, bytes.as_bytes(), "{range}");
        } else {
            assert!(
                status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT,
                "{range}"
            );
            assert!(body == b"0123456789", "{range}");
        }
    }
    for range in ["bytes=10-", "bytes=-0", "bytes=100-200"] {
        let (status, headers, _) = get(&service, &[("range", range)]).await;
        assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(headers[header::CONTENT_RANGE], "bytes */10");
    }
}

#[tokio::test]
async fn conditions_follow_rfc_9110() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "digits", "digits.txt", b"0123456789").await;
    let (_, headers, _) = get(&service, &[]).await;
    let etag = headers[header::ETAG].to_str().unwrap().to_owned();
    let modified = headers[header::LAST_MODIFIED].to_str().unwrap().to_owned();
    let weak = format!("W/{etag}");
    let list = format!("\"other\", {etag}");
    let past = "Mon, 01 Jan 2001 00:00:00 GMT";
    for (headers, expected) in [
        (vec![("if-none-match", etag.as_str())], 304),
        (vec![("if-none-match", weak.as_str())], 304),
        (vec![("if-none-match", list.as_str())], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-none-match", "\"other\"")], 200),
        (vec![("if-modified-since", modified.as_str())], 304),
        (vec![("if-modified-since", past)], 200),
        (vec![("if-modified-since", "nonsense")], 200),
        (
            vec![
                ("if-none-match", "\"other\""),
                ("if-modified-since", modified.as_str()),
            ],
            200,
        ),
        (vec![("if-match", etag.as_str())], 200),
        (vec![("if-match", "\"other\"")], 412),
        (vec![("if-unmodified-since", past)], 412),
        (
            vec![("if-range", etag.as_str()), ("range", "bytes=0-1")],
            206,
        ),
        (
            vec![("if-range", weak.as_str()), ("range", "bytes=0-1")],
            200,
        ),
        (vec![("if-range", "\"other\""), ("range", "bytes=0-1")], 200),
        (
            vec![("if-range", modified.as_str()), ("range", "bytes=0-1")],
            200,
        ),
        (
            vec![("if-none-match", etag.as_str()), ("range", "bytes=0-1")],
            304,
        ),
    ] {
        let (status, answered, body) = get(&service, &headers).await;
        assert_eq!(status.as_u16(), expected, "{headers:?}");
        if expected == 304 {
            assert!(
                body.is_empty() && answered[header::ETAG] == etag.as_str(),
                "{headers:?}"
            );
        }
    }
}

#[tokio::test]
async fn head_and_return_minimal_omit_the_body() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "digits", "digits.txt", b"0123456789").await;
    let head = send(
        &service,
        Method::HEAD,
        "/medias/files/digits",
        &[("range", "bytes=0-1")],
    )
    .await;
    assert_eq!(
        head.status(),
        StatusCode::OK,
        "a range means nothing to HEAD"
    );
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "10");
    assert_eq!(head.headers()[header::ACCEPT_RANGES], "bytes");

    let minimal = [("prefer", "respond-async, return=minimal")];
    for path in ["/medias/files/digits", "/medias/info/digits"] {
        let answer = send(&service, Method::GET, path, &minimal).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.headers()["preference-applied"], "return=minimal");
        assert!(answer.headers().contains_key(header::ETAG), "{path}");
    }
    let info = send(&service, Method::GET, "/medias/info/digits", &minimal).await;
    assert_eq!(info.headers()["x-media-size"], "10");
    assert_eq!(info.headers()["x-media-filename"], "digits.txt");
}

#[tokio::test]
async fn downloads_cannot_run_scripts_in_a_browser() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let html = b"<!DOCTYPE html><script>alert(1)</script>".to_vec();
    upload(&service, "html", "page.html", &html).await;
    upload(&service, "svg", "circle.svg", &file("circle.svg")).await;
    upload(&service, "pdf", "page.pdf", &file("page.pdf")).await;
    let xhtml = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'/>";
    upload(&service, "xhtml", "page.xhtml", xhtml.as_bytes()).await;
    upload(&service, "xml", "feed.xml", b"<?xml version='1.0'?><rss/>").await;
    upload(&service, "png", "naïve \"name\".png", &file("swirl.png")).await;
    for (path, inline) in [
        ("html", false),
        ("svg", false),
        ("pdf", false),
        ("xhtml", false),
        ("xml", false),
        ("png", true),
    ] {
        let path = format!("/medias/files/{path}?disposition=inline");
        let answer = send(&service, Method::GET, &path, &[]).await;
        let disposition = answer.headers()[header::CONTENT_DISPOSITION]
            .to_str()
            .unwrap();
        assert_eq!(
            disposition.starts_with("inline;"),
            inline,
            "{path}: {disposition}"
        );
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(
            answer
                .headers()
                .contains_key(header::CONTENT_SECURITY_POLICY)
        );
    }
    // No text of a client occurs in the name of a stored file.
    for stored in installation.stored_files() {
        let name = stored.file_name().unwrap().to_str().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
    let answer = send(&service, Method::GET, "/medias/files/png", &[]).await;
    let disposition = answer.headers()[header::CONTENT_DISPOSITION]
        .to_str()
        .unwrap();
    assert!(disposition.starts_with("attachment;"), "{disposition}");
    assert!(
        disposition.contains("filename*=UTF-8''na%C3%AFve%20%22name%22.png"),
        "{disposition}"
    );
}

#[tokio::test]
async fn a_pdf_is_shown_in_a_sandbox_if_configured() {
    let installation = Installation::new(MEDIA).with("MEDIA_INLINE_PDF", "true");
    let service = installation.serve().await;
    upload(&service, "pdf", "page.pdf", &file("page.pdf")).await;
    for (query, expected) in [("?disposition=inline", "inline;"), ("", "attachment;")] {
        let answer = send(
            &service,
            Method::GET,
            &format!("/medias/files/pdf{query}"),
            &[],
        )
        .await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-disposition").starts_with(expected));
        assert!(header("content-security-policy").contains("sandbox"));
    }
}
