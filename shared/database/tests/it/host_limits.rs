//! Host limits: no request is sent to a host in back-off, and all workers together open no more connections to a host
//! than a single worker would.

use std::time::Duration;

use media_database::{
    Database,
    host_limits::{BackoffStatus, HostLimits, MAX_BACKOFF, PROBE_LIMIT},
};
use media_domain::ids::WorkerId;
use sea_orm::DatabaseBackend;

use media_testkit::{on_every_database, repositories::ManualClock};

on_every_database!(
    the_longer_back_off_of_a_host_applies,
    an_expired_back_off_is_pruned,
    a_single_probe_is_sent_after_a_back_off,
    workers_share_the_connections_of_a_host_and_reuse_released_ones,
);

const HOST: &str = "origin.test:443";

fn open(database: &Database) -> (HostLimits, ManualClock) {
    let clock = ManualClock::default();
    (HostLimits::new(database.clone(), clock.clock()), clock)
}

async fn the_longer_back_off_of_a_host_applies(database: Database) {
    let (limits, clock) = open(&database);
    assert_eq!(limits.not_before(HOST).await.unwrap(), None);
    let begun = clock.now();
    for (requested, effective) in [(10, 10), (5, 10), (20, 20)] {
        let requested = Duration::from_secs(requested);
        limits.back_off(HOST, requested).await.unwrap();
        let until = limits.not_before(HOST).await.unwrap();
        assert_eq!(until, Some(begun + Duration::from_secs(effective)));
    }
    let other = limits.not_before("other.test:443").await.unwrap();
    assert_eq!(other, None);
    clock.advance(Duration::from_secs(20));
    assert_eq!(limits.not_before(HOST).await.unwrap(), None);

    limits.back_off(HOST, MAX_BACKOFF * 10).await.unwrap();
    let until = limits.not_before(HOST).await.unwrap();
    assert_eq!(
        until,
        Some(clock.now() + MAX_BACKOFF),
        "the back-off is limited"
    );
}

async fn an_expired_back_off_is_pruned(database: Database) {
    let (limits, clock) = open(&database);
    for (host, seconds) in [("a.test:80", 10), ("b.test:80", 30)] {
        let back_off = Duration::from_secs(seconds);
        limits.back_off(host, back_off).await.unwrap();
    }
    assert_eq!(limits.prune().await.unwrap(), 0);
    // An expired back-off is retained for a while, since a probe follows it.
    clock.advance(Duration::from_secs(11));
    assert_eq!(limits.prune().await.unwrap(), 0);
    clock.advance(Duration::from_mins(10));
    assert_eq!(limits.prune().await.unwrap(), 1);
    assert_eq!(limits.prune().await.unwrap(), 0);
}

async fn a_single_probe_is_sent_after_a_back_off(database: Database) {
    let (limits, clock) = open(&database);
    let admit = async || limits.admit(HOST).await.unwrap();
    assert_eq!(admit().await, BackoffStatus::Free);
    limits.back_off(HOST, Duration::from_mins(1)).await.unwrap();
    let until = clock.now() + Duration::from_mins(1);
    assert_eq!(admit().await, BackoffStatus::Wait(until));
    clock.advance(Duration::from_mins(1));
    assert_eq!(admit().await, BackoffStatus::Probe);
    assert_eq!(
        admit().await,
        BackoffStatus::Wait(clock.now() + PROBE_LIMIT)
    );
    // The probe did not report back, so another one is sent.
    clock.advance(PROBE_LIMIT);
    assert_eq!(admit().await, BackoffStatus::Probe);
    limits.clear(HOST).await.unwrap();
    assert_eq!(admit().await, BackoffStatus::Free);
}

async fn workers_share_the_connections_of_a_host_and_reuse_released_ones(database: Database) {
    const MAX_CONNECTIONS: usize = 16;
    let (limits, clock) = open(&database);
    let mut workers = [WorkerId::generate(), WorkerId::generate()];
    workers.sort();
    let [first, second] = workers;
    let acquire = async |worker, in_use| {
        limits
            .acquire_connections(HOST, worker, in_use, MAX_CONNECTIONS)
            .await
            .unwrap()
    };
    assert_eq!(acquire(first, 0).await, MAX_CONNECTIONS);
    if database.backend() == DatabaseBackend::Sqlite {
        // A single process uses the SQLite file, and so gets all connections.
        assert_eq!(acquire(second, 0).await, MAX_CONNECTIONS);
        return;
    }
    // The first worker keeps its connections until it learns of the second one.
    assert_eq!(acquire(second, 0).await, 0);
    assert_eq!(
        acquire(first, MAX_CONNECTIONS).await,
        MAX_CONNECTIONS,
        "connections in use are kept"
    );
    assert_eq!(acquire(first, 3).await, MAX_CONNECTIONS / 2);
    assert_eq!(acquire(second, 0).await, MAX_CONNECTIONS / 2);
    let other_host = limits
        .acquire_connections("other.test:443", second, 0, MAX_CONNECTIONS)
        .await;
    assert_eq!(other_host.unwrap(), MAX_CONNECTIONS);

    limits.release_connections(HOST, first).await.unwrap();
    assert_eq!(acquire(second, 8).await, MAX_CONNECTIONS);
    // A failed worker does not release its connections.
    clock.advance(Duration::from_secs(6));
    assert_eq!(acquire(first, 0).await, MAX_CONNECTIONS);
    clock.advance(Duration::from_secs(11));
    assert_eq!(limits.prune().await.unwrap(), 3);
}
