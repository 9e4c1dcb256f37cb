//! The order in which jobs started, by their priorities.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};

use crate::{imports::AllPosted, tables::Job};

/// A claim round: a job that waits this long is seen by every claim.
const CLAIM_ROUND: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// How long after an outage a delayed statement may still arrive: a pool waits that long for a
/// connection.
const AFTERMATH: Duration = Duration::from_secs(6);

/// Checks that no job started while a more urgent one had been waiting for longer than a claim round. Looked
/// at are jobs that were claimed once; returns how many pairs say something.
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
            .any(|(from, to)| *from <= time && time <= *to + AFTERMATH)
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
