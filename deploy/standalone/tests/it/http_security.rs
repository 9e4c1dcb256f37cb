//! Security headers, CORS, request ids and audit lines.

use media_testkit::{
    service::{FAR_FUTURE, Installation, signal_document},
    tokens::{SECRET, SIGNING_KEY, claims, project_token, secret_token},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{MEDIA, send, with_authentication};

const PAGE: &str = "https://app.example";

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let service = Installation::new(MEDIA).serve().await;
    for (path, status) in [
        ("/jobs", StatusCode::OK),
        ("/jobs?no=such", StatusCode::BAD_REQUEST),
        ("/no/such/route", StatusCode::NOT_FOUND),
        ("/medias/files/nothing", StatusCode::NOT_FOUND),
        ("/livez", StatusCode::OK),
        ("/docs", StatusCode::OK),
        ("/openapi.json", StatusCode::OK),
    ] {
        let answer = send(&service, Method::GET, path, &[]).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(
            header(&answer, "x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(header(&answer, "x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(
            header(&answer, "referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
        let policy = header(&answer, "content-security-policy").unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("script"), "{path}: {policy}");
        assert!(header(&answer, "cache-control").is_some(), "{path}");
        assert!(
            header(&answer, "access-control-allow-origin").is_none(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_use_the_api() {
    let installation = with_authentication().with(
        "MEDIA_CORS_ORIGINS",
        &format!("{PAGE}, http://localhost:3000"),
    );
    let service = installation.serve().await;
    let asking = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    let preflight = send(&service, Method::OPTIONS, "/jobs", &asking).await;
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        header(&preflight, "access-control-allow-origin"),
        Some(PAGE)
    );
    for (name, value) in [
        ("access-control-allow-methods", "PATCH"),
        ("access-control-allow-headers", "authorization"),
    ] {
        assert!(header(&preflight, name).unwrap().contains(value), "{name}");
    }
    // A page may read refusals as well.
    let token = secret_token(SECRET, &claims("ann"));
    let bearer = format!("Bearer {token}");
    for (headers, status) in [
        (&[("origin", PAGE)][..], StatusCode::UNAUTHORIZED),
        (
            &[("origin", PAGE), ("authorization", bearer.as_str())][..],
            StatusCode::OK,
        ),
    ] {
        let answer = send(&service, Method::GET, "/jobs", headers).await;
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "access-control-allow-origin"), Some(PAGE));
        assert!(header(&answer, "access-control-allow-credentials").is_none());
        let vary = answer.headers().get_all("vary").iter();
        assert!(vary.into_iter().any(|value| value == "Origin"));
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
    ] {
        let asking = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        let answer = send(&service, Method::OPTIONS, "/jobs", &asking).await;
        assert!(
            header(&answer, "access-control-allow-origin").is_none(),
            "{origin}"
        );
        let headers = [("origin", origin), ("authorization", bearer.as_str())];
        let answer = send(&service, Method::GET, "/jobs", &headers).await;
        assert!(
            header(&answer, "access-control-allow-origin").is_none(),
            "{origin}"
        );
    }
    let wrong = Installation::new(MEDIA).with("MEDIA_CORS_ORIGINS", "app.example/path");
    let output = wrong.command(&["serve"]).output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("MEDIA_CORS_ORIGINS"));
}

#[tokio::test]
async fn without_authentication_other_sites_cannot_embed_or_read_media() {
    let any = Installation::new(MEDIA).with("MEDIA_CORS_ORIGINS", "*");
    let output = any.command(&["serve"]).output().await.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("MEDIA_CORS_ORIGINS must not be *"));
    let service = Installation::new(MEDIA).serve().await;
    let embedded = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "no-cors"),
    ];
    let refused = send(&service, Method::GET, "/medias/files/r", &embedded).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    for (guarded, policy) in [(false, "same-origin"), (true, "cross-origin")] {
        let installation = if guarded {
            with_authentication()
        } else {
            Installation::new(MEDIA)
        };
        let service = installation.serve().await;
        let answer = send(&service, Method::GET, "/medias/files/r", &[]).await;
        assert_eq!(
            header(&answer, "cross-origin-resource-policy"),
            Some(policy)
        );
        let answer = send(&service, Method::GET, "/livez", &[]).await;
        assert_eq!(
            header(&answer, "cross-origin-resource-policy"),
            Some("same-origin")
        );
    }
}

#[tokio::test]
async fn a_request_has_an_id_in_its_answer_and_in_every_line_about_it() {
    let installation = with_authentication()
        .with("MEDIA_URL_SIGNING_KEY", SIGNING_KEY)
        .with("MEDIA_LOG_FORMAT", "json")
        .logging();
    let service = installation.serve().await;
    let made = send(&service, Method::GET, "/livez", &[]).await;
    assert!(uuid::Uuid::parse_str(header(&made, "x-request-id").unwrap()).is_ok());
    let failed = send(
        &service,
        Method::GET,
        "/no/such",
        &[("x-request-id", "mine-1")],
    )
    .await;
    assert_eq!(header(&failed, "x-request-id"), Some("mine-1"));

    // Irreversible operations write an audit line with caller and operation.
    let bearer = format!("Bearer {}", project_token("ann", "press"));
    let request = async |method: Method, path: &str, id: &str, body: Value| {
        let request = service.http.request(method, service.url(path));
        let request = request
            .header("authorization", &bearer)
            .header("x-request-id", id);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        request.send().await.unwrap()
    };
    let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
    let later = json!({ "scheduled_at": FAR_FUTURE });
    let entered = media_testkit::service::import(&arguments, later);
    let entered = request(Method::POST, "/jobs", "enter", entered).await;
    let entered: Value = entered.json().await.unwrap();
    let job = entered["data"]["id"].as_str().unwrap();
    let signal = signal_document("pause");
    let path = format!("/jobs/{job}");
    let signalled = request(Method::POST, &format!("{path}/signal"), "signal", signal).await;
    assert_eq!(signalled.status(), StatusCode::OK);
    let deleted = request(Method::DELETE, &path, "delete", Value::Null).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(service.stop().await.success());
    let log = installation.log();
    for (id, act) in [("signal", "pause job"), ("delete", "delete job")] {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("\"{act}\"")));
        let line: Value = serde_json::from_str(line.unwrap()).unwrap();
        assert_eq!(line["message"], "audit", "{line}");
        assert_eq!(line["caller"], "ann", "{line}");
        assert_eq!(line["role"], "user", "{line}");
        assert_eq!(line["id"], job, "{line}");
        assert_eq!(line["spans"][0]["request_id"], id, "{line}");
    }
}
