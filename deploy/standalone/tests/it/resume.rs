//! Nothing that has come is fetched again; nothing is spliced that does not belong together.

use media_testkit::{
    origin::{Content, RangedOrigin},
    service::{Installation, Service},
    wait_until,
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::fixture::MEDIA;

/// Sixteen mebibytes.
const SIZE: u64 = 16 << 20;
/// Where an origin stops until it is told to go on.
const MOST: u64 = SIZE / 4 * 3;

fn content(seed: u64) -> Content {
    Content::Generated { size: SIZE, seed }
}

/// One connection at a time, so that it is known where it was.
fn installation() -> Installation {
    Installation::new(MEDIA).with("MEDIA_FETCH_CONNECTIONS", "1")
}

/// Most of a file comes, over more than a checkpoint's two seconds, and then nothing.
fn hold_late(origin: &RangedOrigin) {
    origin.hold_after(MOST, 4 << 20);
}

async fn import(service: &Service, url: &str) -> Value {
    let job = service
        .enter(&json!({ "url": url, "resource": "r" }), json!({}))
        .await;
    let id = job["id"].as_str().unwrap();
    service.wait_for(id, &["succeeded", "failed"]).await
}

#[tokio::test]
async fn a_connection_that_is_cut_five_times_costs_hardly_a_byte() {
    let (origin, installation) = (RangedOrigin::start().await, installation());
    let service = installation.serve().await;
    let url = origin.add("file", content(1));
    // The last ones bring next to nothing.
    let cuts = [1_000_000, 5_000_000, 17, 3_000_001, 1];
    origin.script(|script| script.cut_after = cuts.into());
    let job = import(&service, &url).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(job["attributes"]["retry_count"], 0, "{job}");
    assert_eq!(service.media("r").await["sha256"], content(1).sha256());
    let requests = origin.requests();
    assert_eq!(requests.len(), cuts.len() + 1, "{requests:?}");
    assert!(
        requests[1..]
            .iter()
            .all(|seen| seen.status == 206 && seen.if_range.is_some())
    );
    assert!(origin.body_bytes() < SIZE * 105 / 100);
}

#[tokio::test]
async fn bytes_that_changed_or_cannot_be_told_are_fetched_anew_and_never_spliced() {
    let (origin, installation) = (RangedOrigin::start().await, installation());
    let service = installation.serve().await;
    let cut = |origin: &RangedOrigin| {
        origin.script(|script| {
            script.cut_after = [3_000_000].into();
            script.hold_after = Some(1_000_000);
        });
    };
    // Other bytes of the same length, while the first ones are under way.
    let url = origin.add("changes", content(1));
    cut(&origin);
    let entered = json!({ "url": url, "resource": "r" });
    let job = service.enter(&entered, json!({ "max_retries": 0 })).await;
    origin.wait_for_body_bytes(1).await;
    origin.add("changes", content(2));
    origin.script(|script| script.hold_after = None);
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
        .await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("r").await["sha256"], content(2).sha256());

    // No part can be had, or nothing tells whether it is a part of the same.
    for weak in [true, false] {
        let url = origin.add("whole", content(3));
        cut(&origin);
        origin.script(|script| {
            script.weak_etag = weak;
            script.forget_ranges = !weak;
            script.hold_after = None;
        });
        let job = import(&service, &url).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        assert_eq!(service.media("r").await["sha256"], content(3).sha256());
    }
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn a_killed_service_goes_on_where_it_was() {
    let (origin, installation) = (
        RangedOrigin::start().await,
        installation().with("MEDIA_LEASE", "5s"),
    );
    let url = origin.add("file", content(1));
    hold_late(&origin);
    let service = installation.serve().await;
    let entered = service
        .enter(&json!({ "url": url, "resource": "r" }), json!({}))
        .await;
    let id = entered["id"].as_str().unwrap();
    // Past the first checkpoint, two seconds on.
    origin.wait_for_body_bytes(MOST).await;
    service.kill().await;

    origin.let_go();
    let service = installation.serve().await;
    let job = service.wait_for(id, &["succeeded", "failed"]).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("r").await["sha256"], content(1).sha256());
    let rest = &origin.requests()[1];
    assert_eq!(rest.status, 206, "{rest:?}");
    assert!(rest.sent < MOST, "{rest:?}");
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn a_paused_import_goes_on_where_it_was_unless_its_file_was_touched() {
    let (origin, installation) = (RangedOrigin::start().await, installation());
    let service = installation.serve().await;
    for touched in [false, true] {
        let url = origin.add("file", content(1));
        hold_late(&origin);
        let entered = service
            .enter(&json!({ "url": url, "resource": "r" }), json!({}))
            .await;
        let id = entered["id"].as_str().unwrap();
        let before = origin.requests().len();
        wait_until("most has come", Duration::from_secs(30), async || {
            let seen = origin.requests();
            seen.get(before.max(1) - 1)?;
            (seen.last()?.sent >= MOST).then_some(())
        })
        .await;
        service.signal(id, "pause").await;
        service.wait_for(id, &["paused"]).await;
        if touched {
            let partial = installation
                .stored_files()
                .into_iter()
                .find(|path| path.extension().is_some_and(|suffix| suffix == "partial"));
            let partial = partial.expect("what has come is kept");
            let file = std::fs::File::options().write(true).open(partial).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"touched", 100).unwrap();
        }
        origin.let_go();
        service.signal(id, "resume").await;
        let job = service.wait_for(id, &["succeeded", "failed"]).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        assert_eq!(service.media("r").await["sha256"], content(1).sha256());
        let last = origin.requests().last().cloned().unwrap();
        assert_eq!(last.status, if touched { 200 } else { 206 }, "{last:?}");
    }
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn an_attempt_goes_on_with_nothing_but_the_same_bytes() {
    for forgets in [false, true] {
        let (origin, installation) = (RangedOrigin::start().await, installation());
        let service = installation.serve().await;
        let url = origin.add("file", content(1));
        hold_late(&origin);
        let entered = json!({ "url": url, "resource": "r" });
        let entered = service.enter(&entered, json!({})).await;
        let id = entered["id"].as_str().unwrap();
        origin.wait_for_body_bytes(MOST).await;
        service.signal(id, "pause").await;
        service.wait_for(id, &["paused"]).await;
        // Meanwhile the origin says that they are others, or gives no parts any more.
        if forgets {
            origin.forget_ranges();
        } else {
            origin.change_etag("file");
        }
        origin.let_go();
        let before = origin.requests().len();
        service.signal(id, "resume").await;
        let job = service.wait_for(id, &["succeeded", "failed"]).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        assert_eq!(service.media("r").await["sha256"], content(1).sha256());
        let after = origin.requests().split_off(before);
        assert!(after.iter().all(|seen| seen.status == 200), "{after:?}");
        assert!(
            after.iter().any(|seen| seen.if_range.is_some()),
            "{after:?}"
        );
        installation.wait_for_stored_files(1).await;
    }
}
