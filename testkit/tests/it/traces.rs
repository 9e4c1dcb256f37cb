//! One trace follows an import through the programs.

use std::time::Duration;

use media_testkit::{
    bytes::pattern, cluster::Cluster, trace_collector::TraceCollector, wait_until,
};

const LIMIT: Duration = Duration::from_secs(30);
/// The trace id that the client sends.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn one_trace_covers_the_request_and_the_stored_bytes() {
    let collector = TraceCollector::start().await;
    let cluster = Cluster::start()
        .await
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        // Exports spans at once instead of every five seconds.
        .with("OTEL_BSP_SCHEDULE_DELAY", "100");
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    cluster.origin.add("file", &pattern(12 << 20));
    let arguments = serde_json::json!({ "url": cluster.origin.url("file"), "resource": "r" });
    let document = media_testkit::service::import(&arguments, serde_json::json!({}));
    let request = media_testkit::http_client()
        .post(api.url("/jobs"))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&document);
    let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let job = answer["data"]["id"].as_str().unwrap();
    api.wait_for(job, "succeeded").await;

    let spans = wait_until("the trace is complete", LIMIT, async || {
        let mut spans = collector.spans();
        spans.retain(|span| span.trace == TRACE);
        let names = ["POST /jobs", "media:import", "record"];
        let whole = names
            .iter()
            .all(|name| spans.iter().any(|span| span.name == *name));
        whole.then_some(spans)
    })
    .await;
    let named = |name: &str| {
        let mut found = spans.iter().filter(|span| span.name == name);
        found
            .next()
            .unwrap_or_else(|| panic!("no {name} among {spans:#?}"))
    };
    let parent = |name: &str| &named(name).parent;
    assert_eq!(parent("POST /jobs"), "00f067aa0ba902b7");
    assert_eq!(named("POST /jobs").service, "media-api");
    assert_eq!(parent("media:import"), &named("POST /jobs").id);
    assert_eq!(named("media:import").service, "media-worker");
    for part in ["exchange", "stream", "seal", "record"] {
        assert_eq!(parent(part), &named("media:import").id, "{part}");
    }
    assert_eq!(parent("connect"), &named("exchange").id);
    let attributes = &named("media:import").attributes;
    assert!(attributes.contains(&("job".to_owned(), job.to_owned())));
    assert!(attributes.contains(&("outcome".to_owned(), "succeeded".to_owned())));
    eprintln!("{}", collector.tree(TRACE));

    // Log lines contain the trace id.
    let log = std::fs::read_to_string(cluster.logs().join("worker.log")).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("\"imported\""))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["spans"][0]["trace_id"], TRACE);
    assert_eq!(line["spans"][0]["job"], job);
}
