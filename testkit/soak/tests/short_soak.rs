//! A short soak; `make soak` runs the long one.

use std::time::Duration;

use media_soak::Soak;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_callers_are_served_beside_hostile_ones() {
    let soak = Soak {
        duration: Duration::from_secs(10),
        divisor: 8,
    };
    let report = soak.run().await;
    assert_eq!(report.failures(), [""; 0], "{report}");
    // Proves that the hostile callers were connected.
    assert!(report.connections() > 64, "{report}");
}
