//! What the book of origins promises: a host that asks to be left alone is, and no host gets more
//! connections than one worker alone would make.

use std::time::Duration;

use media_database::{
    Database,
    host_limits::{BackoffStatus, HostLimits, MAX_BACKOFF, PROBE_LIMIT},
};
use media_domain::ids::WorkerId;
use sea_orm::DatabaseBackend;

use media_testkit::{on_every_database, repositories::ManualClock};

on_every_database!(
    the_longer_wish_of_a_host_holds,
    a_wish_is_forgotten_when_it_is_over,
    one_request_goes_first_when_it_is_over,
    workers_share_a_host_and_take_what_others_leave,
);

const HOST: &str = "origin.test:443";

fn open(database: &Database) -> (HostLimits, ManualClock) {
    let clock = ManualClock::default();
    (HostLimits::new(database.clone(), clock.clock()), clock)
}

async fn the_longer_wish_of_a_host_holds(database: Database) {
    let (origins, clock) = open(&database);
    assert_eq!(origins.not_before(HOST).await.unwrap(), None);
    let begun = clock.now();
    for (wish, holds) in [(10, 10), (5, 10), (20, 20)] {
        let wish = Duration::from_secs(wish);
        origins.back_off(HOST, wish).await.unwrap();
        let until = origins.not_before(HOST).await.unwrap();
        assert_eq!(until, Some(begun + Duration::from_secs(holds)));
    }
    let other = origins.not_before("other.test:443").await.unwrap();
    assert_eq!(other, None);
    clock.advance(Duration::from_secs(20));
    assert_eq!(origins.not_before(HOST).await.unwrap(), None);

    origins.back_off(HOST, MAX_BACKOFF * 10).await.unwrap();
    let until = origins.not_before(HOST).await.unwrap();
    assert_eq!(until, Some(clock.now() + MAX_BACKOFF), "whatever it asks");
}

async fn a_wish_is_forgotten_when_it_is_over(database: Database) {
    let (origins, clock) = open(&database);
    for (host, wish) in [("a.test:80", 10), ("b.test:80", 30)] {
        let wish = Duration::from_secs(wish);
        origins.back_off(host, wish).await.unwrap();
    }
    assert_eq!(origins.prune().await.unwrap(), 0);
    // One request goes first when it is over, so it is remembered for a while.
    clock.advance(Duration::from_secs(11));
    assert_eq!(origins.prune().await.unwrap(), 0);
    clock.advance(Duration::from_mins(10));
    assert_eq!(origins.prune().await.unwrap(), 1);
    assert_eq!(origins.prune().await.unwrap(), 0);
}

async fn one_request_goes_first_when_it_is_over(database: Database) {
    let (origins, clock) = open(&database);
    let turn = async || origins.admit(HOST).await.unwrap();
    assert_eq!(turn().await, BackoffStatus::Free);
    origins
        .back_off(HOST, Duration::from_mins(1))
        .await
        .unwrap();
    let until = clock.now() + Duration::from_mins(1);
    assert_eq!(turn().await, BackoffStatus::Wait(until));
    clock.advance(Duration::from_mins(1));
    assert_eq!(turn().await, BackoffStatus::Probe);
    assert_eq!(turn().await, BackoffStatus::Wait(clock.now() + PROBE_LIMIT));
    // It was not heard of again, so another goes.
    clock.advance(PROBE_LIMIT);
    assert_eq!(turn().await, BackoffStatus::Probe);
    origins.clear(HOST).await.unwrap();
    assert_eq!(turn().await, BackoffStatus::Free);
}

async fn workers_share_a_host_and_take_what_others_leave(database: Database) {
    const MOST: usize = 16;
    let (origins, clock) = open(&database);
    let mut workers = [WorkerId::generate(), WorkerId::generate()];
    workers.sort();
    let [first, second] = workers;
    let visit = async |worker, in_use| {
        origins
            .acquire_connections(HOST, worker, in_use, MOST)
            .await
            .unwrap()
    };
    assert_eq!(visit(first, 0).await, MOST);
    if database.backend() == DatabaseBackend::Sqlite {
        // One process has the file, and so the host, for itself.
        assert_eq!(visit(second, 0).await, MOST);
        return;
    }
    // What the first has, it has until it hears of the second.
    assert_eq!(visit(second, 0).await, 0);
    assert_eq!(visit(first, MOST).await, MOST, "nothing is taken from it");
    assert_eq!(visit(first, 3).await, MOST / 2);
    assert_eq!(visit(second, 0).await, MOST / 2);
    let other_host = origins
        .acquire_connections("other.test:443", second, 0, MOST)
        .await;
    assert_eq!(other_host.unwrap(), MOST);

    origins.release_connections(HOST, first).await.unwrap();
    assert_eq!(visit(second, 8).await, MOST);
    // One that dies says nothing.
    clock.advance(Duration::from_secs(6));
    assert_eq!(visit(first, 0).await, MOST);
    clock.advance(Duration::from_secs(11));
    assert_eq!(origins.prune().await.unwrap(), 3);
}
