//! Origins that limit each connection: the number of parallel connections.

use media_testkit::{
    bytes::{same_bytes, write_large},
    nginx::Nginx,
    origin::{Content, RangedOrigin},
    service::Installation,
};
use serde_json::json;

use crate::fixture::MEDIA;

/// The size of the file in bytes.
const SIZE: u64 = 24 << 20;
/// The rate of each connection in bytes per second.
const RATE: u64 = 1 << 20;

#[tokio::test]
async fn parallel_connections_fetch_every_byte_once_and_in_order() {
    let (origin, installation) = (RangedOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let content = Content::Generated {
        size: SIZE,
        seed: 1,
    };
    let url = origin.add("file", content.clone());
    origin.script(|script| script.rate = Some(RATE));
    let job = service.import(&url, "r", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("r").await["sha256"], content.sha256());
    assert!(
        (4..=8).contains(&origin.max_open_connections()),
        "{}",
        origin.max_open_connections()
    );
    let fetched = origin.body_bytes();
    assert!(fetched < SIZE * 105 / 100, "{fetched} of {SIZE}");
}

#[tokio::test]
async fn interrupted_or_changed_ranges_are_never_combined() {
    let (origin, installation) = (RangedOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let content = |seed| Content::Generated { size: SIZE, seed };
    let url = origin.add("breaks", content(1));
    origin.script(|script| {
        script.rate = Some(RATE);
        // The first response is complete; the ranges and the rest are cut in this order.
        script.cut_after = [SIZE, 100_000, 1 << 20, 1_500_000, 70_000, 3 << 20].into();
    });
    let job = service.import(&url, "breaks", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("breaks").await["sha256"], content(1).sha256());
    // Bytes received before a cut are kept, and so are prefetched ranges; several connections continue.
    let fetched = origin.body_bytes();
    assert!(fetched < SIZE * 105 / 100, "{fetched} of {SIZE}");
    assert!(
        origin.max_open_connections() >= 4,
        "{}",
        origin.max_open_connections()
    );

    // Too large to be requested completely before it changes.
    let large = |seed| Content::Generated {
        size: 4 * SIZE,
        seed,
    };
    let url = origin.add("changes", large(2));
    let entered = json!({ "url": url, "resource": "changes" });
    let job = service
        .create_job(&entered, json!({ "max_retries": 0 }))
        .await;
    media_testkit::wait_until(
        "parts are fetched",
        std::time::Duration::from_secs(30),
        async || {
            let seen = origin.requests();
            let parts = seen
                .iter()
                .filter(|s| s.path == "file/changes" && s.status == 206);
            (parts.count() > 3).then_some(())
        },
    )
    .await;
    origin.add("changes", large(3));
    origin.script(|script| script.rate = None);
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
        .await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("changes").await["sha256"], large(3).sha256());
}

#[tokio::test]
async fn an_origin_that_allows_one_connection_is_read_over_one() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    write_large(&nginx.path("file"), 24);
    let job = service.import(&nginx.url("alone/file"), "r", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert!(same_bytes(
        &installation.stored_files()[0],
        &nginx.path("file")
    ));
}

#[tokio::test]
async fn a_host_gets_no_more_connections_than_configured() {
    let (origin, installation) = (
        RangedOrigin::start().await,
        Installation::new(MEDIA).with("MEDIA_FETCH_CONNECTIONS", "3"),
    );
    let service = installation.serve().await;
    let content = Content::Generated {
        size: 10 << 20,
        seed: 1,
    };
    let url = origin.add("file", content);
    origin.script(|script| script.rate = Some(4 * RATE));
    let keys: Vec<String> = (0..6).map(|number: u8| number.to_string()).collect();
    let imports = keys.iter().map(|key| service.import(&url, "r", Some(key)));
    for job in futures_util::future::join_all(imports).await {
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    }
    assert!(
        origin.max_open_connections() <= 3,
        "{}",
        origin.max_open_connections()
    );
}
