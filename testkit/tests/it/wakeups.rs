//! Tickets in Redis: bounded, and removed when they are taken.

use std::time::Duration;

use media_testkit::{cluster::Cluster, wait_until};

#[tokio::test]
async fn tickets_are_bounded_and_removed() {
    const JOBS: usize = 600;
    let cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let url = cluster.origin.url("none");
    for _ in 0..JOBS {
        api.import(&url, "r").await;
    }
    let waiting = || {
        let count = |command: &[&str]| -> usize {
            let answer = cluster.redis.command(command).unwrap();
            answer.parse().unwrap()
        };
        count(&["ZCARD", "media-tickets-v1:scheduled"])
            + count(&["LLEN", "media-tickets-v1:active"])
    };
    wait_until("tickets are pending", Duration::from_secs(10), async || {
        (waiting() > 0).then_some(())
    })
    .await;
    assert!(waiting() <= 256, "{}", waiting());

    let worker = cluster.worker("worker").await;
    wait_until(
        "every ticket is taken",
        Duration::from_mins(2),
        async || (waiting() == 0).then_some(()),
    )
    .await;
    worker.stop();
    // apalis keeps data about the queue itself, but nothing about tickets or workers.
    let keys = cluster.redis.command(&["KEYS", "*"]).unwrap();
    let left: Vec<&str> = keys
        .lines()
        .filter(|key| key.contains(":data") || key.contains(":meta") || key.contains("workers"))
        .collect();
    assert_eq!(left, Vec::<&str>::new(), "of {keys}");
}
