//! Claims by two workers on PostgreSQL: with many pending jobs, and with a thousand as the baseline.

use media_testkit::postgres::Postgres;

use crate::{
    environment::Environment,
    measurement::{Measurement, Run, Side, Target, Unit},
    queue::{claim_rate, new_table},
};

/// The number of pending jobs of the baseline.
const FEW: usize = 1000;
/// The number of claims of the baseline before its table is filled again.
const FEW_CLAIMS: usize = 900;
/// The number of workers.
const WORKERS: usize = 2;

/// Measures claims per second.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let server = Postgres::start_durable();
    let many = environment.quick_or(100_000, 1_000_000);
    new_table(&server, "many", &[("pending", many)]).await;
    let claims = environment.quick_or(2000, 4000);
    let run = |value| Run { value, cost: None };
    let ours = async || run(claim_rate(&server, "many", WORKERS, claims).await);
    let theirs = async || {
        new_table(&server, "few", &[("pending", FEW)]).await;
        run(claim_rate(&server, "few", WORKERS, FEW_CLAIMS).await)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    vec![Measurement {
        name: format!("claims with {many} pending jobs"),
        unit: Unit::PerSecond,
        ours: Side::new("job queue", 0, ours),
        baseline: Some(Side::new("same queue, 1000 pending jobs", 0, theirs)),
        // The rate falls by a tenth at most.
        targets: vec![Target::Ratio(0.9)],
        note: "",
    }]
}
