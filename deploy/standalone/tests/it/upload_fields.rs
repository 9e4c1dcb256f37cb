//! Digests that uploads must have (RFC 9530), and the form fields `meta`, `expires_at` and
//! `project_id`.

use media_testkit::{
    service::{Installation, Service},
    tokens::{SECRET, claims_with, secret_token},
};
use reqwest::{
    StatusCode,
    header::HeaderMap,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::fixture::{MEDIA, file_part, with_authentication};

const FILES: &str = "/medias/files/up/load";
const INFO: &str = "/medias/info/up/load";

// The digests of `text`.
const SHA256: &str = "sha-256=:mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE=:";
const SHA512: &str = "sha-512=:6vLBJ0LLjBYby9hLAyubuYmZojKCVCZyygHMbt0mj33OmYetayvHkwVjT4nZC5AQK81ZpX5xNbjjzrk8BZcRew==:";
const SHA256_HEX: &str = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1";
// The digests of other bytes.
const OTHER_SHA256: &str = "sha-256=:hT/5N2Kgbdv3IsTr6d3WbY9j3a6pf1IcPswg2nyXYCA=:";
const OTHER_SHA512: &str = "sha-512=:9l80GzWYH9qEKwmyyK+bzbdgKkwub6H31B8JdNPjEi8mj8edWkr2Y1j1EziFzRwWXJFvgKsl5djZXbRvgDx4LA==:";

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

/// Sends `text` with `PUT`.
async fn put(service: &Service, lines: &[(&'static str, &str)]) -> (StatusCode, Value) {
    let request = service.http.put(service.url(FILES)).headers(headers(lines));
    let answer = request.body("text").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn post(service: &Service, form: Form) -> (StatusCode, Value) {
    let request = service.http.post(service.url(FILES));
    let answer = request.multipart(form).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The part of a form with the file `text`.
fn text() -> Part {
    file_part("a.txt", b"text")
}

async fn assert_nothing_is_stored(installation: &Installation, service: &Service) {
    let answer = service.get(INFO).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn a_put_with_the_digests_of_its_body_is_stored() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let both = format!("{SHA256}, {SHA512}");
    for lines in [
        &[("repr-digest", SHA256)][..],
        &[("content-digest", SHA512)],
        &[("repr-digest", &both)],
        &[("repr-digest", SHA256), ("repr-digest", SHA512)],
        &[("repr-digest", SHA256), ("content-digest", &both)],
        // An algorithm that is not verified.
        &[("repr-digest", "md5=:AQ==:"), ("content-digest", SHA256)],
    ] {
        let (status, document) = put(&service, lines).await;
        assert!(status.is_success(), "{lines:?}: {document}");
        assert_eq!(document["data"]["attributes"]["sha256"], SHA256_HEX);
    }
}

#[tokio::test]
async fn a_put_with_other_digests_than_its_body_stores_nothing() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let one_wrong = format!("{SHA256}, {OTHER_SHA512}");
    for (lines, algorithm) in [
        (&[("repr-digest", OTHER_SHA256)][..], "sha256"),
        (&[("repr-digest", OTHER_SHA512)], "sha512"),
        (&[("content-digest", OTHER_SHA256)], "sha256"),
        (&[("content-digest", OTHER_SHA512)], "sha512"),
        (&[("repr-digest", &one_wrong)], "sha512"),
        (
            &[("repr-digest", SHA256), ("content-digest", OTHER_SHA512)],
            "sha512",
        ),
    ] {
        let (status, document) = put(&service, lines).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{lines:?}");
        let error = &document["errors"][0];
        assert_eq!(error["code"], "checksum_mismatch", "{lines:?}");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains(algorithm), "{lines:?}: {detail}");
    }
    assert_nothing_is_stored(&installation, &service).await;
}

#[tokio::test]
async fn a_mismatch_keeps_the_media_that_is_there() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let (status, _) = put(&service, &[]).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, _) = put(&service, &[("repr-digest", OTHER_SHA256)]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(service.get(FILES).await.text().await.unwrap(), "text");
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn a_malformed_digest_header_is_named() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (lines, name) in [
        (&[("repr-digest", "sha-256")][..], "repr-digest"),
        (&[("repr-digest", "sha-256=:!:")], "repr-digest"),
        (&[("repr-digest", "sha-256=:AQ==:")], "repr-digest"),
        (&[("content-digest", SHA256_HEX)], "content-digest"),
        (
            &[("repr-digest", SHA256), ("content-digest", "")],
            "content-digest",
        ),
        // No bytes can have two digests.
        (
            &[("repr-digest", SHA256), ("content-digest", OTHER_SHA256)],
            "content-digest",
        ),
    ] {
        let (status, document) = put(&service, lines).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{lines:?}");
        let error = &document["errors"][0];
        assert_eq!(error["source"]["header"], name, "{lines:?}");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("`{name}` ")), "{detail}");
    }
    assert_nothing_is_stored(&installation, &service).await;
}

#[tokio::test]
async fn digests_of_a_form_are_those_of_the_part_with_the_file() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let form =
        |lines: &[(&'static str, &str)]| Form::new().part("media", text().headers(headers(lines)));
    for (form, expected) in [
        (form(&[("repr-digest", OTHER_SHA256)]), 422),
        (form(&[("content-digest", OTHER_SHA512)]), 422),
        (form(&[("content-digest", "sha-256")]), 400),
        // A field and a header that contradict each other.
        (
            Form::new()
                .text("sha256", "0".repeat(64))
                .part("media", text().headers(headers(&[("repr-digest", SHA256)]))),
            422,
        ),
        (
            form(&[("repr-digest", SHA256)]).text("sha256", "0".repeat(64)),
            422,
        ),
    ] {
        let (status, document) = post(&service, form).await;
        assert_eq!(status.as_u16(), expected, "{document}");
        if expected == 400 {
            let error = &document["errors"][0];
            assert_eq!(error["source"]["pointer"], "/media");
            let detail = error["detail"].as_str().unwrap();
            assert!(detail.starts_with("`content-digest` "), "{detail}");
        }
    }
    assert_nothing_is_stored(&installation, &service).await;
    let right = form(&[("repr-digest", SHA256), ("content-digest", SHA512)]);
    let (status, document) = post(&service, right.text("sha256", SHA256_HEX)).await;
    assert_eq!(status, StatusCode::CREATED, "{document}");

    // The headers of the request describe the form.
    let request = service.http.post(service.url(FILES));
    let request = request.multipart(Form::new().part("media", text()));
    let lines = headers(&[("repr-digest", OTHER_SHA256), ("content-digest", "x")]);
    let answer = request.headers(lines).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn meta_and_expiry_may_stand_before_or_after_the_file() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let (meta, at) = (
        r#"{ "color": "red", "n": [1] }"#,
        "2100-01-01T01:00:00+01:00",
    );
    let before = Form::new().text("meta", meta).text("expires_at", at);
    let after = Form::new().part("media", text());
    for form in [
        before.part("media", text()),
        after.text("meta", meta).text("expires_at", at),
    ] {
        let (status, document) = post(&service, form).await;
        assert!(status.is_success(), "{document}");
        let media = &document["data"]["attributes"];
        assert_eq!(media["meta"], json!({ "color": "red", "n": [1] }));
        let at = media["expires_at"].as_str().unwrap();
        assert!(at.starts_with("2100-01-01T00:00:00"), "{at}");
    }
    // A file without the fields replaces them as well.
    let (_, document) = post(&service, Form::new().part("media", text())).await;
    let media = &document["data"]["attributes"];
    assert_eq!(media["meta"], Value::Null);
    assert_eq!(media["expires_at"], Value::Null);
}

#[tokio::test]
async fn invalid_meta_is_refused_and_stores_nothing() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let nested = |levels: usize| {
        format!("{}{}", r#"{"a":"#.repeat(levels - 1), "{}") + &"}".repeat(levels - 1)
    };
    let sized = |bytes: usize| json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) }).to_string();
    for (meta, part) in [
        ("colour".to_owned(), "is not JSON"),
        (String::new(), "is not JSON"),
        ("[]".to_owned(), "must be a JSON object"),
        ("null".to_owned(), "must be a JSON object"),
        (nested(9), "nested deeper"),
        (nested(200), "is not JSON"),
        (r#"{"a":"\u0000"}"#.to_owned(), "NUL"),
        (sized((16 << 10) + 1), "16384 bytes"),
    ] {
        let before = Form::new().text("meta", meta.clone());
        let after = Form::new().part("media", text());
        for form in [before.part("media", text()), after.text("meta", meta)] {
            let (status, document) = post(&service, form).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{document}");
            let error = &document["errors"][0];
            assert_eq!(error["source"]["pointer"], "/meta");
            let detail = error["detail"].as_str().unwrap();
            assert!(detail.contains(part), "{detail}");
        }
    }
    assert_nothing_is_stored(&installation, &service).await;
    for meta in [nested(8), sized(16 << 10)] {
        let form = Form::new().text("meta", meta).part("media", text());
        let (status, document) = post(&service, form).await;
        assert!(status.is_success(), "{document}");
    }
}

#[tokio::test]
async fn an_invalid_expiry_is_refused_and_stores_nothing() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (at, part) in [
        ("2020-01-01T00:00:00Z", "must lie in the future"),
        ("2100-01-01T00:00:00", "no time zone"),
        ("tomorrow", "RFC 3339"),
        ("", "RFC 3339"),
    ] {
        let before = Form::new().text("expires_at", at);
        let after = Form::new().part("media", text());
        for form in [before.part("media", text()), after.text("expires_at", at)] {
            let (status, document) = post(&service, form).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{document}");
            let error = &document["errors"][0];
            assert_eq!(error["source"]["pointer"], "/expires_at");
            let detail = error["detail"].as_str().unwrap();
            assert!(detail.contains(part), "{detail}");
        }
    }
    assert_nothing_is_stored(&installation, &service).await;
}

#[tokio::test]
async fn a_form_names_the_project_that_query_and_token_leave_open() {
    let installation = with_authentication();
    let service = installation.serve().await;
    let token = |more| secret_token(SECRET, &claims_with("ann", more));
    let one = token(json!({ "project_id": "a", "role": "service" }));
    let several = token(json!({ "project_id": ["a", "b"], "role": "service" }));
    let admin = token(json!({ "role": "admin" }));
    for (token, query, before, after, expected) in [
        (&several, "", Some("b"), None, Ok(json!("b"))),
        (&several, "", Some("b"), Some("b"), Ok(json!("b"))),
        (&several, "?project_id=a", Some("a"), None, Ok(json!("a"))),
        (&several, "?project_id=a", None, Some("a"), Ok(json!("a"))),
        (&several, "?project_id=a", Some("b"), None, Err(422)),
        (&several, "?project_id=a", None, Some("b"), Err(422)),
        (&several, "", None, None, Err(422)),
        // The project must be known before the file.
        (&several, "", None, Some("b"), Err(422)),
        (&several, "", Some("c"), None, Err(403)),
        (&several, "", Some(""), None, Err(403)),
        (&several, "", Some("a"), Some("b"), Err(422)),
        (&one, "", Some("a"), None, Ok(json!("a"))),
        (&one, "", Some("b"), None, Err(422)),
        (&admin, "", Some("c"), None, Ok(json!("c"))),
        (&admin, "", Some(""), None, Ok(Value::Null)),
        (&admin, "", None, None, Ok(Value::Null)),
        (&admin, "", None, Some("c"), Err(422)),
    ] {
        let case = format!("{query} {before:?} {after:?} {expected:?}");
        let mut form = Form::new();
        if let Some(project) = before {
            form = form.text("project_id", project);
        }
        form = form.part("media", text());
        if let Some(project) = after {
            form = form.text("project_id", project);
        }
        let url = service.url(&format!("{FILES}{query}"));
        let request = service.http.post(url).bearer_auth(token).multipart(form);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let document: Value = answer.json().await.unwrap();
        match expected {
            Ok(project) => {
                assert!(matches!(status, 200 | 201), "{case}: {document}");
                let stored = &document["data"]["attributes"]["project_id"];
                assert_eq!(stored, &project, "{case}");
            }
            Err(expected) => {
                assert_eq!(status, expected, "{case}: {document}");
                if expected == 422 {
                    let detail = document["errors"][0]["detail"].as_str().unwrap();
                    assert!(detail.contains("project_id"), "{case}: {detail}");
                }
            }
        }
    }
    // One media in each project, and one without a project.
    installation.wait_for_stored_files(4).await;
}
