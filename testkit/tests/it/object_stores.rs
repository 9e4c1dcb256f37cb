//! The checksum headers of requests to object stores.

use media_testkit::{
    bytes::pattern,
    cluster::Cluster,
    store_proxy::{Quirk, StoreProxy},
};

const REFUSAL: Quirk = Quirk::NoChecksums(400, "InvalidArgument");

/// Imports a small and a large file through a proxy that refuses CRC-32. Returns the number of refusals and
/// the log.
async fn import_through(setting: Option<&str>) -> (usize, String) {
    let cluster = Cluster::start().await;
    let proxy = StoreProxy::start(&cluster.seaweed.endpoint(), REFUSAL).await;
    let mut cluster = cluster.with("AWS_ENDPOINT_URL_S3", &proxy.endpoint());
    if let Some(setting) = setting {
        cluster = cluster.with("AWS_REQUEST_CHECKSUM_CALCULATION", setting);
    }
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    for (name, size) in [("small", 20_000), ("large", 20 << 20)] {
        cluster.origin.add(name, &pattern(size));
        let id = api.import(&cluster.origin.url(name), name).await;
        api.wait_for(&id, "succeeded").await;
    }
    let log = std::fs::read_to_string(cluster.logs().join("worker.log")).unwrap();
    (proxy.refused(), log)
}

#[tokio::test]
async fn a_refusal_of_the_checksum_header_is_logged_once() {
    let (refused, log) = import_through(None).await;
    assert!(refused > 0);
    let told = log.matches("refuses x-amz-checksum-crc32").count();
    assert_eq!(told, 1, "{log}");
}

#[tokio::test]
async fn the_header_is_never_sent_with_when_required() {
    let (refused, log) = import_through(Some("when_required")).await;
    assert_eq!(refused, 0);
    assert!(!log.contains("refuses x-amz-checksum-crc32"), "{log}");
}
