//! The order in which jobs started, by their priorities.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};

use crate::{imports::AllPosted, tables::Job};

/// The time of a claim round: every claim sees a job that has been pending for longer.
const CLAIM_ROUND: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// The longest delay of a statement after an outage: the time that a pool waits for a connection.
const MAX_STATEMENT_DELAY: Duration = Duration::from_secs(6);

/// Checks that no job started while a job of higher priority had been pending for longer than a claim round.
/// Considers jobs that were claimed once; returns the number of pairs that were compared.
pub(crate) fn check(
    jobs: &HashMap<String, Job>,
    posted: &AllPosted,
    outages: &[(SystemTime, SystemTime)],
) -> Result<usize, String> {
    let in_order: Vec<(&Job, DateTime<Utc>)> = posted
        .jobs
        .iter()
        .filter_map(|asked| jobs.get(&asked.id))
        .filter(|job| job.attempt == 1)
        .filter_map(|job| Some((job, job.started_at?)))
        .collect();
    let disturbed = |time: DateTime<Utc>| {
        let time = SystemTime::from(time);
        outages
            .iter()
            .any(|(from, to)| *from <= time && time <= *to + MAX_STATEMENT_DELAY)
    };
    let mut pairs = 0;
    for (less, started) in &in_order {
        if disturbed(*started) {
            continue;
        }
        for (more, later) in &in_order {
            if more.priority > less.priority && *started > more.created_at + CLAIM_ROUND {
                pairs += 1;
                if *later > *started + CLAIM_ROUND {
                    return Err(format!(
                        "{} of priority {} started at {started}, while {} of {} waited from {} to {later}",
                        less.id, less.priority, more.id, more.priority, more.created_at
                    ));
                }
            }
        }
    }
    Ok(pairs)
}
