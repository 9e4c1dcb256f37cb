//! Short fault runs; `make faults` runs the long ones.

use std::time::Duration;

use media_faults::{FaultRun, Mode, Report};

async fn run(mode: Mode, pooler: bool) -> Report {
    let run = FaultRun {
        mode,
        seed: 20_261_123,
        jobs: 150,
        rate: 8,
        pooler,
        store_outage: Duration::from_secs(6),
        recheck: false,
    };
    let report = run.run().await;
    assert_eq!(report.broken(), [""; 0], "{report}");
    assert_eq!(report.not_shown(), [""; 0], "{report}");
    assert_eq!(report.idle(), [""; 0], "{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_every_promise_under_faults() {
    let report = run(Mode::Cluster, false).await;
    assert!(report.refused_writes() > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_service_keeps_every_promise_under_faults() {
    let report = run(Mode::Single, false).await;
    assert!(report.failed_file_calls() > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_behind_pgbouncer_keeps_every_promise() {
    run(Mode::Cluster, true).await;
}
