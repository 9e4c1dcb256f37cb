//! The settings of the egress gate.

use media_testkit::{
    nginx::Nginx,
    origin::{Authority, FaultyOrigin, Tls},
    service::Installation,
};
use serde_json::json;

use crate::fixture::MEDIA;

#[tokio::test]
async fn lists_of_networks_and_hosts_are_obeyed() {
    let nginx = Nginx::start().await;
    nginx.add("file", b"bytes");
    let by_address = nginx.url("file");
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let allow = ("MEDIA_EGRESS_ALLOW", "127.0.0.1/32,::1/128");
    for (variable, value, url, blocked) in [
        ("MEDIA_EGRESS_DENY", "", &by_address, false),
        (
            "MEDIA_EGRESS_DENY",
            "127.0.0.0/8,::1/128",
            &by_address,
            true,
        ),
        ("MEDIA_EGRESS_DENY", "127.0.0.0/8,::1/128", &by_name, true),
        (
            "MEDIA_EGRESS_DENY",
            "::ffff:127.0.0.0/104",
            &by_address,
            true,
        ),
        ("MEDIA_EGRESS_ALLOW_HOSTS", "*", &by_name, false),
        ("MEDIA_EGRESS_ALLOW_HOSTS", "localhost", &by_name, false),
        ("MEDIA_EGRESS_ALLOW_HOSTS", "example.test", &by_name, true),
        // An empty list allows no host.
        ("MEDIA_EGRESS_ALLOW_HOSTS", "", &by_name, true),
        ("MEDIA_EGRESS_DENY_HOSTS", "", &by_name, false),
        ("MEDIA_EGRESS_DENY_HOSTS", "localhost", &by_name, true),
        ("MEDIA_EGRESS_DENY_HOSTS", "127.0.0.1", &by_address, true),
    ] {
        let installation = Installation::new(MEDIA)
            .with(allow.0, allow.1)
            .with(variable, value);
        let service = installation.serve().await;
        let arguments = json!({ "url": url, "resource": "r" });
        let job = service
            .create_job(&arguments, json!({ "max_retries": 0 }))
            .await;
        let id = job["id"].as_str().unwrap();
        let job = service.wait_for(id, &["succeeded", "failed"]).await;
        let (status, error) = (&job["attributes"]["status"], &job["attributes"]["error"]);
        if blocked {
            // The error does not reveal that the name has a refused address.
            let is_hidden = url == &by_name && variable == "MEDIA_EGRESS_DENY";
            let code = if is_hidden {
                "dns_failed"
            } else {
                "egress_blocked"
            };
            assert_eq!(error, code, "{variable}={value} {url}: {job}");
        } else {
            assert_eq!(status, "succeeded", "{variable}={value} {url}: {job}");
        }
        assert!(service.stop().await.success());
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_followed_only_if_allowed() {
    let (plain, authority) = (FaultyOrigin::start().await, Authority::generate());
    let secure = authority.origin(Tls::Good).await;
    let url = secure.url(&format!("redirect?{}", plain.url("status/200")));
    for (allowed, expected) in [("false", "failed"), ("true", "succeeded")] {
        let installation = Installation::new(MEDIA)
            .with("SSL_CERT_FILE", authority.file().to_str().unwrap())
            .with("MEDIA_EGRESS_DOWNGRADE", allowed);
        let service = installation.serve().await;
        let job = service.import(&url, "r", None).await;
        assert_eq!(job["attributes"]["status"], expected, "{job}");
        if expected == "failed" {
            assert_eq!(job["attributes"]["error"], "bad_redirect", "{job}");
        }
    }
}
