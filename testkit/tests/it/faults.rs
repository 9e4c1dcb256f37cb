//! A short fault run; `make faults` is the long one.

use std::time::Duration;

use media_testkit::faults::FaultRun;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_whatever_fails() {
    let run = FaultRun {
        seed: 20_261_123,
        jobs: 150,
        rate: 8,
        store_outage: Duration::from_secs(6),
        second_look: false,
    };
    let report = run.run().await;
    assert!(report.refused_writes() > 0, "{report}");
    assert_eq!(report.not_shown(), [""; 0], "{report}");
}
