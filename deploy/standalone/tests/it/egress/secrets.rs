//! The recipients of headers, cookies and credentials.

use media_testkit::{
    closed_network,
    service::{import, unique},
};
use serde_json::{Value, json};

use super::fixture::Fixture;

/// Checks whether an origin received the headers of the import.
fn assert_secrets(seen: &str, expected: bool, url: &str) {
    let seen = seen.to_ascii_lowercase();
    for secret in ["x-secret: s3cr3t", "cookie: mine=s3cr3t"] {
        assert_eq!(seen.contains(secret), expected, "{url}: {secret}: {seen}");
    }
    // A cookie set by a redirect goes to no other origin, and no referrer is ever sent.
    let own_redirect = expected && url.contains("redirect");
    assert_eq!(seen.contains("session="), own_redirect, "{url}: {seen}");
    assert!(!seen.contains("referer:"), "{url}: {seen}");
}

#[tokio::test]
async fn secrets_are_sent_to_the_first_origin_only() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        for (url, expected) in [
            ("http://public.test/echo", true),
            ("http://public.test/redirect?/echo", true),
            ("http://public.test/redirect?http://other.test/echo", false),
            ("http://public.test/redirect?//other.test/echo", false),
            (
                "http://public.test/redirect?http://public.test:8080/echo",
                false,
            ),
            (
                "http://public.test/redirect?https://public.test/echo",
                false,
            ),
            // Not even when a redirect returns to the first host.
            (
                "http://public.test/redirect?http://other.test/redirect?http://public.test/echo",
                false,
            ),
        ] {
            let headers = json!({ "X-Secret": "s3cr3t", "Cookie": "mine=s3cr3t" });
            let arguments = json!({ "url": url, "resource": unique("egress"), "headers": headers });
            assert_secrets(&fixture.imported_with(&arguments).await, expected, url);
        }
    })
    .await;
}

#[tokio::test]
async fn credentials_in_a_url_are_sent_to_its_host_only() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        // `user:s3cr3t` in Basic (RFC 7617).
        let credentials = "authorization: Basic dXNlcjpzM2NyM3Q=";
        for (path, expected) in [
            ("echo", true),
            ("redirect?http://other.test/echo", false),
            ("redirect?//other.test/echo", false),
            ("redirect?http://public.test:8080/echo", false),
        ] {
            let url = format!("http://user:s3cr3t@public.test/{path}");
            let seen = fixture.imported(&url).await;
            assert_eq!(seen.contains(credentials), expected, "{url}: {seen}");
            let any = seen.to_ascii_lowercase().contains("authorization");
            assert_eq!(any, expected, "{url}: {seen}");
        }
    })
    .await;
}

#[tokio::test]
async fn headers_of_the_caller_are_not_sent_to_origins() {
    closed_network::run(async {
        let fixture = Fixture::start(&[]).await;
        let resource = unique("egress");
        let arguments = json!({ "url": "http://public.test/echo", "resource": resource });
        let request = fixture.service.http.post(fixture.service.url("/jobs"));
        let answer = request
            .header("cookie", "caller=s3cr3t")
            .header("x-forwarded-for", "10.0.0.5")
            .header("referer", "http://caller.test/")
            .json(&import(&arguments, json!({})))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        let document: Value = answer.json().await.unwrap();
        let seen = fixture
            .finished(&document["data"])
            .await
            .to_ascii_lowercase();
        for header in ["cookie", "x-forwarded-for", "referer", "caller"] {
            assert!(!seen.contains(header), "{header}: {seen}");
        }
    })
    .await;
}
