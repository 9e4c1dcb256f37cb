//! A private certificate authority, which all connections trust, by either variable.

use std::time::Duration;

use media_testkit::{
    cluster::Cluster,
    http_client,
    origin::Authority,
    service::import,
    tokens::{KeyServer, TokenKey, claims},
    trace_collector::TraceCollector,
    wait_until,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

fn port_of(url: &str) -> u16 {
    url::Url::parse(url).unwrap().port().unwrap()
}

async fn import_through_tls(variable: &str) {
    let authority = Authority::generate();
    let key = TokenKey::es256("key");
    let (keys, collector) = (
        KeyServer::with_keys(&[&key]).await,
        TraceCollector::start().await,
    );
    let cluster = Cluster::start().await;
    let keys_front = authority.front(port_of(&keys.url())).await;
    let traces = authority.front(port_of(&collector.endpoint())).await;
    let store = authority.front(port_of(&cluster.seaweed.endpoint())).await;
    let redis = authority.front(cluster.redis.port()).await;
    let origin = authority.front(port_of(&cluster.origin.url(""))).await;
    cluster.origin.add("file", b"bytes");
    let cluster = cluster
        .with(variable, authority.file().to_str().unwrap())
        .with(
            "MEDIA_JWKS_URL",
            &format!("https://{}/keys", keys_front.address()),
        )
        .with(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("https://{}", traces.address()),
        )
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with(
            "AWS_ENDPOINT_URL_S3",
            &format!("https://{}", store.address()),
        )
        .with("REDIS_URL", &format!("rediss://{}", redis.address()));
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;

    let mut admin = claims("ann");
    admin["role"] = json!("admin");
    let token = key.token(&admin);
    let url = format!("https://{}/file", origin.address());
    let document = import(&json!({ "url": url, "resource": "r" }), json!({}));
    let request = http_client().post(api.url("/jobs")).json(&document);
    let answer = request.bearer_auth(&token).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::CREATED,
        "{variable}: published keys"
    );
    let answer: Value = answer.json().await.unwrap();
    let job = answer["data"]["links"]["self"].as_str().unwrap();
    wait_until("the import succeeds", LIMIT, async || {
        let request = http_client().get(api.url(job)).bearer_auth(&token);
        let job: Value = request.send().await.ok()?.json().await.ok()?;
        let attributes = &job["data"]["attributes"];
        assert_ne!(attributes["status"], "failed", "{variable}: {attributes}");
        (attributes["status"] == "succeeded").then_some(())
    })
    .await;
    wait_until("the trace arrives", LIMIT, async || {
        let spans = collector.spans();
        spans
            .iter()
            .any(|span| span.name == "media:import")
            .then_some(())
    })
    .await;
    let tickets = cluster.redis.command(&["KEYS", "media-tickets-v1*"]);
    assert!(
        tickets.is_some_and(|keys| !keys.is_empty()),
        "{variable}: Redis"
    );
}

#[tokio::test]
async fn the_authority_in_ssl_cert_file_is_trusted() {
    import_through_tls("SSL_CERT_FILE").await;
}

#[tokio::test]
async fn the_authority_in_aws_ca_bundle_is_trusted() {
    import_through_tls("AWS_CA_BUNDLE").await;
}
