use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

fn connections(total: usize, per_address: usize) -> Arc<Connections> {
    Connections::new(ConnectionLimits {
        total,
        per_address,
        proxies: vec!["127.0.0.9/32".parse().unwrap()],
    })
}

fn admit(connections: &Arc<Connections>, from: IpAddr) -> Arc<ConnectionSlot> {
    Arc::new(connections.admit(from).unwrap())
}

fn is_closed(slot: &ConnectionSlot) -> bool {
    slot.shared.close.is_cancelled()
}

#[test]
fn connections_are_evicted_in_order_and_active_ones_never() {
    let all = connections(4, 100);
    let [active, waiting, draining, streaming] = [(); 4].map(|()| admit(&all, HERE));
    let _request = active.begin(false);
    draining.enter(Phase::Draining);
    streaming.enter(Phase::Streaming);
    for expected in [&draining, &waiting] {
        assert!(!is_closed(expected));
        // The new connection has waited for the shortest time.
        let new = admit(&all, HERE);
        assert!(is_closed(expected));
        assert!(!is_closed(&new));
        std::mem::forget(new.begin(false));
    }
    let last = admit(&all, HERE);
    assert!(is_closed(&streaming));
    std::mem::forget(last.begin(false));
    assert!(all.admit(HERE).is_none());
    assert!(!is_closed(&active));
}

#[test]
fn the_wait_of_a_connection_starts_over_after_a_request() {
    let all = connections(2, 100);
    let [first, second] = [(); 2].map(|()| admit(&all, HERE));
    drop(first.begin(false));
    let _third = admit(&all, HERE);
    assert!(is_closed(&second));
    assert!(!is_closed(&first));
}

#[test]
fn the_limit_per_address_does_not_apply_to_proxies() {
    let all = connections(100, 2);
    let [first, second] = [(); 2].map(|()| admit(&all, HERE));
    let other = admit(&all, THERE);
    let _third = admit(&all, HERE);
    assert!(is_closed(&first) && !is_closed(&second) && !is_closed(&other));
    let proxied: Vec<_> = (0..10)
        .map(|_| admit(&all, "127.0.0.9".parse().unwrap()))
        .collect();
    assert!(proxied.iter().all(|slot| !is_closed(slot)));
}

#[test]
fn ended_connections_leave_no_entries() {
    let all = connections(10, 10);
    for _ in 0..20 {
        let slot = admit(&all, HERE);
        drop(slot.begin(true));
    }
    let table = lock(&all.table);
    assert!(table.slots.is_empty() && table.evictable.is_empty() && table.per_address.is_empty());
}

#[test]
fn slow_heads_idle_connections_and_slow_readers_time_out() {
    let all = connections(10, 10);
    let after = |seconds: u64| all.close_overdue_at(seconds * 1000);
    let [silent, idle, slow, reader] = [(); 4].map(|()| admit(&all, HERE));
    let _requests = [slow.begin(false), reader.begin(false)];
    drop(idle.begin(false));
    after(9);
    assert!(!is_closed(&silent));
    after(12);
    assert!(is_closed(&silent) && !is_closed(&idle));
    // An incomplete head has the shorter timeout.
    idle.bytes_received(1);
    after(12);
    assert!(is_closed(&idle));
    for slot in [&slow, &reader] {
        slot.write_blocked();
    }
    reader.bytes_sent(Some(MIN_READ_BYTES));
    slow.bytes_sent(Some(1));
    after(29);
    assert!(!is_closed(&slow));
    after(32);
    assert!(is_closed(&slow) && !is_closed(&reader));
}

#[test]
fn the_oldest_large_head_is_evicted_first() {
    let all = connections(1000, 1000);
    let large = || {
        let slot = admit(&all, HERE);
        slot.bytes_received(LARGE_HEAD_BYTES);
        slot.bytes_received(1);
        slot
    };
    let slots: Vec<_> = (0..MAX_LARGE_HEADS).map(|_| large()).collect();
    // Small heads, and heads that have become requests, do not count.
    let small = admit(&all, HERE);
    small.bytes_received(LARGE_HEAD_BYTES);
    let _request = slots[0].begin(false);
    let one_more = large();
    assert!(slots.iter().all(|slot| !is_closed(slot)));
    let last = large();
    let closed: Vec<_> = slots.iter().map(|slot| is_closed(slot)).collect();
    assert_eq!(closed.iter().position(|closed| *closed), Some(1));
    assert!(!is_closed(&small) && !is_closed(&one_more) && !is_closed(&last));
    drop((slots, small, one_more, last));
    assert!(lock(&all.table).large_heads.is_empty());
}
