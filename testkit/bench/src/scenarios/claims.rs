//! Claims by two workers, on PostgreSQL: of many waiting jobs, beside a thousand.

use media_testkit::postgres::Postgres;

use crate::{
    environment::Environment,
    measurement::{Measurement, Run, Side, Target, Unit},
    queue::{claim_rate, new_table},
};

/// How many wait in the smaller table.
const FEW: usize = 1000;
/// How many of these are claimed before the table is filled again.
const FEW_CLAIMS: usize = 900;
/// How many workers claim.
const WORKERS: usize = 2;

/// How many a second.
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
        name: format!("claims of {many} waiting"),
        unit: Unit::PerSecond,
        ours: Side::new("job ledger", 0, ours),
        baseline: Some(Side::new("itself, 1000 waiting", 0, theirs)),
        // It falls by at most a tenth.
        targets: vec![Target::Ratio(0.9)],
        note: "",
    }]
}
