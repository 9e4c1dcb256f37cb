//! Resumed transfers: no byte is fetched twice, and different versions are never combined.

use media_testkit::{
    origin::{Content, RangedOrigin},
    service::{Installation, Service},
    wait_until,
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::fixture::MEDIA;

/// The size of the file in bytes.
const SIZE: u64 = 16 << 20;
/// The number of bytes that the origin sends before it waits.
const HELD_AFTER_BYTES: u64 = SIZE / 4 * 3;

fn content(seed: u64) -> Content {
    Content::Generated { size: SIZE, seed }
}

/// Returns an installation that fetches over one connection, so that the resumed position is known.
fn installation() -> Installation {
    Installation::new(MEDIA).with("MEDIA_FETCH_CONNECTIONS", "1")
}

/// Makes the origin send most of a file, over more than the two seconds between checkpoints, and then wait.
fn hold_late(origin: &RangedOrigin) {
    origin.hold_after(HELD_AFTER_BYTES, 4 << 20);
}

async fn import(service: &Service, url: &str) -> Value {
    let job = service
        .create_job(&json!({ "url": url, "resource": "r" }), json!({}))
        .await;
    let id = job["id"].as_str().unwrap();
    service.wait_for(id, &["succeeded", "failed"]).await
}

#[tokio::test]
async fn a_transfer_cut_five_times_fetches_hardly_a_byte_twice() {
    let (origin, installation) = (RangedOrigin::start().await, installation());
    let service = installation.serve().await;
    let url = origin.add("file", content(1));
    // The last responses bring nearly no progress.
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
async fn changed_or_unidentified_bytes_are_fetched_again_and_never_combined() {
    let (origin, installation) = (RangedOrigin::start().await, installation());
    let service = installation.serve().await;
    let cut = |origin: &RangedOrigin| {
        origin.script(|script| {
            script.cut_after = [3_000_000].into();
            script.hold_after = Some(1_000_000);
        });
    };
    // The file is replaced by another one of the same length during the transfer.
    let url = origin.add("changes", content(1));
    cut(&origin);
    let entered = json!({ "url": url, "resource": "r" });
    let job = service
        .create_job(&entered, json!({ "max_retries": 0 }))
        .await;
    origin.wait_for_body_bytes(1).await;
    origin.add("changes", content(2));
    origin.script(|script| script.hold_after = None);
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
        .await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("r").await["sha256"], content(2).sha256());

    // The origin serves no ranges, or has no validator that identifies the bytes.
    for weak in [true, false] {
        let url = origin.add("whole", content(3));
        cut(&origin);
        origin.script(|script| {
            script.weak_etag = weak;
            script.without_ranges = !weak;
            script.hold_after = None;
        });
        let job = import(&service, &url).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        assert_eq!(service.media("r").await["sha256"], content(3).sha256());
    }
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn a_killed_service_resumes_its_imports() {
    let (origin, installation) = (
        RangedOrigin::start().await,
        installation().with("MEDIA_LEASE", "5s"),
    );
    let url = origin.add("file", content(1));
    hold_late(&origin);
    let service = installation.serve().await;
    let entered = service
        .create_job(&json!({ "url": url, "resource": "r" }), json!({}))
        .await;
    let id = entered["id"].as_str().unwrap();
    // By now the first checkpoint, after two seconds, is written.
    origin.wait_for_body_bytes(HELD_AFTER_BYTES).await;
    service.kill().await;

    origin.release_held();
    let service = installation.serve().await;
    let job = service.wait_for(id, &["succeeded", "failed"]).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("r").await["sha256"], content(1).sha256());
    let rest = &origin.requests()[1];
    assert_eq!(rest.status, 206, "{rest:?}");
    assert!(rest.sent < HELD_AFTER_BYTES, "{rest:?}");
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn a_paused_import_resumes_unless_its_partial_file_has_changed() {
    let (origin, installation) = (RangedOrigin::start().await, installation());
    let service = installation.serve().await;
    for touched in [false, true] {
        let url = origin.add("file", content(1));
        hold_late(&origin);
        let entered = service
            .create_job(&json!({ "url": url, "resource": "r" }), json!({}))
            .await;
        let id = entered["id"].as_str().unwrap();
        let before = origin.requests().len();
        wait_until("most bytes are sent", Duration::from_secs(30), async || {
            let seen = origin.requests();
            seen.get(before.max(1) - 1)?;
            (seen.last()?.sent >= HELD_AFTER_BYTES).then_some(())
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
        origin.release_held();
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
async fn an_attempt_resumes_only_the_same_version_of_a_file() {
    for forgets in [false, true] {
        let (origin, installation) = (RangedOrigin::start().await, installation());
        let service = installation.serve().await;
        let url = origin.add("file", content(1));
        hold_late(&origin);
        let entered = json!({ "url": url, "resource": "r" });
        let entered = service.create_job(&entered, json!({})).await;
        let id = entered["id"].as_str().unwrap();
        origin.wait_for_body_bytes(HELD_AFTER_BYTES).await;
        service.signal(id, "pause").await;
        service.wait_for(id, &["paused"]).await;
        // In the meantime the origin changes the ETag, or stops serving ranges.
        if forgets {
            origin.stop_serving_ranges();
        } else {
            origin.change_etag("file");
        }
        origin.release_held();
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
