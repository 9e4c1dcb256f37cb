//! Authentication by tokens: accepted, refused and missing ones.

use media_testkit::{
    service::Service,
    tokens::{SECRET, claims, claims_with, hs256_token, seconds_from_now, secret_token, token},
};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::fixture::with_authentication;

mod published;
mod settings;

/// Requests the list of jobs with a token.
async fn ask(service: &Service, token: &str) -> Response {
    let request = service.http.get(service.url("/jobs"));
    request.bearer_auth(token).send().await.unwrap()
}

async fn assert_accepted(service: &Service, token: &str) {
    let answer = ask(service, token).await;
    let status = answer.status();
    assert_eq!(status, StatusCode::OK, "{}", answer.text().await.unwrap());
}

/// Checks that a response refuses an invalid token and says why.
async fn assert_refusal(answer: Response, why: &str, what: &str) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
    let headers = answer.headers().clone();
    assert_eq!(
        headers["content-type"], "application/vnd.api+json",
        "{what}"
    );
    let challenge = headers["www-authenticate"].to_str().unwrap();
    let expected = "Bearer realm=\"media\", error=\"invalid_token\", error_description=\"";
    assert!(challenge.starts_with(expected), "{what}: {challenge}");
    let document: Value = answer.json().await.unwrap();
    let error = &document["errors"][0];
    assert_eq!(error["status"], "401", "{what}");
    assert_eq!(error["code"], "invalid_token", "{what}");
    assert_eq!(error["source"]["header"], "Authorization", "{what}");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains(why), "{what}: {detail}");
    assert!(challenge.contains(detail), "{what}: {challenge}");
}

async fn assert_refused(service: &Service, token: &str, why: &str, what: &str) {
    let answer = ask(service, token).await;
    assert_refusal(answer, why, what).await;
}

/// Checks that a response asks for a token.
async fn assert_needs_token(answer: Response, what: &str) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
    let challenge = &answer.headers()["www-authenticate"];
    assert_eq!(challenge, "Bearer realm=\"media\"", "{what}");
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["errors"][0]["code"], "unauthenticated", "{what}");
}

#[tokio::test]
async fn valid_tokens_are_accepted() {
    let installation = with_authentication();
    let service = installation.serve().await;
    for good in [
        json!({}),
        json!({ "role": "admin" }),
        json!({ "role": "service", "project_id": "one", "scope": "media:read" }),
        json!({ "role": "user", "project_id": ["one", "two"], "iat": seconds_from_now(0) }),
        json!({ "nbf": seconds_from_now(-5), "iss": "whoever", "else": { "is": ["ignored"] } }),
        // Small differences between clocks are tolerated.
        json!({ "exp": seconds_from_now(-10) }),
        json!({ "nbf": seconds_from_now(10) }),
    ] {
        assert_accepted(&service, &secret_token(SECRET, &claims_with("ann", good))).await;
    }
    let good = secret_token(SECRET, &claims("ann"));
    for scheme in ["bearer", "BEARER", "Bearer "] {
        let request = service.http.get(service.url("/jobs"));
        let request = request.header(header::AUTHORIZATION, format!("{scheme} {good}"));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
    // With authentication, every Host header is accepted.
    let request = service.http.get(service.url("/jobs")).bearer_auth(&good);
    let request = request.header(header::HOST, "media.example.org");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn without_a_token_only_open_operations_answer() {
    let installation = with_authentication();
    let service = installation.serve().await;
    for (method, path) in [
        (Method::GET, "/jobs"),
        (Method::POST, "/jobs"),
        (Method::GET, "/jobs/01a209d3-ac64-703f-91dc-9affcb76ba68"),
        (Method::GET, "/medias"),
        (Method::POST, "/medias/files/a"),
        (Method::DELETE, "/medias/files/a/b"),
        (Method::PUT, "/medias/files/a/b"),
        (Method::POST, "/livezz"),
        (Method::GET, "/metrics"),
        (Method::GET, "/nowhere"),
    ] {
        let request = service.http.request(method.clone(), service.url(path));
        assert_needs_token(request.send().await.unwrap(), &format!("{method} {path}")).await;
    }
    for path in ["/medias/files/a", "/medias/files/a/b", "/medias/info/a"] {
        assert_eq!(service.get(path).await.status(), StatusCode::NOT_FOUND);
        let request = service.http.get(service.url(path)).bearer_auth("bad");
        assert_refusal(request.send().await.unwrap(), "no signed", path).await;
    }
    for path in ["/livez", "/readyz", "/openapi.json", "/docs"] {
        assert_eq!(service.get(path).await.status(), StatusCode::OK, "{path}");
        let request = service.http.get(service.url(path)).bearer_auth("bad");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_token_is_accepted_in_the_authorization_header_only() {
    let installation = with_authentication();
    let service = installation.serve().await;
    let good = secret_token(SECRET, &claims("ann"));
    let path = format!("/jobs?access_token={good}");
    assert_needs_token(service.get(&path).await, "in the query").await;
    let jobs = || service.http.get(service.url("/jobs"));
    let twice = jobs().bearer_auth(&good).bearer_auth(&good);
    assert_refusal(twice.send().await.unwrap(), "more than one", "twice").await;
    let cookie = jobs().header(header::COOKIE, format!("access_token={good}"));
    assert_needs_token(cookie.send().await.unwrap(), "in a cookie").await;
    for other in ["Basic dXNlcjpwYXNzd29yZA==", "Bearer", "", &good] {
        let request = jobs().header(header::AUTHORIZATION, other);
        assert_needs_token(request.send().await.unwrap(), other).await;
    }
    let bytes = jobs().header(header::AUTHORIZATION, &b"Bearer \xff\xfe"[..]);
    assert_refusal(bytes.send().await.unwrap(), "no text", "bytes").await;
}

#[tokio::test]
async fn forged_and_broken_tokens_are_refused() {
    let installation = with_authentication();
    let service = installation.serve().await;
    let good = secret_token(SECRET, &claims("ann"));
    let none = |_: &[u8]| Vec::new();
    let (header, claimed) = (json!({ "alg": "HS256" }), claims("ann"));
    let parts: Vec<&str> = good.split('.').collect();
    let other = secret_token(SECRET, &claims("eve"));
    let swapped = other.split('.').nth(1).unwrap();
    let hs256 = |header: Value| hs256_token(SECRET.as_bytes(), &header, &claimed);
    for (forged, why, what) in [
        (
            secret_token("another", &claimed),
            "signature",
            "another secret",
        ),
        (
            format!("{}.{swapped}.{}", parts[0], parts[2]),
            "signature",
            "other claims",
        ),
        (token(&header, &claimed, none), "signature", "no signature"),
        (
            format!("{}.{}", parts[0], parts[1]),
            "no signed",
            "two parts",
        ),
        (format!("{good}.{}", parts[2]), "no signed", "four parts"),
        (
            token(&json!({ "alg": "none" }), &claimed, none),
            "algorithm",
            "none",
        ),
        (
            token(&json!({ "alg": "NONE" }), &claimed, none),
            "algorithm",
            "NONE",
        ),
        (
            token(&json!({ "alg": "" }), &claimed, none),
            "algorithm",
            "empty",
        ),
        (
            token(&json!({}), &claimed, none),
            "algorithm",
            "without algorithm",
        ),
        (hs256(json!({ "alg": "HS384" })), "algorithm", "HS384"),
        (hs256(json!({ "alg": "HS512" })), "algorithm", "HS512"),
        (hs256(json!({ "alg": "RS256" })), "algorithm", "RS256"),
        (
            hs256(json!({ "alg": "EdDSA", "kid": "k" })),
            "algorithm",
            "EdDSA",
        ),
        (
            hs256(json!({ "alg": "HS256", "crit": ["exp"] })),
            "critical",
            "crit",
        ),
        (
            hs256(json!({ "alg": ["HS256"] })),
            "no signed",
            "a list of algorithms",
        ),
        (
            hs256(json!({ "alg": "HS256", "kid": 7 })),
            "no signed",
            "a number for a name",
        ),
        (hs256(json!(["HS256"])), "no signed", "a list"),
        (
            hs256_token(SECRET.as_bytes(), &header, &"claims"),
            "cannot be read",
            "text",
        ),
        (
            hs256_token(SECRET.as_bytes(), &header, &"[]"),
            "cannot be read",
            "a list of claims",
        ),
        (
            hs256_token(
                SECRET.as_bytes(),
                &header,
                &r#"{"exp":9e9,"sub":"a","sub":"b"}"#,
            ),
            "cannot be read",
            "two subjects",
        ),
        (
            secret_token(
                SECRET,
                &claims_with("ann", json!({ "x": "y".repeat(8192) })),
            ),
            "8192",
            "oversized",
        ),
        ("x".repeat(100_000), "8192", "oversized garbage"),
        ("garbage".to_owned(), "no signed", "garbage"),
        ("..".to_owned(), "no signed", "dots"),
        ("e30.e30.e30".to_owned(), "no signed", "empty objects"),
        (
            format!("{good}\"; DROP TABLE jobs"),
            "",
            "more than a token",
        ),
        (format!("{good} {good}"), "", "two tokens"),
        (format!("{good}="), "", "padding"),
    ] {
        assert_refused(&service, &forged, why, what).await;
    }
}

#[tokio::test]
async fn invalid_claims_are_refused() {
    let installation = with_authentication();
    let service = installation.serve().await;
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    for (more, why) in [
        (json!({ "exp": seconds_from_now(-60) }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "exp": null }), "exp"),
        (json!({ "exp": "tomorrow" }), "exp"),
        (json!({ "exp": -1 }), "exp"),
        (json!({ "nbf": seconds_from_now(60) }), "not valid yet"),
        (json!({ "nbf": "yesterday" }), "nbf"),
        // An audience is required to match, and this service has none configured.
        (json!({ "aud": "media" }), "aud"),
        (json!({ "aud": ["media"] }), "aud"),
        (json!({ "aud": [] }), "aud"),
        (json!({ "aud": 7 }), "aud"),
        (json!({ "sub": null }), "sub"),
        (json!({ "sub": 7 }), "sub"),
        (json!({ "sub": "" }), "sub"),
        (json!({ "sub": "a\u{0}b" }), "sub"),
        (json!({ "sub": "s".repeat(256) }), "sub"),
        (json!({ "role": "root" }), "role"),
        (json!({ "role": true }), "role"),
        (json!({ "project_id": 7 }), "project_id"),
        (json!({ "project_id": many }), "project_id"),
        (json!({ "scope": ["media:read"] }), "scope"),
    ] {
        let wrong = secret_token(SECRET, &claims_with("ann", more.clone()));
        assert_refused(&service, &wrong, why, &more.to_string()).await;
    }
    let endless = secret_token(SECRET, &json!({ "sub": "ann" }));
    assert_refused(&service, &endless, "exp", "without an end").await;
}

#[tokio::test]
async fn audience_and_issuer_are_required_if_configured() {
    let installation = with_authentication()
        .with("MEDIA_JWT_AUDIENCE", "media")
        .with("MEDIA_JWT_ISSUER", "https://login.test/");
    let service = installation.serve().await;
    let good = json!({ "aud": "media", "iss": "https://login.test/" });
    assert_accepted(
        &service,
        &secret_token(SECRET, &claims_with("ann", good.clone())),
    )
    .await;
    let several = json!({ "aud": ["mail", "media"], "iss": "https://login.test/" });
    assert_accepted(
        &service,
        &secret_token(SECRET, &claims_with("ann", several)),
    )
    .await;
    for (claim, wrong) in [
        ("aud", json!("mail")),
        ("aud", json!("Media")),
        ("aud", json!(["mail"])),
        ("aud", json!([])),
        ("aud", json!(7)),
        ("aud", json!(null)),
        ("iss", json!("https://login.test")),
        ("iss", json!("https://evil.test/")),
        ("iss", json!(null)),
    ] {
        let mut claims = claims_with("ann", good.clone());
        claims[claim] = wrong.clone();
        let forged = secret_token(SECRET, &claims);
        assert_refused(&service, &forged, claim, &format!("{claim}: {wrong}")).await;
    }
}
